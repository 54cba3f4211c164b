"""A stretch of speech as text, whoever has understood it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from gateway.media.frame import FrameTrack

__all__ = ["FINAL", "PARTIAL", "OnSegment", "Publish", "Segment", "Word"]

PARTIAL: Final = "transcription.partial"
"""The event of a segment that may still change; the next one of its transcriber and track stands for it."""

FINAL: Final = "transcription.final"
"""The event of a segment that stays as it is. It is kept with the call."""


class Word(msgspec.Struct, frozen=True):
    """One word of a segment.

    Attributes:
        text: As it is to be read, with its punctuation where the service sets any.
        start: Seconds on the call's media time.
        end: The same.
        confidence: 0 to 1; None where the service does not tell.
    """

    text: str
    start: float
    end: float
    confidence: float | None = None


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """What was said on one track, from here to there.

    Attributes:
        text: In words; never empty.
        start: Seconds on the call's media time, as `AudioFrame.timestamp / sample_rate`.
        end: The same.
        final: It stays as it is; else the next segment of this transcriber and track replaces it.
        track: Who said it.
        confidence: 0 to 1; None where the service does not tell.
        words: One after another; empty where the service does not tell.
        transcriber: The name of who has understood it.
    """

    text: str
    start: float
    end: float
    final: bool
    track: FrameTrack = "inbound"
    confidence: float | None = None
    words: Sequence[Word] = ()
    transcriber: str = ""

    @property
    def event_type(self) -> str:
        """Its event's name."""
        return FINAL if self.final else PARTIAL

    def describe(self) -> dict[str, Any]:
        """Its event's data, JSON-ready; times in milliseconds' precision."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        for timed in (data, *data["words"]):
            timed["start"], timed["end"] = round(timed["start"], 3), round(timed["end"], 3)
        return data

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> "Segment":
        """The segment that an event is about.

        Raises:
            msgspec.ValidationError: It is about none.
        """
        return msgspec.convert(data, cls)


OnSegment: TypeAlias = Callable[[Segment], None]
"""Told each segment, partial and final, as soon as it is there; returns at once."""

Publish: TypeAlias = Callable[[str, str, Mapping[str, Any]], None]
"""Tells an event of a call, by its `call_control_id`, its type and its data."""
