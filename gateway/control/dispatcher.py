"""Events after their webhooks were answered: in order within a call, calls beside each other.

Telnyx delivers concurrently and promises no order. What waits for its turn in one call is therefore handled by
`occurred_at`, not by arrival. Where the order of events has a meaning, such as that of keys pressed, an event is held
for a moment, so that an earlier one that was overtaken on its way comes before it. The events that the call's life is
made of are never held: any order of them leads to the same state, and a caller waits for the answer. When one of them
is handled, what is known to have occurred before it goes first.

Most events are bookkeeping and are handled by a plain call. Only a handler that has to wait for something gets a task,
and its call's next events wait for it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Final, NamedTuple, Self

from structlog.typing import FilteringBoundLogger

from gateway.protocol.events import Event

__all__ = ["EventDispatcher", "Handler"]

Handler = Callable[[Event], Awaitable[None] | None]
"""Handles an event; what it still has to wait for, it returns."""

UNORDERED: Final = frozenset(
    {"call.initiated", "call.answered", "call.hangup", "streaming.started", "streaming.stopped", "streaming.failed"}
)
"""The events of a call's life, see `gateway.lifecycle`: handled at once, in any order."""


class _Item(NamedTuple):
    """An event that waits."""

    event: Event
    ripe_at: float  # on the event loop's clock: it may be handled from then on; 0 for at once
    done: Callable[[], None] | None


