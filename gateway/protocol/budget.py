"""How many errors of the other side a stream bears before it is closed."""

from collections import deque

__all__ = ["ErrorBudget"]


class ErrorBudget:
    """Tells when there were too many errors in too short a time.

    Args:
        limit: This many errors,
        within: in this many seconds, are too many.
    """

    def __init__(self, limit: int = 10, within: float = 10.0) -> None:
        self._times: deque[float] = deque(maxlen=limit)
        self._limit = limit
        self._within = within

    def spend(self, *, now: float) -> bool:
        """Note one error; True when the limit is reached and the stream is to be closed."""
        self._times.append(now)
        return len(self._times) == self._limit and now - self._times[0] <= self._within
