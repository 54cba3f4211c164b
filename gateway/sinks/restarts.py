"""When a sink that failed is opened again, with the time as an argument."""

from gateway.sinks.delivery import Restart

__all__ = ["Restarts"]


class Restarts:
    """The attempts of one sink.

    Args:
        rule: What it asks for; None: it is never opened again.

    Attributes:
        count: How many times it was opened again.
    """

    def __init__(self, rule: Restart | None) -> None:
        self.count = 0
        self._rule = rule
        self._attempt = 0
        self._opened_at: float | None = None

    def opened(self, *, now: float) -> bool:
        """Note that the sink is open. Returns whether it is so again."""
        self._opened_at = now
        self.count += self._attempt > 0
        return self._attempt > 0

    def failed(self, *, now: float) -> float | None:
        """Note that it failed. Returns the seconds until it is to be opened again; None for never."""
        if self._rule is None:
            return None
        if self._opened_at is not None and now - self._opened_at >= self._rule.healthy:
            self._attempt = 0
        self._opened_at = None
        self._attempt += 1
        return self._rule.delay(self._attempt)
