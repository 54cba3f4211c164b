"""How fast commands may leave: the dials' own limit, and what Telnyx says of its limits.

Pure: the time is an argument, in seconds of one monotonic clock.
"""

from collections import deque

__all__ = ["RateGate", "SlidingWindow"]


class SlidingWindow:
    """So many in any window of time, and all of them at once if need be.

    That is how Telnyx counts: 30 dials a second are 150 within any five seconds. Source: Telnyx, "Dials Per Second
    Limit".

    Args:
        limit: How many.
        window: Within how many seconds.
    """

    def __init__(self, limit: int, window: float) -> None:
        self._limit = limit
        self._window = window
        self._times: deque[float] = deque(maxlen=limit)  # of the last ones, also those that have yet to leave

    def reserve(self, *, now: float, deadline: float) -> float | None:
        """Take the next place.

        Returns:
            When it is, `now` or later; None if that is not before `deadline`: then no place was taken.
        """
        full = len(self._times) == self._limit
        place = max(now, self._times[0] + self._window) if full else now
        if place > now and place >= deadline:
            return None
        self._times.append(place)
        return place


class RateGate:
    """Where an answer says that the limit is used up, nothing more of that kind leaves until it is gone."""

    def __init__(self) -> None:
        self._opens: dict[str, float] = {}

    def close(self, kind: str, *, until: float) -> None:
        """Nothing of this kind before `until`."""
        self._opens[kind] = max(until, self._opens.get(kind, until))

    def opens(self, kind: str, *, now: float) -> float:
        """When the next of this kind may leave: `now` or later."""
        return max(now, self._opens.get(kind, now))
