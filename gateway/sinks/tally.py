"""What became of the frames that came for one sink.

A sink that is called directly has nobody to count for it: that would cost every frame. But the frames of each track are
counted once for all sinks, so what a sink took follows from where that count stood as it began, and so does what it
missed after its end.
"""

from collections.abc import Callable

__all__ = ["Tally"]


class Tally:
    """The counts of one sink, but for what waits for it or gave way.

    Args:
        came: Tells how many frames of its tracks there were so far.

    Attributes:
        came: As given.
        taken: Frames that it took, without those that are taken directly just now.
        lost: Frames that it was given and did not get through.
    """

    def __init__(self, came: Callable[[], int]) -> None:
        self.came = came
        self.taken = 0
        self.lost = 0
        self._direct_since: int | None = None
        self._over_since: int | None = None

    def begin_direct(self) -> None:
        """From now on, each frame that comes is taken."""
        if self._direct_since is None:
            self._direct_since = self.came()

    def end_direct(self) -> None:
        """Frames are counted by others again."""
        self.taken += self._since(self._direct_since)
        self._direct_since = None

    def fail(self, frames: int) -> None:
        """So many of the last frames were not taken after all."""
        if self._direct_since is not None:
            self.end_direct()
            self.taken -= frames
        self.lost += frames

    def end(self) -> None:
        """From now on, each frame that comes is missed."""
        self.end_direct()
        self._over_since = self.came()

    def frames(self) -> int:
        """How many the sink took, without those of a worker that is at work."""
        return self.taken + self._since(self._direct_since)

    def dropped(self) -> int:
        """How many it did not, without those that wait or gave way."""
        return self.lost + self._since(self._over_since)

    def _since(self, mark: int | None) -> int:
        return 0 if mark is None else self.came() - mark
