"""Sinks that never wait: called in the frame's own way.

Timing every call would cost as much as the calls themselves, so a sink's first calls are timed, and those after a
stall of the event loop; see `watch.py`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from gateway.media.frame import AudioFrame, FrameTrack
from gateway.sinks.base import SinkSource, StreamInfo
from gateway.sinks.budget import LoopBudget
from gateway.sinks.buffered import Buffered
from gateway.sinks.worker import describe, opened, writing

__all__ = ["DirectSink", "in_call"]

_TIMED_AT_FIRST: Final = 50  # frames; a second of one track
_TIMED_AFTER_STALL: Final = 150  # frames; as long as five overruns in ten seconds may be apart
_AT_ONCE: Final = 25  # early frames handed over before the event loop has its turn


@asynccontextmanager
async def in_call(
    source: SinkSource, info: StreamInfo, *, budget: LoopBudget, on_change: Callable[[], None]
) -> AsyncIterator["DirectSink"]:
    """Open a sink that is called directly."""
    async with opened(source, info) as sink:
        yield DirectSink(sink, budget, on_change)


class DirectSink:
    """A `Worker` for the frames that waited; the others go to `write`.

    Args:
        sink: The sink.
        budget: Takes the times.
        on_change: Told when `write` is to be called, and when it is another.

    Attributes:
        tracks: What the sink wants to hear.
        frames: How many it took that had waited.
    """

    def __init__(self, sink: Any, budget: LoopBudget, on_change: Callable[[], None]) -> None:
        self.tracks: frozenset[FrameTrack] = sink.tracks
        self.frames = 0
        self._sink = sink
        self._write = writing(sink, waits=False)
        self._budget = budget
        self._clock = budget.clock
        self._limit = budget.seconds
        self._on_change = on_change
        self._timed_left = _TIMED_AT_FIRST
        self._direct = False  # nothing waits any more, and frames go to `write`

    @property
    def write(self) -> Callable[[AudioFrame], None]:
        """What frames are to be given to at present: the sink's own method, or that with a watch."""
        return self._timed if self._timed_left > 0 else self._write

    async def drain(self, buffer: Buffered) -> None:
        """Hand over what waited, a few at a time; when nothing waits any more, `write` is to be called instead."""
        while (frame := buffer.pop()) is not None:
            self._timed(frame)
            self.frames += 1
            if self._budget.spent:
                return
            if not self.frames % _AT_ONCE:
                await asyncio.sleep(0)
        if not buffer.waiting:  # else it waits on disk, and comes with the next call
            self._direct = True
            self._on_change()

    def watch(self) -> None:
        """Time the next calls."""
        was_timed = self._timed_left > 0
        self._timed_left = _TIMED_AFTER_STALL
        if self._direct and not was_timed:
            self._on_change()

    def describe(self) -> dict[str, Any]:
        """What the sink tells of itself."""
        return describe(self._sink)

    def _timed(self, frame: AudioFrame) -> None:
        clock = self._clock
        begin = clock()
        self._write(frame)
        took = clock() - begin
        if took > self._limit:
            self._budget.note(took)
        self._timed_left -= 1
        if self._timed_left == 0 and self._direct:
            self._on_change()
