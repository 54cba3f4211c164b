"""How many requests Telnyx takes: a count for each window of time. No I/O, no clock.

Two limits are documented: a rolling one for dials, 30 a second over five seconds, and a general one without figures,
which tells of itself in three headers.

Source: Telnyx, "API rate limiting" and "Dials Per Second Limit".
"""

import math
from collections import deque
from dataclasses import dataclass

__all__ = ["RateLimit", "RateLimiter"]


@dataclass(frozen=True, slots=True)
class RateLimit:
    """So many requests in so many seconds."""

    requests: int
    seconds: float


class RateLimiter:
    """Counts the requests of a rolling window; one that was refused does not count."""

    def __init__(self, limit: RateLimit) -> None:
        self.limit = limit
        self._times: deque[float] = deque()

    def take(self, *, now: float) -> bool:
        """Whether one more is within the limit; if so it is counted."""
        self._forget(now)
        if len(self._times) >= self.limit.requests:
            return False
        self._times.append(now)
        return True

    def headers(self, *, now: float) -> dict[str, str]:
        """What Telnyx tells with every answer; `reset` is when there is room again, in whole seconds."""
        self._forget(now)
        reset = max(0.0, self._times[0] + self.limit.seconds - now) if self._times else 0.0
        return {
            "x-ratelimit-limit": str(self.limit.requests),
            "x-ratelimit-remaining": str(self.limit.requests - len(self._times)),
            "x-ratelimit-reset": str(math.ceil(reset)),
        }

    def _forget(self, now: float) -> None:
        while self._times and self._times[0] <= now - self.limit.seconds:
            self._times.popleft()
