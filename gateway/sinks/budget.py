"""How long a sink may keep the event loop, on which all calls wait."""

from collections.abc import Callable

from gateway.protocol.budget import ErrorBudget

__all__ = ["LoopBudget"]


class LoopBudget:
    """Takes the times of one sink's calls.

    Args:
        seconds: What one call may take.
        clock: Monotonic seconds.
        on_spent: Told why, as there were too many longer ones: five in ten seconds.

    Attributes:
        clock: As given, and `seconds`.
        seconds: See `clock`.
        overruns: How many calls took longer.
        longest: Seconds of the longest of these.
        spent: Whether there were too many.
    """

    def __init__(self, seconds: float, *, clock: Callable[[], float], on_spent: Callable[[str], None]) -> None:
        self.clock = clock
        self.overruns = 0
        self.longest = 0.0
        self.spent = False
        self.seconds = seconds
        self._on_spent = on_spent
        self._patience = ErrorBudget(limit=5, within=10.0)

    def note(self, took: float) -> None:
        """Take the time of one call."""
        if took <= self.seconds:
            return
        self.overruns += 1
        self.longest = max(self.longest, took)
        if self._patience.spend(now=self.clock()) and not self.spent:
            self.spent = True
            self._on_spent(
                f"it kept the event loop for {took * 1000:.1f} ms, budget {self.seconds * 1000:g} ms, "
                "the fifth time in ten seconds"
            )
