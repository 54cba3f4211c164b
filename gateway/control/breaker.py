"""A circuit breaker: while Telnyx's API fails again and again, commands fail at once instead of piling up.

    closed -- `threshold` failures in a row --> open -- `cool_down` seconds --> half open: one attempt may pass
       ^                                          ^                                 |
       |                                          +----------- it fails -----------+|
       +------------------------------------------------------ it succeeds ---------+

A failure is an attempt without an answer or with 5xx. A refusal (4xx) shows that the API works.

Pure: the time is an argument, in seconds of one monotonic clock.
"""

__all__ = ["CircuitBreaker"]


class CircuitBreaker:
    """See the module.

    Args:
        threshold: How many failures in a row open it.
        cool_down: Seconds until it lets an attempt through again.

    Attributes:
        opened: How often it has opened.
    """

    def __init__(self, *, threshold: int = 10, cool_down: float = 2.0) -> None:
        self.opened = 0
        self._threshold = threshold
        self._cool_down = cool_down
        self._failures = 0
        self._next: float | None = None  # when an attempt is let through; None while closed

    def admit(self, *, now: float) -> float:
        """Ask to make an attempt, whose end has to be told by `succeeded` or `failed`.

        Returns:
            0 if it may be made, else the seconds until one may.
        """
        if self._next is None:
            return 0.0
        if now < self._next:
            return self._next - now
        self._next = now + self._cool_down  # the others wait for what becomes of this one
        return 0.0

    def succeeded(self) -> None:
        """The API has answered, whatever it said."""
        self._failures = 0
        self._next = None

    def failed(self, *, now: float) -> None:
        """The API has failed."""
        self._failures += 1
        if self._failures >= self._threshold:
            self.opened += self._next is None
            self._next = now + self._cool_down
