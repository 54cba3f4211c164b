"""A transcriber that lives in a worker process, for an agent that has its call listen to it."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

from gateway.media.frame import AudioFrame
from gateway.sinks.base import SinkSource, StreamInfo
from gateway.sinks.buffered import Buffered
from gateway.sinks.delivery import Delivery, delivery_of
from gateway.sinks.process import WorkerProcesses, in_process
from gateway.sinks.worker import Worker

__all__ = ["open_remote"]


class _Remote:
    """Hands frames to the process, one after the other, from a task of the sink's."""

    def __init__(self, worker: Worker, delivery: Delivery) -> None:
        self.tracks = worker.tracks
        self.delivery = Delivery(
            by="task", sample_rate=delivery.sample_rate, frames=delivery.frames, full=delivery.full
        )
        self._worker = worker
        self._frames: deque[AudioFrame] = deque()
        self._turn = asyncio.Lock()  # the call's task hands over frames while the agent's may close
        self._closed = False

    async def write(self, frame: AudioFrame) -> None:
        self._frames.append(frame)
        async with self._turn:
            if not self._closed:
                await self._worker.drain(cast(Buffered, self))  # of which it uses `pop`

    async def close(self) -> None:
        """Hand over nothing more; what is being handed over is waited for."""
        async with self._turn:
            self._closed = True

    def pop(self) -> AudioFrame | None:
        return self._frames.popleft() if self._frames else None

    def describe(self) -> dict[str, Any]:
        return self._worker.describe()


@asynccontextmanager
async def open_remote(
    source: SinkSource, info: StreamInfo, *, processes: WorkerProcesses | None
) -> AsyncIterator[_Remote]:
    """Open it.

    Args:
        source: Makes the sink in the process; its delivery is by process.
        info: The stream.
        processes: Where it is to live; a process of its own, which takes a second to start, if None.

    Raises:
        SinkError: It cannot be opened.
    """
    async with AsyncExitStack() as stack:
        if processes is None:
            processes = await stack.enter_async_context(WorkerProcesses())
        worker = await stack.enter_async_context(in_process(source, info, processes=processes))
        remote = _Remote(worker, delivery_of(source))
        try:
            yield remote
        finally:
            await remote.close()
