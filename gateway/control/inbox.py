"""Events between the webhook and the handler: each of them once, and none lost.

The order is: written to the store, committed, answered with 200, handled, marked as handled. A crash before the commit
leaves nothing, and Telnyx, which got no answer, delivers again. A crash after it leaves an event that the next start
hands to the handler before any new one. A crash in the middle of a handler, or within a twentieth of a second after
it, has the next start handle the event again; so whatever a handler asks of Telnyx carries a `command_id` that is the
same in every process, and acts once.

An id is remembered from the moment its event is taken: a delivery that comes meanwhile waits for the same commit and
is answered with it. One that was refused is not remembered, so that it can come again.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from functools import partial
from typing import Final, Literal

from structlog.typing import FilteringBoundLogger

from gateway.control.dispatcher import EventDispatcher
from gateway.errors import InboxFullError, RemoteProtocolError, StoreError
from gateway.protocol.events import Event, parse_event
from gateway.store.store import Store

__all__ = ["Inbox"]

_MAX_ATTEMPTS: Final = 3
"""How many processes may begin to handle one event: one that ends its process each time must not do so for ever."""


class Inbox:
    """Takes events, keeps them until they are handled, and knows those that were there before.

    Args:
        store: Where they are kept.
        dispatcher: Gets the ones that are new.
        log: Gets a line for each event that an earlier process left.
        without_store: What becomes of events while the store cannot be written: `refuse` has Telnyx deliver them
            again, `serve` handles them all the same, and a crash may then lose one.
        forward: Told of each event once, with what it was read from, before it is handled.
        remember: How many ids to remember; the oldest are forgotten first.
        patience: Seconds that a webhook waits for its commit; Telnyx waits two for the answer.

    Attributes:
        duplicated: Events that came again.
        recovered: Events that an earlier process left, and this one has handed to the handler.
        unkept: Events that were handed to the handler without being kept.
        unreadable: Events of which a part could not be read: each is told once, and handled without that part.
    """

    def __init__(
        self,
        store: Store,
        dispatcher: EventDispatcher,
        *,
        log: FilteringBoundLogger,
        without_store: Literal["refuse", "serve"] = "refuse",
        forward: Callable[[Event, bytes], None] = lambda event, body: None,
        remember: int = 50_000,
        patience: float = 1.5,
    ) -> None:
        self.duplicated = 0
        self.recovered = 0
        self.unkept = 0
        self.unreadable = 0
        self._store = store
        self._dispatcher = dispatcher
        self._log = log
        self._serve_anyway = without_store == "serve"
        self._forward = forward
        self._remember = remember
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._known: OrderedDict[str, _Taking | None] = OrderedDict()  # None once there is nothing to wait for
        self._keeping = 0
        self._waiting: deque[_Taking] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def recover(self) -> None:
        """Take up what an earlier process left: the ids it knew, and the events that it did not finish.

        Raises:
            StoreError: The store cannot be read.
        """
        for event_id in await self._store.event_ids():
            self._known[event_id] = None
        for kept in await self._store.unfinished_webhooks():
            try:
                if kept.attempts > _MAX_ATTEMPTS:
                    raise RemoteProtocolError(f"{_MAX_ATTEMPTS} processes have ended while they handled it")
                event = parse_event(kept.body)
            except RemoteProtocolError as error:
                self._log.error("event given up", event_id=kept.event_id, error=str(error))
                self._store.finish_webhook(kept.seq)
                continue
            self._log.info("event taken up", event_type=event.event_type, event_id=event.id)
            self.recovered += 1
            self._forward(event, kept.body)
            self._dispatcher.submit(event, partial(self._store.finish_webhook, kept.seq))

    async def take(self, event: Event, body: bytes) -> None:
        """Take an event, and wait until it is safe; does nothing for one that was there before.

        Args:
            event: Trusted.
            body: What it was read from; kept with it.

        Raises:
            InboxFullError: There is no room.
            StoreError: It cannot be kept, or not in time.
        """
        if event.id in self._known:
            self.duplicated += 1
            known = self._known[event.id]
            if known is not None:
                await asyncio.shield(known.safe)
            return
        if not self._dispatcher.has_room(event, besides=self._keeping):
            raise InboxFullError(f"{self._dispatcher.pending + self._keeping} events are waiting")
        loop = self._loop
        taking = self._known[event.id] = _Taking(event, body, loop.create_future(), loop.time() + self._patience)
        self._keeping += 1
        taking.seq = self._store.keep_webhook(event.id, body, partial(self._settled, taking))
        self._waiting.append(taking)
        if self._timer is None:
            self._timer = loop.call_at(taking.deadline, self._hurry)
        await taking.safe

    # --- inside ---------------------------------------------------------------------------------------------------

    def _settled(self, taking: "_Taking", error: StoreError | None) -> None:
        """The store has committed an event, or could not."""
        self._keeping -= 1
        if taking.handed_on:  # without waiting for this
            if error is None:
                self._store.finish_webhook(taking.seq)
        elif error is None:
            self._hand_on(taking, kept=True)
        elif self._serve_anyway:
            self._hand_on(taking, kept=False)
        else:
            self._known.pop(taking.event.id, None)
            taking.fail(error)
        while self._waiting and self._waiting[0].safe.done():  # what has been answered takes no memory
            self._waiting.popleft()

    def _hand_on(self, taking: "_Taking", *, kept: bool) -> None:
        """Have an event answered, and then handled."""
        taking.handed_on = True
        self._known[taking.event.id] = None
        if len(self._known) > self._remember:
            self._known.popitem(last=False)
        if not taking.safe.done():
            taking.safe.set_result(None)
        self.unkept += not kept
        if taking.event.unreadable:
            self._tell_unreadable(taking.event)
        self._forward(taking.event, taking.body)
        self._dispatcher.submit(taking.event, partial(self._store.finish_webhook, taking.seq) if kept else None)

    def _tell_unreadable(self, event: Event) -> None:
        """Name the fields; their values stand in no log."""
        self.unreadable += 1
        fields = [path[:100] for path in event.unreadable][:20]
        self._log.warning("event read in part", event_type=event.event_type, event_id=event.id, unreadable=fields)

    def _hurry(self) -> None:
        """Answer the webhooks that have waited too long; an event that is committed after that is handled as well."""
        now = self._loop.time()
        while self._waiting and (self._waiting[0].deadline <= now or self._waiting[0].handed_on):
            taking = self._waiting.popleft()
            if not taking.handed_on and self._serve_anyway:
                self._hand_on(taking, kept=False)
            elif not taking.handed_on:
                taking.fail(StoreError(f"the store has not committed within {self._patience:g} s"))
        self._timer = None
        if self._waiting:
            self._timer = self._loop.call_at(self._waiting[0].deadline, self._hurry)


class _Taking:
    """An event on its way into the store, and the webhook that waits for it."""

    __slots__ = ("body", "deadline", "event", "handed_on", "safe", "seq")

    def __init__(self, event: Event, body: bytes, safe: asyncio.Future[None], deadline: float) -> None:
        self.event = event
        self.body = body
        self.safe = safe
        self.deadline = deadline  # on the event loop's clock
        self.seq = 0
        self.handed_on = False

    def fail(self, error: StoreError) -> None:
        """Have the webhook refused."""
        if not self.safe.done():
            self.safe.set_exception(error)
