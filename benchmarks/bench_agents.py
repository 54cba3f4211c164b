"""How long does an agent's voice take to the wire, and what does a relayed call cost?

    python -m benchmarks.bench_agents [--smoke] [--only NAME] [--calls 300] [--relays 50] [--seconds 10]

Calls without a media socket: 20 ms frames come in their time, spread over it as they come in life, and what leaves is
looked at where it would go to the socket. Programs and models at the other end of an agent's WebSocket run in a process
of their own.

The first lines: all calls hear, and every two seconds an agent says a fifth of a second, each call at another moment.
What is told is the time from the moment the agent has that sound to the first octet of it at the socket: by
`send_audio` and `play` inside this process; by `websocket`, with as many calls as are relayed below, from the moment a
program in another process sends it.

The others: the CPU of this process for one relayed frame, there and back, with the agent `realtime`, beside the same
messages relayed by bare `websockets` clients that do nothing with them; and what the calls cost with no agent.
"""

import argparse
import asyncio
import base64
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from audio_codecs import encode_ulaw, open_codec
from gateway.agents.base import Agent, AgentFactory
from gateway.agents.options import AgentConfig
from gateway.agents.realtime import RealtimeAgent
from gateway.agents.websocket import WebSocketAgent
from gateway.call import Call, CallOptions, EndReason
from gateway.logs import make_log
from gateway.media.pacer import Pacer
from gateway.protocol.messages import Media, MediaFormat, Start, StartBody, decode_carrier
from gateway.protocol.stream import CarrierStream, MediaStream

__all__ = ["main"]

LOG = make_log("error")
_FRAME = encode_ulaw(np.random.default_rng(711).integers(-8000, 8000, 160).astype(np.int16))
_UTTERANCE = np.random.default_rng(7).integers(-8000, 8000, 1600).astype(np.int16)
_EVERY = 2.0  # seconds between two utterances of one call
_SLOTS = 20  # that the 20 ms of a frame are divided into
_MEDIA = b'"event":"media"'


class BenchCall:
    """A call whose carrier is this program.

    Attributes:
        said_at: When the agent had an utterance; None once its first octet has left.
        delays: Seconds from there to the first octet at the socket.
        frames_out: Messages of sound that left.
    """

    def __init__(self, number: int, agent: AgentFactory | None, pacer: Pacer) -> None:
        body = StartBody(
            call_control_id=f"v3:bench-{number}", call_session_id="bench", media_format=MediaFormat("PCMU", 8000)
        )
        self.said_at: float | None = None
        self.delays: list[float] = []
        self.frames_out = 0
        self._carrier = CarrierStream(f"bench-{number}", body)
        self._stream = MediaStream(now=0.0)
        self._stream.receive_message(self._carrier.send_connected(), now=0.0)
        start = self._stream.receive_message(self._carrier.send_start(), now=0.0)
        assert isinstance(start, Start)
        codec = open_codec("PCMU", 8000)
        self.call = Call(
            start,
            stream=self._stream,
            inbound=lambda: codec,
            outbound=open_codec("PCMU", 8000, to_send=True),
            options=CallOptions(sinks={}, agent=agent, agent_grace=1.0),
            transmit=self._transmit,
            on_end=lambda reason: None,
            pacer=pacer,
            log=LOG,
        )

    def hear(self) -> None:
        """20 ms of the caller."""
        message = decode_carrier(self._carrier.send_media("inbound", _FRAME, timestamp=0))
        assert isinstance(message, Media)
        self.call.media_received(message, time.monotonic())

    def _transmit(self, text: bytes) -> None:
        if _MEDIA in text[:40]:
            self.frames_out += 1
            if self.said_at is not None:
                self.delays.append(time.monotonic() - self.said_at)
                self.said_at = None


def speaking(calls: dict[str, BenchCall], say: Callable[[Call], None]) -> AgentFactory:
    """Agents that hear everything and say something now and then."""

    class Speaker(Agent):
        async def run(self, call: Call) -> None:
            bench = calls[call.call_control_id]
            number = int(call.call_control_id.rpartition("-")[2])
            next_at = time.monotonic() + 0.2 + _EVERY * (number * 0.618 % 1)
            async for _ in call:
                if time.monotonic() >= next_at:
                    next_at += _EVERY
                    bench.said_at = time.monotonic()
                    say(call)

    return Speaker


async def _chunks() -> AsyncIterator[np.ndarray]:
    for begin in range(0, len(_UTTERANCE), 160):
        yield _UTTERANCE[begin : begin + 160]


def _send_audio(call: Call) -> None:
    call.send_audio(_UTTERANCE)


def _play(call: Call) -> None:
    call.play(_chunks(), 8000)


