"""Events after their webhooks were answered: in order within a call, calls beside each other."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from structlog.typing import FilteringBoundLogger

from gateway.protocol.events import Event

__all__ = ["EventDispatcher"]


class EventDispatcher:
    """Hands events to a handler; an async context manager, which owns the tasks.

    An exception of the handler, or one that takes too long, costs that event only: it is logged and counted. Leaving
    the context takes no new events and gives the ones at hand some time.

    Args:
        handler: Called with one event at a time for each call.
        log: Gets one line for each event that failed.
        max_pending: How many events may be waiting or in hand, of all calls.
        max_pending_per_call: The same, of one call.
        handler_timeout: Seconds that one event may take.
        drain_timeout: Seconds that the events at hand get on leaving.

    Attributes:
        pending: Events waiting or in hand.
        failed: Events that the handler did not get through, or never got.
    """

    def __init__(
        self,
        handler: Callable[[Event], Awaitable[None]],
        *,
        log: FilteringBoundLogger,
        max_pending: int = 1000,
        max_pending_per_call: int = 32,
        handler_timeout: float = 30.0,
        drain_timeout: float = 10.0,
    ) -> None:
        self.pending = 0
        self.failed = 0
        self._handler = handler
        self._log = log
        self._max_pending = max_pending
        self._max_pending_per_call = max_pending_per_call
        self._handler_timeout = handler_timeout
        self._drain_timeout = drain_timeout
        self._tasks = asyncio.TaskGroup()
        self._queues: dict[str, deque[Event]] = {}  # one for each call with events waiting or in hand
        self._workers: set[asyncio.Task[None]] = set()
        self._open = False

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open = False
        try:
            if error is None and self._workers:
                await asyncio.wait(self._workers, timeout=self._drain_timeout)
        finally:
            for worker in self._workers:
                worker.cancel()
            # Not told of `error`: the group would wrap it.
            await self._tasks.__aexit__(None, None, None)

    def submit(self, event: Event) -> bool:
        """Take an event, to be handled soon; False if there is no room, or the context is left or not yet entered."""
        key = event.payload.call_control_id or f"event {event.id}"  # what belongs to no call waits for nothing
        queue = self._queues.get(key)
        if not self._open or self.pending >= self._max_pending:
            return False
        if queue is not None and len(queue) >= self._max_pending_per_call:
            return False
        self.pending += 1
        if queue is not None:
            queue.append(event)
            return True
        queue = self._queues[key] = deque([event])
        worker = self._tasks.create_task(self._work(key, queue), name=f"events {key}")
        self._workers.add(worker)
        worker.add_done_callback(lambda task: self._ended(task, key, queue))
        return True

    async def _work(self, key: str, queue: deque[Event]) -> None:
        """Handle the events of one call; each leaves the queue when it is done: `pending` counts it till then."""
        while queue:
            await self._handle(queue[0])
            queue.popleft()
            self.pending -= 1
        del self._queues[key]  # now, not in `_ended`: an event that came between would join a queue nobody serves

    def _ended(self, worker: asyncio.Task[None], key: str, queue: deque[Event]) -> None:
        """Tidy up after a worker. One that was cancelled leaves events, whether it took its first step or not."""
        self._workers.discard(worker)
        if queue:
            self.pending -= len(queue)
            self.failed += len(queue)
            self._log.warning("events dropped", count=len(queue))
            del self._queues[key]

    async def _handle(self, event: Event) -> None:
        try:
            async with asyncio.timeout(self._handler_timeout):
                await self._handler(event)
        except Exception:  # noqa: BLE001 - whatever a handler raises costs its own event only; it is logged
            self.failed += 1
            self._log.exception(
                "event failed", event_type=event.event_type, call_control_id=event.payload.call_control_id
            )
