"""What does a frame cost without its sockets, and what do the processor's caches make of that?

    python -m benchmarks.bench_frame [--smoke] [--rounds 10]

The server's own connections get WebSocket frames of 20 ms PCMU by hand, and their echoes end in a list: everything from
the octets of a segment to those of its answer, and no system call. With one call, over and over, so that all is warm,
and with 300 in turn, each with memory of its own; and both once more with a message through a loopback socket of the
call between any two frames (`+`), not in the time that is told, so that the kernel has the caches in between as in a
server. Each with no sink, with the level meter, and with the recorder too; best and median of the rounds in
microseconds, of the event loop's thread alone.

What a server makes of that with its own sockets: `benchmarks.bench_capacity`.
"""

import argparse
import asyncio
import contextlib
import itertools
import platform
import select
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, cast

import uvloop

from gateway.agents.echo import Echo
from gateway.call import CallOptions
from gateway.config import parse_address
from gateway.directory import CallDirectory
from gateway.logs import make_log
from gateway.protocol.messages import MediaFormat, StartBody
from gateway.protocol.stream import CarrierStream
from gateway.server.admission import Admission
from gateway.server.framing import client_frame
from gateway.server.media_server import MediaServer
from gateway.server.transport import Limits
from gateway.server.transports import WEBSOCKETS, MediaTransport
from gateway.sinks.base import SinkSource
from gateway.sinks.level import level
from gateway.sinks.recorder import Recorder
from gateway.sinks.url import SinkConfig

__all__ = ["main"]

_TEXT: Final = 0x81
_FRAME: Final = 0.02
_JITTER: Final = 0.001
_SOUND: Final = bytes(200 + (7 * n) % 40 for n in range(160))
_SINKS: Final = ("no sinks", "level", "recorder, level")
_WAYS: Final = {"1 call": (1, False), "300 calls": (300, False), "1 call +": (1, True), "300 calls +": (300, True)}
_MESSAGE: Final = bytes(370)  # about as much as 20 ms PCMU with all around it
_REQUEST: Final = (
    b"GET /media HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class _Transport(asyncio.Transport):
    """Where answers end."""

    octets = 0

    def write(self, data: Any) -> None:
        self.octets = len(data)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return False

    def abort(self) -> None:
        pass

    close = abort


class _NoServer:
    def close(self) -> None:
        pass


class _Caller:
    """Telnyx's end of one call."""

    def __init__(self, number: int, factory: Callable[[], asyncio.Protocol]) -> None:
        self.transport = _Transport()
        self._connection = factory()
        self._connection.connection_made(self.transport)
        start = StartBody(call_control_id=f"v3:{number}", media_format=MediaFormat("PCMU", 8000, 1))
        self._stream = CarrierStream(f"STREAM-{number:032}", start)
        self.receive: Callable[[bytes], None] = self._connection.data_received
        self.receive(_REQUEST)
        for text in (self._stream.send_connected(), self._stream.send_start()):
            self.receive(client_frame(_TEXT, text))
        self._said = 0

    def next(self) -> bytes:
        self._said += 20
        return client_frame(_TEXT, self._stream.send_media("inbound", _SOUND, timestamp=self._said))

    def hang_up(self) -> None:
        self.receive(client_frame(_TEXT, self._stream.send_stop()))
        self._connection.connection_lost(None)


class _Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class _Sockets:
    """The kernel's part: one connection for each call, and a message that goes through it both ways."""

    def __init__(self, connections: int) -> None:
        self._poll = select.poll()
        with socket.create_server(("127.0.0.1", 0), backlog=connections) as listener:
            self._pairs = []
            for _ in range(connections):
                near = socket.create_connection(listener.getsockname())
                far, _ = listener.accept()
                self._poll.register(far, select.POLLIN)
                self._pairs.append((near, far))
        self._turns = itertools.cycle(self._pairs)

    def turn(self) -> None:
        near, far = next(self._turns)
        near.send(_MESSAGE)
        self._poll.poll()
        far.send(far.recv(2 * len(_MESSAGE)))
        near.recv(2 * len(_MESSAGE))

    def close(self) -> None:
        for pair in self._pairs:
            for end in pair:
                end.close()


async def _measure(which: str, calls: int, *, kernel: bool, rounds: int, frames: int) -> list[float]:
    """Microseconds of a frame, for each round."""
    log = make_log("error", "text")
    clock = _Time()
    factories: list[Callable[[], asyncio.Protocol]] = []

    async def create_server(factory: Callable[[], asyncio.Protocol], **_: Any) -> asyncio.Server:
        factories.append(factory)
        return cast(asyncio.Server, _NoServer())

    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sinks: dict[str, SinkSource] = {}
        if "recorder" in which:
            sinks["recorder"] = (await stack.enter_async_context(Recorder(folder, log=log))).open
        if "level" in which:
            sinks["level"] = level(SinkConfig(path="", options={}, data_dir=folder, log=log))
        await stack.enter_async_context(
            MediaServer(
                parse_address("127.0.0.1:0"),
                transport=MediaTransport(WEBSOCKETS.connection, create_server, WEBSOCKETS.take_over),
                admission=Admission("none", clock=clock),
                directory=CallDirectory(),
                options=CallOptions(sinks=sinks, agent=Echo),
                limits=Limits(ping_interval=1e6, handshake_timeout=1e6),
                max_calls=calls,
                start_timeout=10.0,
                reconnect_grace=0.0,
                byte_order="little",
                clock=clock,
                log=log,
            )
        )
        callers = [_Caller(number, factories[0]) for number in range(calls)]
        sockets = stack.enter_context(contextlib.closing(_Sockets(calls))) if kernel else None
        results = []
        for turn in range(rounds + 1):
            took = 0
            for number in range(frames):
                clock.now += _FRAME + (_JITTER if number % 2 else -_JITTER)
                for caller, octets in [(caller, caller.next()) for caller in callers]:
                    if sockets is not None:
                        sockets.turn()
                    begin = time.perf_counter_ns()
                    caller.receive(octets)
                    took += time.perf_counter_ns() - begin
                await asyncio.sleep(0)
            await asyncio.sleep(0.05)  # for the recorder's thread
            if turn:  # the first one makes what is made once
                results.append(took / 1000 / (frames * calls))
        if not all(caller.transport.octets > len(_SOUND) for caller in callers):
            raise RuntimeError("a call was not echoed")
        for caller in callers:
            caller.hang_up()
    return results


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bench_frame",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--smoke", action="store_true", help="a moment, to see that it runs")
    options = parser.parse_args(argv)
    rounds, wanted = (1, 20) if options.smoke else (options.rounds, 6000)
    print(f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, Python {platform.python_version()}; {rounds} rounds")
    print(f"{'':16}" + "".join(f"{way:>20}" for way in _WAYS))
    for which in _SINKS:
        line = f"{which:16}"
        for calls, kernel in _WAYS.values():
            calls = min(calls, 20) if options.smoke else calls
            frames = max(1, wanted // calls)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                results = runner.run(_measure(which, calls, kernel=kernel, rounds=rounds, frames=frames))
            line += f"{min(results):10.2f}{statistics.median(results):10.2f}"
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
