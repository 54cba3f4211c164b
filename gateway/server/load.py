"""Whether the event loop keeps up: while it does not, new calls are turned away, so that the running ones stay in time.

A timer ten times a second shows how late the loop is. One stall says little: garbage is collected, a disk is waited
for, and playout, which is 160 ms ahead, has made up for it before anybody hears. A loop with more to do than there is
time for is late again and again, by more each time. So it is the median of the last two seconds that closes the door,
and nine tenths of them have to be below half the limit to open it again: else the calls that are let in at the first
good moment would close it at once.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol, Self

from structlog.typing import FilteringBoundLogger

__all__ = ["LoopLag", "LoopWatch"]

_INTERVAL: Final = 0.1  # seconds between two looks
_LOOKS: Final = 20
_CALM: Final = 18


class LoopLag:
    """Tells from the last looks at the clock whether the loop keeps up.

    Args:
        limit: Seconds that the loop may be late, at the median.

    Attributes:
        overloaded: It does not.
    """

    def __init__(self, limit: float) -> None:
        self.overloaded = False
        self._limit = limit
        self._late: deque[float] = deque(maxlen=_LOOKS)

    @property
    def median(self) -> float:
        """How late the loop was in the last looks, in seconds."""
        return sorted(self._late)[len(self._late) // 2] if self._late else 0.0

    def add(self, late: float) -> bool:
        """Take a look: how many seconds a timer was late. Returns whether `overloaded` has changed."""
        self._late.append(late)
        if self.overloaded:
            changed = sum(late <= self._limit / 2 for late in self._late) >= _CALM
        else:
            changed = sum(late > self._limit for late in self._late) > _LOOKS // 2
        self.overloaded ^= changed
        return changed


class _Timer(Protocol):
    def cancel(self) -> None: ...


class LoopWatch:
    """Looks at the clock while the context lasts.

    Args:
        call_later: The event loop's.
        clock: Monotonic seconds.
        limit: Seconds that the loop may be late, at the median of two seconds; 0: it is not looked at.
        log: Gets a line when the loop does not keep up any more, and when it does again.

    Attributes:
        overloads: How often it did not.
    """

    def __init__(
        self,
        call_later: Callable[[float, Callable[[], Any]], _Timer],
        clock: Callable[[], float],
        *,
        limit: float,
        log: FilteringBoundLogger,
    ) -> None:
        self.overloads = 0
        self._call_later = call_later
        self._clock = clock
        self._limit = limit
        self._log = log
        self._lag = LoopLag(limit)
        self._due = 0.0
        self._timer: _Timer | None = None

    def __enter__(self) -> Self:
        if self._limit:
            self._arm()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    @property
    def overloaded(self) -> bool:
        """Whether the loop does not keep up."""
        return self._lag.overloaded

    def describe(self) -> dict[str, Any]:
        """The counters as JSON-ready values."""
        return {"loop_overloaded": int(self.overloaded), "loop_overloads": self.overloads}

    def _arm(self) -> None:
        self._due = self._clock() + _INTERVAL
        self._timer = self._call_later(_INTERVAL, self._look)

    def _look(self) -> None:
        if self._lag.add(self._clock() - self._due):
            fields = {"lag_ms": round(self._lag.median * 1000, 1), "limit_ms": round(self._limit * 1000, 1)}
            if self._lag.overloaded:
                self.overloads += 1
                self._log.warning("event loop is late, new calls are refused", **fields)
            else:
                self._log.info("event loop keeps up again", **fields)
        self._arm()
