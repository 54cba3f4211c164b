"""Sinks that block: each in a thread of its own, where it is made, written to and closed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from typing import Any

from gateway.errors import SinkError
from gateway.media.frame import FrameTrack
from gateway.sinks.base import AudioSink, SinkSource, StreamInfo
from gateway.sinks.buffered import Buffered
from gateway.sinks.thread import WorkerThread
from gateway.sinks.worker import Worker, describe, writing

__all__ = ["enter", "in_thread"]


@asynccontextmanager
async def in_thread(source: SinkSource, info: StreamInfo) -> AsyncIterator[Worker]:
    """Open a sink in a thread of its own.

    A thread that does not come back is left alone: it ends when it does.
    """
    thread = WorkerThread("sink")
    stack = ExitStack()
    try:
        sink = await thread.run(lambda: enter(stack, source, info))
    except BaseException:
        thread.submit(stack.close)  # for a sink that is opened after all, later
        thread.stop()
        raise
    worker = _ThreadedSink(sink, thread)
    try:
        yield worker
    finally:
        worker.stop()
        closed = thread.submit(stack.close)
        thread.stop()
        await asyncio.wrap_future(closed)


def enter(stack: ExitStack, source: SinkSource, info: StreamInfo) -> AudioSink:
    """Make a blocking sink and open it, if that is to be done.

    Raises:
        SinkError: It is one for the event loop.
    """
    made: Any = source(info)
    if hasattr(made, "__aenter__"):
        raise SinkError(f"{type(made).__name__} is opened by `async with`; in a worker it is `with`")
    sink: AudioSink = stack.enter_context(made) if hasattr(made, "__enter__") else made
    writing(sink, waits=False)
    return sink


class _ThreadedSink:
    """A `Worker`."""

    def __init__(self, sink: AudioSink, thread: WorkerThread) -> None:
        self.tracks: frozenset[FrameTrack] = sink.tracks
        self.frames = 0
        self._sink = sink
        self._thread = thread
        self._stopped = False

    async def drain(self, buffer: Buffered) -> None:
        await self._thread.run(partial(self._drain, buffer))

    def stop(self) -> None:
        self._stopped = True

    def describe(self) -> dict[str, Any]:
        return describe(self._sink)

    def _drain(self, buffer: Buffered) -> None:
        write = self._sink.write
        while not self._stopped and (frame := buffer.pop()) is not None:
            write(frame)
            self.frames += 1
