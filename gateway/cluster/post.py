"""Events on their way to the worker that has their call; it keeps them, and knows them when they come again.

They are trusted by then: the worker that they came to has verified them.
"""

import asyncio
from collections.abc import Awaitable
from typing import Final

from gateway.cluster.owners import Owners
from gateway.cluster.peers import Peers
from gateway.control.dispatcher import Handler
from gateway.errors import InboxFullError, StoreError, WorkerGoneError
from gateway.protocol.events import Event

__all__ = ["OWNER", "EventPost", "subject_of"]

OWNER: Final = "Owner"
"""Header of an answer 421: the worker that has the call."""

_PATIENCE: Final = 1.2
"""Seconds that a worker may not be there: Telnyx waits two for the answer, and delivers again after 503."""
_TIMEOUT: Final = 4.0
_AGAIN: Final = 0.25


def subject_of(event: Event) -> str:
    """By what the owner is found: the call; what is of no call goes where it went when it came before."""
    return event.payload.call_control_id or f"event {event.id}"


class EventPost:
    """Sends events.

    Args:
        owners: Know whose a call is.
        peers: The other workers.

    Attributes:
        sent: How many were taken by others.
    """

    def __init__(self, owners: Owners, peers: Peers) -> None:
        self.sent = 0
        self._owners = owners
        self._peers = peers

    async def send(self, worker: int, body: bytes) -> int | None:
        """Have a worker take an event, and wait until it is safe; where a third one has its call, gives that one.

        Raises:
            InboxFullError: The worker does not take it.
            StoreError: The worker is not there.
        """
        try:
            answer = await self._peers.ask(
                worker, "POST", "/cluster/webhooks", body=body, patience=_PATIENCE, timeout=_TIMEOUT
            )
        except WorkerGoneError as error:
            raise StoreError(str(error)) from error
        if answer.status == 421:
            return int(answer.headers[OWNER])
        if answer.status != 200:
            raise InboxFullError(f"worker {worker} does not take it: {answer.status}")
        self.sent += 1
        return None

    def handling(self, handle: Handler) -> Handler:
        """Handle events as `handle` does, but send those after their calls that have moved since they were taken."""

        def handle_ours(event: Event) -> Awaitable[None] | None:
            ours = self._owners.is_ours(subject_of(event))
            return handle(event) if ours else self._send_after(event, handle)

        return handle_ours

    async def _send_after(self, event: Event, handle: Handler) -> None:
        """Have an event taken where its call is now; the dispatcher says how long that may take."""
        subject = subject_of(event)
        while not self._owners.is_ours(subject):
            try:
                if await self.send(self._owners.owner_of(subject), event.body) is None:
                    return
            except (InboxFullError, StoreError):
                pass  # it is full, or being restarted
            await asyncio.sleep(_AGAIN)  # else it has moved on, of which we hear as well
        following = handle(event)
        if following is not None:
            await following
