"""The ledger of gaps: where the sound of a call is not what was said, and why."""

from collections import Counter
from typing import Any, Final, Literal, TypeAlias

import msgspec

from gateway.media.frame import FrameTrack

__all__ = ["Cause", "Gap", "GapLedger"]

Cause: TypeAlias = Literal["lost", "bad_payload", "silence", "reconnect"]
"""`lost`: the packet did not come in time. `bad_payload`: it came and could not be decoded. `silence`: nothing was
sent, so nothing is missing: RTP's timestamps went on without packets (silence suppression). `reconnect`: the socket had
fallen, and the next was not there yet."""

_MAX_GAPS: Final = 1000


class Gap(msgspec.Struct):
    """A stretch of made-up sound.

    Attributes:
        track: Whose sound it stands for.
        position: Its first sample on the track's time line.
        length: In samples.
        cause: Why the sound is not there.
    """

    track: FrameTrack
    position: int
    length: int
    cause: Cause


class GapLedger:
    """All gaps of one call, in the order they were found.

    Args:
        max_gaps: How many are kept; the later ones only count in the totals.

    Attributes:
        gaps: The ones that are kept.
        gaps_total: How many there were.
        samples: How long they were, in samples, by cause.
    """

    def __init__(self, max_gaps: int = _MAX_GAPS) -> None:
        self.gaps: list[Gap] = []
        self.gaps_total = 0
        self.samples: Counter[Cause] = Counter()
        self._max_gaps = max_gaps
        self._last: dict[FrameTrack, Gap] = {}

    @property
    def samples_total(self) -> int:
        """How long they were together, in samples."""
        return self.samples.total()

    def add(self, track: FrameTrack, position: int, length: int, cause: Cause) -> None:
        """Enter `length` samples from `position` on; one that begins where the last ended is merged with it."""
        self.samples[cause] += length
        last = self._last.get(track)
        if last is not None and last.cause == cause and last.position + last.length == position:
            last.length += length
            return
        self.gaps_total += 1
        self._last[track] = gap = Gap(track, position, length, cause)
        if len(self.gaps) < self._max_gaps:
            self.gaps.append(gap)

    def describe(self) -> dict[str, Any]:
        """The ledger as JSON-ready values; positions and lengths in samples."""
        return {
            "gaps": [msgspec.structs.asdict(gap) for gap in self.gaps],
            "gaps_total": self.gaps_total,
            "gaps_omitted": self.gaps_total - len(self.gaps),
            "samples_total": self.samples_total,
            "samples_by_cause": dict(self.samples),
        }
