"""The search for the knee: the greatest number of calls whose limits hold. No I/O."""

__all__ = ["KneeSearch"]


class KneeSearch:
    """Goes up in steps until a level fails, then halves what is left between.

    Args:
        first: Calls to begin with.
        last: Calls at most.
        step: How many more each time.
        precision: How near the knee is to be known.

    Attributes:
        held: The greatest number that held; None if none did.
        failed: The smallest number that failed; None if none did.
    """

    def __init__(self, first: int, last: int, step: int, *, precision: int) -> None:
        self.held: int | None = None
        self.failed: int | None = None
        self._first = first
        self._last = last
        self._step = step
        self._precision = precision

    def next(self) -> int | None:
        """The next number of calls to try; None when the knee is known as well as it is to be."""
        if self.held is None:
            return self._first if self.failed is None else None
        if self.failed is None:
            return None if self.held >= self._last else min(self.held + self._step, self._last)
        if self.failed - self.held <= self._precision:
            return None
        return (self.held + self.failed) // 2

    def judge(self, calls: int, *, held: bool) -> None:
        """Tell what came of a number."""
        if held:
            self.held = max(calls, self.held or 0)
        else:
            self.failed = min(calls, self.failed or calls)