@asynccontextmanager
async def running(
    count: int, agent: Callable[[dict[str, BenchCall]], AgentFactory | None]
) -> AsyncIterator[list[BenchCall]]:
    """So many calls, while the context lasts."""
    pacer = Pacer(asyncio.get_running_loop().call_later, time.monotonic)
    known: dict[str, BenchCall] = {}
    factory = agent(known)
    calls = [BenchCall(number, factory, pacer) for number in range(count)]
    known |= {bench.call.call_control_id: bench for bench in calls}
    async with asyncio.TaskGroup() as tasks:
        for bench in calls:
            tasks.create_task(bench.call.run())
        try:
            yield calls
        finally:
            for bench in calls:
                bench.call.end(EndReason.STOP)
    pacer.close()


async def feed(calls: Sequence[BenchCall], seconds: float) -> int:
    """The calls' frames in their time; returns how many there were."""
    begin = time.monotonic()
    steps = max(_SLOTS, round(seconds * 50) * _SLOTS)
    for step in range(steps):
        for bench in calls[step % _SLOTS :: _SLOTS]:
            bench.hear()
        await asyncio.sleep(max(0.0, begin + (step + 1) * 0.02 / _SLOTS - time.monotonic()))
    late = time.monotonic() - begin - steps * 0.02 / _SLOTS
    if late > max(0.1, 0.05 * seconds):
        print(f"the following figure is of an overload: {seconds:g} s of frames took {late:.1f} s more", flush=True)
    return steps // _SLOTS * len(calls)


# --- the other end, in another process -----------------------------------------------------------------------------


@asynccontextmanager
async def other_end(kind: str) -> AsyncIterator[str]:
    """Its URL, while the context lasts."""
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.bench_agents", "--other-end", kind, stdout=subprocess.PIPE
    )
    assert program.stdout is not None
    try:
        async with asyncio.timeout(60):
            yield (await program.stdout.readline()).decode().strip()
    finally:
        program.kill()
        await program.wait()


async def _serve_model(socket: ServerConnection) -> None:
    """Say everything back, as a model would, in responses of ten seconds."""
    response = 0
    said = 0
    with_type = {"response_id": "resp", "output_index": 0, "content_index": 0, "type": "response.output_audio.delta"}
    try:
        async for message in socket:
            event = json.loads(message)
            if event["type"] == "session.update":
                await socket.send(json.dumps({"type": "session.updated", "session": event["session"]}))
            elif event["type"] == "input_audio_buffer.append":
                said += 1
                if said % 500 == 0:
                    await socket.send(json.dumps({"type": "response.output_audio.done", "item_id": f"item_{response}"}))
                    response += 1
                delta = {"item_id": f"item_{response}", "delta": event["audio"]}
                await socket.send(json.dumps(with_type | delta))
    except ConnectionClosed:
        pass


async def _serve_speaker(socket: ServerConnection) -> None:
    """Say something now and then, and tell when, by the clock that all processes of a machine share."""
    sound = _UTTERANCE.astype("<i2").tobytes()
    number, next_at = 0, 0.0
    try:
        async for message in socket:
            if isinstance(message, str):
                start = json.loads(message)
                if start["type"] == "start":
                    number = int(start["call"]["call_control_id"].rpartition("-")[2])
                    next_at = time.monotonic() + 0.2 + _EVERY * (number * 0.618 % 1)
            elif time.monotonic() >= next_at:
                next_at += _EVERY
                print(number, time.monotonic(), flush=True)
                await socket.send(sound)
    except ConnectionClosed:
        pass


async def _serve(kind: str) -> None:
    handler = {"model": _serve_model, "speaker": _serve_speaker}[kind]
    async with serve(handler, "127.0.0.1", 0, compression=None, max_queue=64) as server:
        print(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/", flush=True)
        await server.serve_forever()


# --- the cases -----------------------------------------------------------------------------------------------------


async def measure_voice(say: Callable[[Call], None], count: int, seconds: float) -> list[float]:
    """Delays of all utterances, in seconds."""
    async with running(count, lambda known: speaking(known, say)) as calls:
        await feed(calls, seconds)
        await asyncio.sleep(0.1)
    return [delay for bench in calls for delay in bench.delays]


async def measure_program(count: int, seconds: float) -> list[float]:
    """The same for a program in another process, from when it sends the sound."""
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.bench_agents", "--other-end", "speaker", stdout=subprocess.PIPE
    )
    assert program.stdout is not None
    url = (await program.stdout.readline()).decode().strip()
    config = AgentConfig(options={"url": url}, log=LOG)
    left: dict[int, list[float]] = {}
    try:
        async with running(count, lambda known: WebSocketAgent.configure(config)) as calls:
            for number, bench in enumerate(calls):
                _note_first_frames(bench, left.setdefault(number, []))
            await feed(calls, seconds)
            await asyncio.sleep(0.2)
    finally:
        program.kill()
        lines = (await program.stdout.read()).decode().splitlines()
        await program.wait()
    delays = []
    for line in lines:
        caller, said = line.split()
        after = [at for at in left[int(caller)] if at >= float(said)]
        if after:
            delays.append(after[0] - float(said))
    return delays


