"""One timer for the playout of all calls.

A timer for each call and frame costs several times what the wheel does, and a heap re-armed at its exact head makes
uvloop spin, whose timers have whole milliseconds. So deadlines fall into slots of 5 ms; a call is woken at the end of
its slot, and the playout's lead covers that.
"""

import heapq
import math
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

__all__ = ["Pacer", "Wake"]

Wake: TypeAlias = Callable[[float], None]
"""Called with the present time; must not raise."""

SLOT_SECONDS = 0.005
_SLOTS_IN_FRAME = 4


class _Timer(Protocol):
    def cancel(self) -> None: ...


class Pacer:
    """Wakes each call at its deadline, at most a slot late.

    Args:
        call_later: The event loop's, for the one timer.
        clock: Monotonic seconds; what deadlines are on.
    """

    def __init__(self, call_later: Callable[[float, Callable[[], Any]], _Timer], clock: Callable[[], float]) -> None:
        self._call_later = call_later
        self._clock = clock
        self._slots: dict[int, list[Wake]] = {}
        self._order: list[int] = []
        self._timer: _Timer | None = None
        self._armed_for = 0
        self._phases = 0

    def phase(self) -> float:
        """A place in each 20 ms for what one call sends by itself; the next call gets another."""
        self._phases += 1
        return (self._phases % _SLOTS_IN_FRAME + 0.5) * SLOT_SECONDS

    def wake_at(self, deadline: float, wake: Wake) -> None:
        """Call `wake(now)` once, when `deadline` has passed; it cannot be taken back, so `wake` looks what is due."""
        slot = math.ceil(deadline / SLOT_SECONDS)
        if slot * SLOT_SECONDS < deadline:
            slot += 1  # the division lost a last bit: woken with that slot, the call would find nothing due
        waiting = self._slots.get(slot)
        if waiting is not None:
            waiting.append(wake)
            return
        self._slots[slot] = [wake]
        heapq.heappush(self._order, slot)
        if self._timer is None or slot < self._armed_for:
            self._arm()

    def close(self) -> None:
        """Stop the timer; nobody is woken any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._slots.clear()
        self._order.clear()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed_for = self._order[0]
        delay = self._armed_for * SLOT_SECONDS - self._clock()
        # Rounded up to whole milliseconds, the loop's timer never comes a little early to find nothing due.
        self._timer = self._call_later(max(0.001, math.ceil(delay * 1000) / 1000), self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self._clock()
        while self._order and self._order[0] * SLOT_SECONDS <= now:
            for wake in self._slots.pop(heapq.heappop(self._order)):
                wake(now)
        if self._order and self._timer is None:
            self._arm()
