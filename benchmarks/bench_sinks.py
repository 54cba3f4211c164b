"""What does a sink add to each frame?

    python -m benchmarks.bench_sinks [--smoke] [--only NAME] [--calls 200] [--rounds 5]

Calls without a socket: 20 ms frames in their time, spread over it as they come in life, each to the sinks of its call.
What is told is the CPU of the whole process, threads included, for one frame, less what the same frames cost with no
sink at all: the median of the rounds, in which all cases take turns, and the lowest and the highest. `echo` means that
a tenth of a second of played sound comes with every fifth frame, as of an agent that speaks all the time. What a worker
process uses is not in it: it runs on another core.

The first lines are about the fan-out alone: a sink called through it, and called directly.
"""

import argparse
import asyncio
import gc
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from audio_codecs import encode_ulaw
from gateway.config import Settings
from gateway.logs import make_log
from gateway.media.frame import AudioFrame
from gateway.media.pacer import Pacer
from gateway.plugins import open_sinks
from gateway.sinks.base import BOTH_SIDES, SinkSource, StreamInfo
from gateway.sinks.delivery import Declared, Delivery
from gateway.sinks.fanout import FanOut
from gateway.sinks.null import NullSink
from gateway.sinks.process import WorkerProcesses
from gateway.sinks.services import SinkServices

__all__ = ["main"]

LOG = make_log("error")
_SLOTS = 4  # that the 20 ms of a frame are divided into, each with its share of the calls
_ROUNDS = range(20)  # of the fan-out alone
_WARM_UP = 60  # frames: a sink's first second is timed call by call


class Waiting:
    """Takes frames in a task."""

    tracks = BOTH_SIDES
    delivery = Delivery(by="task")

    def __init__(self, info: StreamInfo) -> None:
        del info

    async def write(self, frame: AudioFrame) -> None:
        """Take one frame."""


def declared(**fields: Any) -> SinkSource:
    """A sink that does nothing, with this delivery."""
    return Declared(NullSink, Delivery(**fields))


@dataclass(frozen=True, slots=True)
class Case:
    """Some sinks, by the settings or made here, and whether the application speaks."""

    name: str
    settings: tuple[str, ...] = ()
    sources: tuple[SinkSource, ...] = ()
    echo: bool = False


CASES = (
    Case("none"),
    Case("none, echo", echo=True),
    Case("null", ("null",)),
    Case("null, null", ("null", "null")),
    Case("level", ("level",)),
    Case("recorder", ("recorder",)),
    Case("recorder, echo", ("recorder",), echo=True),
    Case("recorder, level, echo", ("recorder", "level"), echo=True),
    Case("one at 16 kHz", sources=(declared(sample_rate=16_000),)),
    Case("two at 16 kHz", sources=(declared(sample_rate=16_000), declared(sample_rate=16_000))),
    Case("task", sources=(Waiting,)),
    Case("task, linger 0", sources=(Declared(Waiting, Delivery(by="task", linger=0)),)),
    Case("thread", sources=(declared(by="thread"),)),
    Case("thread, linger 0", sources=(declared(by="thread", linger=0),)),
    Case("process", sources=(declared(by="process"),)),
)


def stream_info(number: int) -> StreamInfo:
    return StreamInfo(
        call_control_id=f"v3:bench-{number}",
        stream_id=f"bench-{number}",
        call_session_id=None,
        inbound_encoding="PCMU",
        inbound_sample_rate=8000,
        played_encoding="PCMU",
        played_sample_rate=8000,
        client_state=None,
        custom_parameters={},
        started_at=time.time(),
        report=dict,
    )


class Calls:
    """The fan-outs of many calls, and their frames."""

    def __init__(self, fan_outs: Sequence[FanOut], *, echo: bool) -> None:
        self.frames = 0
        self._fan_outs = fan_outs
        self._echo = echo
        sound = np.random.default_rng(711).integers(-8000, 8000, 800).astype(np.int16)
        self._inbound = sound[:160], encode_ulaw(sound[:160])
        self._played = sound

    def write(self, number: int, slot: int | None = None) -> None:
        """The n-th frame of each call, or of a share of them."""
        samples, payload = self._inbound
        fan_outs = self._fan_outs if slot is None else self._fan_outs[slot::_SLOTS]
        for fan_out in fan_outs:
            fan_out.write(AudioFrame("inbound", samples, 8000, 160 * number, payload))
            if self._echo and number % 5 == 0:
                fan_out.write(AudioFrame("played", self._played, 8000, 160 * number))
        self.frames += len(fan_outs)