def _note_first_frames(bench: BenchCall, left: list[float]) -> None:
    """Write down when the first message of each utterance leaves: the first after half a second without any."""
    send_audio = bench.call.send_audio
    last = 0.0

    def say(samples: np.ndarray, sample_rate: int | None = None) -> None:
        nonlocal last
        before = bench.frames_out
        send_audio(samples, sample_rate)
        now = time.monotonic()
        if bench.frames_out > before and now - last > 0.5:
            left.append(now)
        last = now

    bench.call.send_audio = say  # type: ignore[method-assign] # looked at on its way


async def measure_relay(agent: str, count: int, seconds: float) -> float:
    """CPU of this process for one frame there and back, in microseconds."""
    async with other_end("model") as url:
        if agent == "bare":
            return await _bare_relay(url, count, seconds)

        def configured(known: dict[str, BenchCall]) -> AgentFactory | None:
            if agent == "none":
                return None
            options = {"url": url, "tools": []}
            return RealtimeAgent.configure(AgentConfig(options=options, environment={"OPENAI_API_KEY": "x"}, log=LOG))

        async with running(count, configured) as calls:
            await feed(calls, min(1.0, seconds))
            cpu, out = time.process_time(), sum(bench.frames_out for bench in calls)
            frames = await feed(calls, seconds)
            spent = time.process_time() - cpu
            out = sum(bench.frames_out for bench in calls) - out
    if agent != "none" and out < 0.9 * frames and frames > 50 * count:
        raise RuntimeError(f"{agent}: {frames} frames in, {out} out")
    return spent / frames * 1e6


async def _bare_relay(url: str, count: int, seconds: float) -> float:
    """The same messages with nothing around them."""
    text = json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(_FRAME).decode()})

    async def listen(socket: ClientConnection) -> None:
        async for _ in socket:
            pass

    sockets = [await connect(url, compression=None) for _ in range(count)]
    listening = [asyncio.ensure_future(listen(socket)) for socket in sockets]
    begin, cpu = time.monotonic(), time.process_time()
    steps = max(_SLOTS, round(seconds * 50) * _SLOTS)
    for step in range(steps):
        for socket in sockets[step % _SLOTS :: _SLOTS]:
            await socket.send(text)
        await asyncio.sleep(max(0.0, begin + (step + 1) * 0.02 / _SLOTS - time.monotonic()))
    spent = time.process_time() - cpu
    for socket in sockets:
        await socket.close()
    await asyncio.gather(*listening)
    return spent / (steps // _SLOTS * count) * 1e6


async def run(arguments: argparse.Namespace) -> None:
    """Measure all cases."""
    voices: dict[str, Callable[[], Awaitable[list[float]]]] = {
        "send_audio": lambda: measure_voice(_send_audio, arguments.calls, arguments.seconds),
        "play": lambda: measure_voice(_play, arguments.calls, arguments.seconds),
        "websocket": lambda: measure_program(arguments.relays, arguments.seconds),
    }
    print(f"{'voice':<14} {'calls':>6} {'n':>6} {'p50 ms':>8} {'p95 ms':>8} {'p99 ms':>8} {'max ms':>8}")
    for name, measure in voices.items():
        if arguments.only in name:
            delays = await measure()
            if not delays:
                raise RuntimeError(f"{name}: nothing was said")
            points = [float(np.percentile(delays, share)) * 1000 for share in (50, 95, 99, 100)]
            columns = " ".join(f"{point:>8.2f}" for point in points)
            calls = arguments.relays if name == "websocket" else arguments.calls
            print(f"{name:<14} {calls:>6} {len(delays):>6} {columns}", flush=True)
    print(f"{'relay':<14} {'calls':>6} {'CPU us a frame':>15}")
    for name in ("none", "bare", "realtime"):
        if arguments.only in f"relay {name}":
            rounds = [await measure_relay(name, arguments.relays, arguments.seconds) for _ in range(arguments.rounds)]
            print(f"{name:<14} {arguments.relays:>6} {statistics.median(rounds):>15.1f}", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run every case."""
    parser = argparse.ArgumentParser(prog="bench_agents", description="an agent's voice, and the cost of a relay")
    parser.add_argument("--smoke", action="store_true", help="a moment only, to see that it runs")
    parser.add_argument("--only", default="", help="the cases with this in their name")
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--relays", type=int, default=50, help="calls whose sound goes to another process")
    parser.add_argument("--rounds", type=int, default=3, help="of each relay")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each case")
    parser.add_argument("--other-end", choices=("model", "speaker"), help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.smoke:
        arguments.calls, arguments.relays, arguments.rounds, arguments.seconds = 4, 2, 1, 0.5
        global _EVERY
        _EVERY = 0.2
    factory = None
    if sys.platform != "win32":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        if arguments.other_end is not None:
            runner.run(_serve(arguments.other_end))
        else:
            print(
                f"python {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} CPUs"
            )
            runner.run(run(arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main())
