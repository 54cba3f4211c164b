"""What the caller has said in one turn, out of the segments of a transcriber."""

import asyncio
from typing import Final

from gateway.transcribe.segment import Segment

__all__ = ["Hearing"]

_SLACK: Final = 0.5
"""Seconds by which a transcriber and a detector may differ over when somebody fell silent."""
_MAX_SEGMENTS: Final = 200


class Hearing:
    """Collects segments; all times are seconds on the call's media time.

    Attributes:
        taking: Somebody waits for the last words of a turn.
    """

    def __init__(self) -> None:
        self.taking = False
        self._finals: list[Segment] = []
        self._partial: Segment | None = None
        self._spoken_until = 0.0
        self._taken_until = 0.0
        self._something = asyncio.Event()

    def heard(self, segment: Segment) -> bool:
        """Take a segment. Returns whether it has words that no turn has had yet."""
        if segment.track != "inbound" or (segment.start + segment.end) / 2 < self._taken_until:
            return False  # the last word on what was answered already, by what was known of it then
        if segment.final:
            self._partial = None
            if len(self._finals) < _MAX_SEGMENTS:
                self._finals.append(segment)
        else:
            self._partial = segment
        self._something.set()
        return True

    def speech_ended(self, at: float) -> None:
        """The detector has heard the caller fall silent there."""
        self._spoken_until = at

    async def take(self, timeout: float) -> str:
        """What was said in this turn; what comes of it later is dropped.

        Args:
            timeout: Seconds to wait for the final words, if they are not all there.
        """
        self.taking = True
        try:
            async with asyncio.timeout(timeout):
                while not self._complete():
                    self._something.clear()
                    await self._something.wait()
        except TimeoutError:
            pass  # then what was understood so far has to do
        finally:
            self.taking = False
        segments = self._finals if self._partial is None else [*self._finals, self._partial]
        self._taken_until = max([self._taken_until, *(segment.end for segment in segments)])
        self._finals, self._partial = [], None
        return " ".join(segment.text.strip() for segment in segments).strip()

    def _complete(self) -> bool:
        return self._partial is None and bool(self._finals) and self._finals[-1].end >= self._spoken_until - _SLACK
