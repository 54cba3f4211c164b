"""Who hands a sink its frames: the frame's own way, a task, a thread, a process. Here, the task."""

import asyncio
import inspect
import json
import types
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

from gateway.errors import SinkError
from gateway.media.frame import AudioFrame, FrameTrack
from gateway.sinks.base import AsyncAudioSink, AudioSink, SinkSource, StreamInfo
from gateway.sinks.budget import LoopBudget
from gateway.sinks.buffered import Buffered

__all__ = ["Worker", "describe", "in_task", "opened", "own_error", "stepwise", "writing"]


class Worker(Protocol):
    """A sink that is open, behind its buffer.

    Attributes:
        tracks: What the sink wants to hear.
        frames: How many it took so far.
    """

    tracks: frozenset[FrameTrack]
    frames: int

    async def drain(self, buffer: Buffered) -> None:
        """Give the sink what waits in memory. Raises what the sink raises."""

    def describe(self) -> dict[str, Any]:
        """What the sink tells of itself."""


@asynccontextmanager
async def opened(source: SinkSource, info: StreamInfo) -> AsyncIterator[AudioSink | AsyncAudioSink]:
    """Make a sink in the event loop and open it, if that is to be done; close it at the end."""
    made: Any = source(info)
    if hasattr(made, "__aenter__"):
        async with made as sink:
            yield sink
    elif hasattr(made, "__enter__"):
        with made as sink:
            yield sink
    else:
        yield made


def own_error(error: BaseException) -> Exception:
    """What a sink raised, as an error that is its own: also where it wanted to end the program, or cancelled itself.

    Raises:
        BaseException: What was meant for us: that we are cancelled, or interrupted.
    """
    if isinstance(error, Exception):
        return error
    if isinstance(error, SystemExit) or (isinstance(error, asyncio.CancelledError) and not _cancelled()):
        return SinkError(f"it raised {error!r}")
    try:
        raise error
    finally:
        del error  # its traceback has this frame: else the two would keep each other


def _cancelled() -> bool:
    """Whether somebody cancels us."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def describe(sink: object) -> dict[str, Any]:
    """What a sink tells of itself; nothing if it does not.

    Raises:
        Exception: What the sink raises; TypeError or ValueError if it says what JSON cannot say.
    """
    own: Callable[[], Mapping[str, Any]] | None = getattr(sink, "describe", None)
    described = {} if own is None else dict(own())
    json.dumps(described)
    return described


def writing(sink: Any, *, waits: bool) -> Callable[[AudioFrame], Any]:
    """The sink's method.

    Raises:
        SinkError: It is a coroutine function where its delivery wants none, or the other way round.
    """
    write: Callable[[AudioFrame], Any] = sink.write
    if inspect.iscoroutinefunction(write) != waits:
        raise SinkError(
            "its `write` is no coroutine function, as delivery by task wants it"
            if waits
            else "its `write` is a coroutine function, and its delivery is not by task"
        )
    return write


@asynccontextmanager
async def in_task(source: SinkSource, info: StreamInfo, *, budget: LoopBudget) -> AsyncIterator[Worker]:
    """Open a sink whose `write` is a coroutine function."""
    async with opened(source, info) as sink:
        yield _AwaitedSink(sink, budget)


class _AwaitedSink:
    def __init__(self, sink: Any, budget: LoopBudget) -> None:
        self.tracks: frozenset[FrameTrack] = sink.tracks
        self.frames = 0
        self._sink = sink
        self._write: Callable[[AudioFrame], Coroutine[Any, Any, None]] = writing(sink, waits=True)
        self._budget = budget

    async def drain(self, buffer: Buffered) -> None:
        while (frame := buffer.pop()) is not None:
            await stepwise(self._write(frame), self._budget)
            self.frames += 1

    def describe(self) -> dict[str, Any]:
        return describe(self._sink)


@types.coroutine
def stepwise(coroutine: Coroutine[Any, Any, None], budget: LoopBudget) -> Generator[Any, Any, None]:
    """Await a coroutine; the budget is told how long each of its steps kept the event loop."""
    clock = budget.clock
    step: Callable[[Any], Any] = coroutine.send
    argument: Any = None
    while True:
        begin = clock()
        try:
            awaited = step(argument)
        except StopIteration:
            return
        finally:
            budget.note(clock() - begin)
        try:
            argument = yield awaited
            step = coroutine.send
        except BaseException as error:  # noqa: BLE001 - a cancellation, or what it waits for: the coroutine's to know
            step, argument = coroutine.throw, error
