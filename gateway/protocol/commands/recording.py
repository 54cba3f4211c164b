"""The commands of Telnyx's own recording."""

from typing import Literal

from pydantic import Field

from gateway.protocol.commands.base import Command, Count, Uuid
from gateway.protocol.commands.languages import RecordingLanguage

__all__ = ["RecordPause", "RecordResume", "RecordStart", "RecordStop"]


class RecordStart(Command):
    """Record a call; with `dual` the first leg is one channel, all others the other."""

    action = "record_start"

    format: Literal["wav", "mp3"]
    channels: Literal["single", "dual"]
    recording_track: Literal["both", "inbound", "outbound"] = "both"  # of one track, the file is mono
    custom_file_name: str | None = Field(None, min_length=1, max_length=40)
    max_length: int = Field(0, ge=0, le=14_400)  # seconds; 0 is unlimited
    timeout_secs: Count = 0  # seconds of silence after speech; 0 is never
    play_beep: bool | None = None
    trim: Literal["trim-silence"] | None = None
    transcription: bool = False
    transcription_engine: Literal["A", "B", "deepgram/nova-3"] = "A"  # A is Google, B is Telnyx
    transcription_language: RecordingLanguage = "en-US"
    transcription_profanity_filter: bool = False
    transcription_speaker_diarization: bool = False
    transcription_min_speaker_count: int = 2
    transcription_max_speaker_count: int = 6


class RecordStop(Command):
    """End one recording of a call, or all of them."""

    action = "record_stop"

    recording_id: Uuid | None = None


class RecordPause(Command):
    """Leave out what is said from now on."""

    action = "record_pause"

    recording_id: Uuid | None = None


class RecordResume(Command):
    """Record again."""

    action = "record_resume"

    recording_id: Uuid | None = None
