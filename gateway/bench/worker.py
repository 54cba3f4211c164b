"""A process that makes load and nothing else: it does what its pipe says, and answers with what it has counted."""

import asyncio
import gc
import signal
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Literal, TypeAlias

from gateway.bench.generator import Generator
from gateway.bench.plan import CallPlan
from gateway.bench.tally import Tally
from gateway.process import loop_factory

__all__ = ["Beat", "Request", "Verb", "work"]

Verb: TypeAlias = Literal["want", "open", "close", "report"]


@dataclass(frozen=True, slots=True)
class Request:
    """What a worker is to do: have so many calls up, begin or end to measure, or only tell."""

    verb: Verb
    calls: int = 0


@dataclass(frozen=True, slots=True)
class Beat:
    """The answer to a request.

    Attributes:
        tally: What was counted since the last one.
        up: Calls that speak.
        settled: Whether no more are being opened.
        at: Monotonic seconds.
        cpu: Seconds of CPU that the process has taken so far.
    """

    tally: Tally
    up: int
    settled: bool
    at: float
    cpu: float


def work(pipe: "Connection[Beat, Request]", plan: CallPlan, share: int, of: int) -> None:
    """Make load until the other end of the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the parent ends us, and reports
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve(pipe, Generator(plan, share=share, of=of)))


async def _serve(pipe: "Connection[Beat, Request]", generator: Generator) -> None:
    gc.freeze()  # a full collection would make hundreds of frames late
    loop = asyncio.get_running_loop()

    def readable() -> None:
        try:
            while pipe.poll():
                pipe.send(_obey(generator, pipe.recv()))
        except (EOFError, OSError):
            loop.remove_reader(pipe.fileno())
            generator.stop()

    loop.add_reader(pipe.fileno(), readable)
    await generator.run()


def _obey(generator: Generator, request: Request) -> Beat:
    now = time.perf_counter()
    if request.verb == "want":
        generator.want(request.calls)
    elif request.verb == "close":
        generator.meter.close(now)
    tally = generator.meter.take()
    if request.verb == "open":
        generator.meter.open(now)
    return Beat(tally, generator.up, generator.settled, now, time.process_time())