async def measure(case: Case, *, calls: int, seconds: float) -> float:
    """CPU of the process for each frame, in microseconds."""
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        settings = Settings(sinks=case.settings, data_dir=folder)
        sources: dict[str, SinkSource] = dict(await open_sinks(settings, stack=stack, log=LOG))
        sources |= {f"made {number}": source for number, source in enumerate(case.sources)}
        services = SinkServices(processes=await stack.enter_async_context(WorkerProcesses()))
        pacer = Pacer(loop.call_later, time.monotonic)
        stack.callback(pacer.close)
        fan_outs = [FanOut(sources, services=services, wake_at=pacer.wake_at, log=LOG) for _ in range(calls)]
        async with asyncio.TaskGroup() as tasks:
            for number, fan_out in enumerate(fan_outs):
                fan_out.run(tasks, stream_info(number))
            every = Calls(fan_outs, echo=case.echo)
            await asyncio.sleep(0.1)
            for number in range(_WARM_UP):
                every.write(number)
                await asyncio.sleep(0)
            while waiting(fan_outs) or await busy():  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.05)
            spent = await in_time(every, seconds)
            for fan_out in fan_outs:
                fan_out.release()
        dropped = sum(sink["frames_dropped"] for fan_out in fan_outs for sink in fan_out.describe().values())
        if dropped:
            raise RuntimeError(f"{case.name}: {dropped} frames were dropped")
        return spent


def waiting(fan_outs: Sequence[FanOut]) -> bool:
    """Whether some sink has not taken all its frames; a worker process takes its time to start."""
    return any(sink["frames_waiting"] for fan_out in fan_outs for sink in fan_out.describe().values())


async def busy() -> bool:
    """Whether some thread has still to do with the beginning: hundreds of files are made, for instance."""
    begin = time.process_time()
    await asyncio.sleep(0.1)
    return time.process_time() - begin > 0.01


async def in_time(every: Calls, seconds: float) -> float:
    """Write the calls' frames in their time; return the CPU for each in microseconds."""
    frames = every.frames
    begin, cpu = time.monotonic(), time.process_time()
    for step in range(round(seconds * 50) * _SLOTS):
        number, slot = divmod(step, _SLOTS)
        every.write(_WARM_UP + number, slot)
        await asyncio.sleep(max(0.0, begin + (step + 1) * 0.02 / _SLOTS - time.monotonic()))
    return (time.process_time() - cpu) / (every.frames - frames) * 1e6


async def alone(count: int) -> dict[int, tuple[float, float]]:
    """One frame through the fan-out and past it, in nanoseconds, for one sink and for two."""
    frame = AudioFrame("inbound", np.zeros(160, np.int16), 8000, 0, bytes(160))
    times: dict[int, tuple[float, float]] = {}
    for sinks in (1, 2):
        made = [NullSink(stream_info(number)) for number in range(sinks)]
        fan_out = FanOut({f"{n}": always(sink) for n, sink in enumerate(made)}, log=LOG)
        writes = tuple(sink.write for sink in made)

        def directly(frame: AudioFrame, writes: tuple[Callable[[AudioFrame], None], ...] = writes) -> None:
            for write in writes:
                write(frame)

        async with asyncio.TaskGroup() as tasks:
            fan_out.run(tasks, stream_info(0))
            await asyncio.sleep(0.01)
            for _ in range(_WARM_UP):
                fan_out.write(frame)
            rounds = [(nanoseconds(fan_out.write, frame, count), nanoseconds(directly, frame, count)) for _ in _ROUNDS]
            fan_out.release()
        through, past = zip(*rounds, strict=True)
        times[sinks] = statistics.median(through), statistics.median(past)
    return times


def always(sink: NullSink) -> SinkSource:
    return lambda info: sink


def nanoseconds(write: Callable[[AudioFrame], None], frame: AudioFrame, count: int) -> float:
    begin = time.perf_counter()
    for _ in range(count):
        write(frame)
    return (time.perf_counter() - begin) / count * 1e9


async def run(arguments: argparse.Namespace) -> None:
    """Measure all cases and print what they add."""
    for sinks, (through, past) in (await alone(200 if arguments.smoke else 20_000)).items():
        print(f"fan-out to {sinks}: {through:.0f} ns, directly {past:.0f} ns")
    cases = [case for case in CASES if case.name.startswith("none") or arguments.only in case.name]
    if arguments.smoke:
        cases = [case for case in cases if case.name != "process"]
    spent: dict[str, list[float]] = {case.name: [] for case in cases}
    for _ in range(arguments.rounds):
        for case in cases:
            spent[case.name].append(await measure(case, calls=arguments.calls, seconds=arguments.seconds))
            gc.collect()
    print(f"{'case':<24} {'calls':>6} {'added us':>9} {'from':>7} {'to':>7}")
    for case in cases[2:]:
        without = spent["none, echo" if case.echo else "none"]
        added = [mine - nothing for mine, nothing in zip(spent[case.name], without, strict=True)]
        low, middle, high = min(added), statistics.median(added), max(added)
        print(f"{case.name:<24} {arguments.calls:>6} {middle:>9.2f} {low:>7.2f} {high:>7.2f}", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run every case, in turn, so many rounds."""
    parser = argparse.ArgumentParser(prog="bench_sinks", description="what a sink adds to each frame")
    parser.add_argument("--smoke", action="store_true", help="a moment only, to see that it runs")
    parser.add_argument("--only", default="", help="the cases with this in their name")
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each case in each round")
    arguments = parser.parse_args(argv)
    if arguments.smoke:
        arguments.calls, arguments.rounds, arguments.seconds = 4, 1, 0.02
    print(f"python {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} CPUs")
    factory = None
    if sys.platform != "win32":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(run(arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main())
