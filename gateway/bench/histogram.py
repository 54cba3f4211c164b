"""Times in buckets: as many as there are, in the same memory, and added up over processes and hours."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

__all__ = ["Histogram"]

_SHORTEST: Final = 1e-6
_LONGEST: Final = 1e3
_WIDTH: Final = math.log(1.01)
_BUCKETS: Final = math.ceil(math.log(_LONGEST / _SHORTEST) / _WIDTH) + 1


class Histogram:
    """How often which time was seen.

    Buckets are 1 % wide, from a microsecond to 1000 seconds; what lies outside counts in the outermost. A percentile is
    its bucket's upper end, so it is never told too small, and by less than 1 % too great.

    Attributes:
        longest: The longest time, exactly; 0 before the first.
    """

    def __init__(self) -> None:
        self.longest = 0.0
        self._counts = np.zeros(_BUCKETS, np.int64)

    def add(self, seconds: Sequence[float]) -> None:
        """Count times, in seconds."""
        if not seconds:
            return
        times = np.clip(np.asarray(seconds, np.float64), _SHORTEST, _LONGEST)
        buckets = (np.log(times / _SHORTEST) / _WIDTH).astype(np.int64)
        self._counts += np.bincount(buckets, minlength=_BUCKETS)
        self.longest = max(self.longest, *seconds) if len(seconds) > 1 else max(self.longest, seconds[0])

    def merge(self, other: "Histogram") -> None:
        """Count what another has counted as well."""
        self._counts += other._counts  # noqa: SLF001 - of the same class
        self.longest = max(self.longest, other.longest)

    def __len__(self) -> int:
        return int(self._counts.sum())

    def percentile(self, percent: float) -> float | None:
        """The time that so many percent did not exceed, in seconds; None where there is none."""
        total = len(self)
        if not total:
            return None
        rank = max(1, math.ceil(total * percent / 100))
        bucket = int(np.searchsorted(np.cumsum(self._counts), rank))
        return float(min(self.longest, _SHORTEST * math.exp((bucket + 1) * _WIDTH)))
