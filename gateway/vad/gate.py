"""From hops that are speech or not to stretches of speech: a click does not begin one, a breath does not end one.

Pure: hops in, beginnings and ends out. Places are counted in hops.
"""

from typing import Final, Literal, TypeAlias

__all__ = ["Change", "SpeechGate"]

Change: TypeAlias = tuple[Literal["started", "ended"], int]
"""What has changed, and at which hop: the first of the speech, or the first behind it."""

_START: Final = 0.06
"""Seconds of speech that begin a stretch..."""
_WITHIN: Final = 0.1
"""...if they come within so many."""


class SpeechGate:
    """Two counters.

    Args:
        hop: Seconds that one lasts.
        silence: Seconds without speech that end a stretch.

    Attributes:
        open: Whether somebody speaks.
    """

    def __init__(self, hop: float, *, silence: float) -> None:
        self.open = False
        self._needed = max(1, round(_START / hop))
        self._window = max(self._needed, round(_WITHIN / hop))
        self._patience = max(1, round(silence / hop))
        self._hops = 0
        self._voiced: list[int] = []  # while closed: hops of speech within the window
        self._last = 0  # while open: the last hop of speech

    def push(self, *, speech: bool) -> Change | None:
        """Take the next hop; returns what changes by it."""
        here = self._hops
        self._hops += 1
        if self.open:
            if speech:
                self._last = here
            elif here - self._last >= self._patience:
                self.open = False
                return "ended", self._last + 1
            return None
        if not speech:
            return None
        self._voiced = [hop for hop in self._voiced if here - hop < self._window]
        self._voiced.append(here)
        if len(self._voiced) < self._needed:
            return None
        first = self._voiced[0]
        self._voiced = []
        self._last = here
        self.open = True
        return "started", first

    def skip(self, hops: int) -> Change | None:
        """Take so many hops of silence."""
        self._hops += hops
        if self.open and self._hops - 1 - self._last >= self._patience:
            self.open = False
            return "ended", self._last + 1
        return None
