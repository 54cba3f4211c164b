"""Whose a call is: one worker has all that is known of it, its sound included, and is asked for whatever concerns it.

A call belongs to the worker that its id leads to, so that everybody knows where to look without having heard of it. One
that begins elsewhere, because it was dialled there or its media socket came in there, belongs to that worker, which
says so to all others; who starts later reads it from the store.

That word may come later than the first webhooks of a dialled call, which Telnyx sends while its answer to the dial is
still under way. Who would take such a call, because its id leads there, waits a moment for somebody else to speak up.
If that comes too late, the call moves: who had it gives it away, with all that was told of it, and keeps nothing. What
is still told of it there, such as the answer to a command, is sent after it; but a media socket that opens has the call
come to where it is.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress

from gateway.cluster.slot import WorkerSlot

__all__ = ["Owners"]


class Owners:
    """What one worker knows of the owners of calls.

    Args:
        slot: Which worker.
        max_calls: How many calls to remember that do not belong where their ids lead; the oldest are forgotten.

    Attributes:
        slot: The same.
        begun: Calls that begin here, and that not all others know of yet; each with what is done when they do.
        unannounced: Those of them of which nobody was told yet.
        late: Calls that were given away, and that more was told of.
        wake: Set when there is one of these two.
    """

    def __init__(self, slot: WorkerSlot, *, max_calls: int = 50_000) -> None:
        self.slot = slot
        self.begun: dict[str, asyncio.Future[None]] = {}
        self.unannounced: list[tuple[str, asyncio.Future[None]]] = []
        self.late: set[str] = set()
        self.wake = asyncio.Event()
        self._max_calls = max_calls
        self._elsewhere: OrderedDict[str, int] = OrderedDict()
        self._given: OrderedDict[str, None] = OrderedDict()
        self._waiting: dict[str, asyncio.Event] = {}

    def restore(self, owners: Iterable[tuple[str, int]]) -> None:
        """Take what is in the store: ids and owners, oldest first."""
        for call_control_id, owner in owners:
            self._note(call_control_id, owner)

    def owner_of(self, call_control_id: str) -> int:
        """Who has a call; where nobody has heard of it, who would."""
        owner = self._elsewhere.get(call_control_id)
        return self.slot.registrar(call_control_id) if owner is None else owner

    def is_ours(self, call_control_id: str) -> bool:
        """Whether a call is this worker's, or would be."""
        return self.owner_of(call_control_id) == self.slot.index

    def knows(self, call_control_id: str) -> bool:
        """Whether somebody has said whose a call is."""
        return call_control_id in self._elsewhere

    # --- calls that begin elsewhere than their ids lead ----------------------------------------------------------

    def tell(self, call_control_id: str, *, streams: Callable[[], bool]) -> bool:
        """Note that something is told of a call here.

        Args:
            call_control_id: The call.
            streams: Whether a media socket of it is open here that was not when it was given away.

        Returns:
            Whether that is for this worker to keep; not so where it has given the call away.
        """
        if self.is_ours(call_control_id):
            self._settle(call_control_id)
            return True
        if call_control_id in self._given:
            if not streams():
                self.late.add(call_control_id)
                self.wake.set()
                return False
            del self._given[call_control_id]
        self._note(call_control_id, self.slot.index)
        told = self.begun[call_control_id] = asyncio.get_running_loop().create_future()
        self.unannounced.append((call_control_id, told))
        self.wake.set()
        return True

    async def announced(self, call_control_id: str, *, timeout: float) -> None:
        """Wait until all others know that a call is here, though no longer than that."""
        told = self.begun.get(call_control_id)
        if told is not None:
            await asyncio.wait((told,), timeout=timeout)

    def moved(self, call_control_id: str, owner: int, *, given: bool) -> None:
        """Take another worker's word that it has a call.

        Args:
            call_control_id: The call.
            owner: The worker.
            given: Whether it was here before: what is still told of it here is not to be kept.
        """
        self._note(call_control_id, owner)
        if given:
            self._given[call_control_id] = None
            if len(self._given) > self._max_calls:
                self._given.popitem(last=False)
        self._settle(call_control_id)

    async def settled(self, call_control_id: str, *, timeout: float) -> int:
        """Wait until somebody is told of a call, and give its owner; where nobody is, who would have it."""
        if not self.knows(call_control_id):
            waiting = self._waiting.setdefault(call_control_id, asyncio.Event())
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await waiting.wait()
            self._settle(call_control_id)  # whoever waits for less long has waited long enough
        return self.owner_of(call_control_id)

    def _settle(self, call_control_id: str) -> None:
        waiting = self._waiting.pop(call_control_id, None)
        if waiting is not None:
            waiting.set()

    def _note(self, call_control_id: str, owner: int) -> None:
        if owner == self.slot.registrar(call_control_id) and call_control_id not in self._elsewhere:
            return
        self._elsewhere[call_control_id] = owner
        self._elsewhere.move_to_end(call_control_id)
        if len(self._elsewhere) > self._max_calls:
            self._elsewhere.popitem(last=False)
