"""Notices that the event loop stood still, so that nobody has to look at the clock for every frame.

To take the time of each call of each sink would cost as much as the calls themselves. So they are timed only when
somebody held the loop, for a while: whoever does it again is found then.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol, Self
from weakref import WeakSet

__all__ = ["StallWatch", "Watched"]

_INTERVAL: Final = 0.03  # seconds; a stall longer than this and the limit is always seen, a shorter one mostly


class Watched(Protocol):
    """What wants to know."""

    def loop_stalled(self) -> None:
        """The event loop stood still, for whatever reason."""


class _Timer(Protocol):
    def cancel(self) -> None: ...


class StallWatch:
    """Looks at the clock some thirty times a second while something is watched; a context manager.

    Args:
        call_later: The event loop's.
        clock: Monotonic seconds.
        limit: Seconds that a timer may be late before it counts as a stall.

    Attributes:
        stalls: How many there were.
        longest: Seconds of the longest.
    """

    def __init__(
        self,
        call_later: Callable[[float, Callable[[], Any]], _Timer],
        clock: Callable[[], float],
        *,
        limit: float,
    ) -> None:
        self.stalls = 0
        self.longest = 0.0
        self._call_later = call_later
        self._clock = clock
        self._limit = limit
        self._watched: WeakSet[Watched] = WeakSet()
        self._timer: _Timer | None = None
        self._due = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._watched.clear()

    def add(self, watched: Watched) -> None:
        """Tell it of stalls from now on."""
        self._watched.add(watched)
        if self._timer is None:
            self._arm()

    def discard(self, watched: Watched) -> None:
        """Tell it no more."""
        self._watched.discard(watched)

    def describe(self) -> dict[str, Any]:
        """The counters as JSON-ready values."""
        return {"loop_stalls": self.stalls, "loop_stall_longest": round(self.longest, 3)}

    def _arm(self) -> None:
        self._due = self._clock() + _INTERVAL
        self._timer = self._call_later(_INTERVAL, self._look)

    def _look(self) -> None:
        self._timer = None
        late = self._clock() - self._due
        if late > self._limit:
            self.stalls += 1
            self.longest = max(self.longest, late)
            for watched in list(self._watched):
                watched.loop_stalled()
        if self._watched:
            self._arm()