class _Line:
    """The events of one call that wait."""

    __slots__ = ("busy", "due", "items", "key", "stopped", "timer")

    def __init__(self, key: str) -> None:
        self.key = key
        self.items: list[_Item] = []  # as they came
        self.busy = False  # a handler is waiting for something
        self.due = False  # it stands in the list of lines to be served
        self.stopped = False
        self.timer: asyncio.TimerHandle | None = None

    def ripe_at(self) -> float:
        """When the first of its events may be handled, and with it all that occurred before that one."""
        return self.items[0].ripe_at and min(item.ripe_at for item in self.items)

    def stop(self) -> None:
        """Have it served no more."""
        self.stopped = True
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


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
        hold: Seconds that an event waits for those that may have occurred before it, where their order matters.

    Attributes:
        pending: Events waiting or in hand.
        failed: Events that the handler did not get through.
        left: Events that were not handled when the context was left.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        log: FilteringBoundLogger,
        max_pending: int = 1000,
        max_pending_per_call: int = 32,
        handler_timeout: float = 30.0,
        drain_timeout: float = 10.0,
        hold: float = 0.1,
    ) -> None:
        self.pending = 0
        self.failed = 0
        self.left = 0
        self._handler = handler
        self._log = log
        self._max_pending = max_pending
        self._max_pending_per_call = max_pending_per_call
        self._handler_timeout = handler_timeout
        self._drain_timeout = drain_timeout
        self._hold = hold
        self._lines: dict[str, _Line] = {}
        self._due: list[_Line] = []
        self._idle = asyncio.Event()
        self._tasks = asyncio.TaskGroup()
        self._workers: set[asyncio.Task[None]] = set()
        self._open = False
        self._loop: asyncio.AbstractEventLoop

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        await self._tasks.__aenter__()
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open = False
        try:
            for line in list(self._lines.values()):  # nothing more will come: what is held need not be
                self._make_due(line)
            if error is None and self.pending:
                self._idle.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._drain_timeout):
                        await self._idle.wait()
        finally:
            self._due.clear()
            for line in self._lines.values():
                line.stop()
            for worker in self._workers:
                worker.cancel()
            # Not told of `error`: the group would wrap it.
            await self._tasks.__aexit__(None, None, None)
            self.left, self.pending = self.left + self.pending, 0
            if self.left:
                self._log.warning("events left", count=self.left)

    def has_room(self, event: Event, *, besides: int = 0) -> bool:
        """Whether an event may be handed in; not before the context is entered, nor after it is left.

        Args:
            event: That one.
            besides: How many others are on their way here.
        """
        if not self._open or self.pending + besides >= self._max_pending:
            return False
        line = self._lines.get(_key(event))
        return line is None or len(line.items) + line.busy < self._max_pending_per_call

    def submit(self, event: Event, done: Callable[[], None] | None = None) -> None:
        """Take an event, to be handled soon, but never before this call has returned.

        Args:
            event: Is taken even where there is no room, but not once the context is left.
            done: Called once it was handled, well or not; not if it was left.
        """
        if not self._open:
            self.left += 1
            return
        key = _key(event)
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line(key)
        ripe_at = 0.0 if event.event_type in UNORDERED else self._loop.time() + self._hold
        line.items.append(_Item(event, ripe_at, done))
        self.pending += 1
        if ripe_at:
            self._hold_back(line, ripe_at)
        else:
            self._make_due(line)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _make_due(self, line: _Line) -> None:
        if not line.due:
            line.due = True
            if not self._due:
                # Not in this turn of the loop, nor in the next, in which the answers are written: behind that.
                self._loop.call_soon(self._loop.call_soon, self._serve_due)
            self._due.append(line)

    def _hold_back(self, line: _Line, until: float) -> None:
        if line.timer is None:
            line.timer = self._loop.call_at(until, self._held, line)

    def _held(self, line: _Line) -> None:
        line.timer = None
        self._make_due(line)

    def _serve_due(self) -> None:
        lines, self._due = self._due, []
        for line in lines:
            line.due = False
            self._serve(line)

    def _serve(self, line: _Line) -> None:
        """Handle the events of one call, the earliest first, until one has to wait or none is ripe."""
        if len(line.items) > 1:
            line.items.sort(key=_occurred_at)  # those of the same moment stay as they came
        while line.items and not line.busy and not line.stopped:
            ripe_at = line.ripe_at()
            if ripe_at and self._open and ripe_at > self._loop.time():
                self._hold_back(line, ripe_at)
                return
            item = line.items.pop(0)
            waiting = self._begin(item)
            if waiting is not None:
                line.busy = True
                worker = self._tasks.create_task(self._finish(line, item, waiting), name=f"event {item.event.id}")
                self._workers.add(worker)
                worker.add_done_callback(partial(self._ended, waiting))
        if not line.items and not line.busy:
            line.stop()
            del self._lines[line.key]

    def _begin(self, item: _Item) -> Awaitable[None] | None:
        try:
            waiting = self._handler(item.event)
        except Exception:  # noqa: BLE001 - whatever a handler raises costs its own event only; it is logged
            self._failed(item)
            return None
        if waiting is None:
            self._done(item)
        return waiting

    async def _finish(self, line: _Line, item: _Item, waiting: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(self._handler_timeout):
                await waiting
        except Exception:  # noqa: BLE001 - as above
            self._failed(item)
        else:
            self._done(item)
        line.busy = False
        self._serve(line)

    def _ended(self, waiting: Awaitable[None], worker: asyncio.Task[None]) -> None:
        self._workers.discard(worker)
        if asyncio.iscoroutine(waiting):
            waiting.close()  # it may have been cancelled before its first step

    def _failed(self, item: _Item) -> None:
        self.failed += 1
        event = item.event
        self._log.exception("event failed", event_type=event.event_type, call_control_id=event.payload.call_control_id)
        self._done(item)

    def _done(self, item: _Item) -> None:
        self.pending -= 1
        if not self.pending:
            self._idle.set()
        if item.done is not None:
            item.done()


def _key(event: Event) -> str:
    """What belongs to no call waits for nothing."""
    return event.payload.call_control_id or f"event {event.id}"


def _occurred_at(item: _Item) -> float:
    """Unix time; 0 where the event does not say it, so that it waits for no other."""
    try:
        occurred_at = datetime.fromisoformat(item.event.occurred_at or "")
        return (occurred_at if occurred_at.tzinfo else occurred_at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return 0.0
