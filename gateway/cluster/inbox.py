"""The inbox of one of several workers: what comes in here and is about a call of another one goes there."""

from typing import Any, Final

from gateway.cluster.owners import Owners
from gateway.cluster.post import EventPost, subject_of
from gateway.control.inbox import Inbox
from gateway.directory import CallDirectory
from gateway.errors import InboxFullError
from gateway.protocol.events import CallInitiated, Event

__all__ = ["SharedInbox"]

_MOST_HOPS: Final = 3
_SETTLING: Final = 1.0
"""Seconds that the first webhook of a call waits, which may have been dialled by another worker."""


class SharedInbox(Inbox):
    """See the module.

    Args:
        inbox: Those of `Inbox`.
        owners: Know whose a call is.
        post: Sends events to other workers.
        directory: Knows the calls of this worker.
        options: The others of `Inbox`.
    """

    def __init__(self, *inbox: Any, owners: Owners, post: EventPost, directory: CallDirectory, **options: Any) -> None:
        super().__init__(*inbox, **options)
        self._owners = owners
        self._post = post
        self._directory = directory

    async def take(self, event: Event, body: bytes) -> None:
        """Have the worker that has the call take an event; raises as `Inbox.take` does."""
        owner = self._owners.owner_of(subject_of(event))
        for _ in range(_MOST_HOPS):
            if owner == self._owners.slot.index:
                elsewhere = await self.take_here(event, body)
            else:
                elsewhere = await self._post.send(owner, body)
            if elsewhere is None:
                return
            owner = elsewhere
        raise InboxFullError("no worker says that the event's call is its own")

    async def take_here(self, event: Event, body: bytes) -> int | None:
        """Take an event, unless another worker has its call; gives that one. Raises as `Inbox.take` does."""
        subject = subject_of(event)
        owner = self._owners.owner_of(subject)
        if owner == self._owners.slot.index and self._may_be_dialled(event):
            owner = await self._owners.settled(subject, timeout=_SETTLING)
        if owner != self._owners.slot.index:
            return owner
        await super().take(event, body)
        return None

    def _may_be_dialled(self, event: Event) -> bool:
        """Whether this may be news of a call that another worker dials, and does not know the id of yet."""
        call_control_id = event.payload.call_control_id
        if call_control_id is None or self._directory.get(call_control_id) is not None:
            return False
        return not (type(event) is CallInitiated and event.payload.direction == "incoming")
