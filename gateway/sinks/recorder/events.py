"""What becomes of recordings, for whoever is told: `Recorder(on_event=...)`."""

from typing import TypeAlias

import msgspec

__all__ = ["RecordingEvent", "RecordingFailed", "RecordingSaved"]


class RecordingSaved(msgspec.Struct, frozen=True):
    """It is final.

    Attributes:
        recording_id: The name of its folder.
        call_control_id: Of the call.
        file: The file's name.
        duration: Seconds; None if it is sealed and was cut off.
        problems: What went wrong, in words; none if it is all there.
    """

    recording_id: str
    call_control_id: str
    file: str
    duration: float | None
    problems: tuple[str, ...]


class RecordingFailed(msgspec.Struct, frozen=True):
    """It has stopped before the call has, or cannot be brought to its end; the call goes on.

    Attributes:
        recording_id: See `RecordingSaved`.
        call_control_id: See `RecordingSaved`.
        problem: Why, in words.
    """

    recording_id: str
    call_control_id: str
    problem: str


RecordingEvent: TypeAlias = RecordingSaved | RecordingFailed
