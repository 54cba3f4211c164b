"""What the routes of media services take and give. Fields have the names, ranges and meanings of Telnyx's commands."""

from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from gateway.protocol.commands.base import Base64, HttpUrl, Model, by_json_type, wrong
from gateway.protocol.commands.gather import DigitCount, GatherOptions, Milliseconds
from gateway.services.gather import GatherStatus

__all__ = [
    "AddSink",
    "Cleared",
    "DtmfRequest",
    "GatherRequest",
    "GatherStarted",
    "GatherState",
    "Gathers",
    "Nothing",
    "PlayRequest",
    "PlayStarted",
    "PlayStop",
    "Plays",
    "RecordRequest",
    "RecordingIds",
    "RecordingStarted",
    "Recordings",
    "SinkAdded",
    "Sinks",
    "SpeakRequest",
    "Stopped",
    "SuppressionRequest",
    "SuppressionState",
    "TheRecording",
    "TranscriptionRequest",
    "TranscriptionStarted",
]

Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=100)]
Text: TypeAlias = Annotated[str, Field(min_length=1, max_length=3000)]
MediaName: TypeAlias = Annotated[str, Field(min_length=1, max_length=500)]
Url: TypeAlias = Annotated[HttpUrl, Field(max_length=4000)]
Loop: TypeAlias = Annotated[
    Annotated[int, Field(ge=1, le=100), Tag("<number>")] | Annotated[Literal["infinity"], Tag("<text>")],
    by_json_type("1 to 100, or infinity"),
]
Stop: TypeAlias = Literal["current", "all"]


class Nothing(Model):
    """No fields."""


class PlayRequest(Model):
    """One of the three sources, and how."""

    exclusive: ClassVar = (("audio_url", "media_name", "playback_content"),)

    audio_url: Url | None = Field(None, description="a WAV or MP3 file, by HTTP")
    media_name: MediaName | None = Field(None, description="a file below GATEWAY_MEDIA_DIR")
    playback_content: Base64 | None = Field(None, repr=False, description="a WAV or MP3 file in base64")
    loop: Loop = 1
    stop: Stop | None = Field(None, description="what to stop first")
    overlay: Literal[False] = Field(default=False, description="mixing is not supported")
    name: Name | None = Field(None, description="for its events; a made one if it is not given")

    @model_validator(mode="after")
    def _has_a_source(self) -> Self:
        if self.audio_url is None and self.media_name is None and self.playback_content is None:
            raise wrong(self, "audio_url", PydanticCustomError("missing", "One of the three sources is needed"))
        return self


class PlayStarted(Model):
    """It is queued."""

    name: str


class PlayOnTheWay(Model):
    """What is not over."""

    name: str
    heard_ms: int


class Plays(Model):
    """What was said and is not over, in order."""

    plays: list[PlayOnTheWay]


class PlayStop(Model):
    """What to stop: the first, or all."""

    stop: Stop = "all"


class Stopped(Model):
    """What was stopped."""

    stopped: list[str]


class Cleared(Model):
    """Nothing is said any more."""

    cleared: bool = True


class DtmfRequest(Model):
    """Keys to be pressed."""

    digits: str = Field(pattern="^[0-9A-DwW*#]{1,200}$", description="`w` waits half a second, `W` a second")
    duration_millis: int = Field(250, ge=100, le=500)


class SpeakRequest(Model):
    """A text to be spoken."""

    payload: Text = Field(repr=False)
    voice: Name | None = Field(None, description="by the service's own name; that of GATEWAY_SPEECH if it is not given")
    language: Name | None = None
    stop: Stop | None = Field(None, description="what to stop first")


class GatherRequest(GatherOptions):
    """Which keys are collected; with one of three prompts, or none."""

    exclusive: ClassVar = (
        ("payload", "audio_url", "media_name"),
        ("invalid_payload", "invalid_audio_url", "invalid_media_name"),
    )

    gather_id: str | None = Field(None, min_length=1, max_length=40, description="comes back in `gather.ended`")
    initial_timeout_millis: Milliseconds | None = Field(None, description="5000 without a prompt, none with one")
    maximum_tries: DigitCount | None = Field(None, description="3 with a prompt, else 1")
    payload: Text | None = Field(None, repr=False, description="a text to be spoken first")
    invalid_payload: Text | None = Field(None, repr=False, description="a text to be spoken before each further try")
    audio_url: Url | None = None
    invalid_audio_url: Url | None = None
    media_name: MediaName | None = None
    invalid_media_name: MediaName | None = None
    voice: Name | None = None
    language: Name | None = None


class GatherStarted(Model):
    """Keys are collected."""

    gather_id: str


class GatherState(Model):
    """How it stands, or ended."""

    gather_id: str
    status: GatherStatus | Literal["gathering"]
    digits: str
    tries: int


class Gathers(Model):
    """The present gather, or the last one."""

    gather: GatherState | None


class RecordRequest(Model):
    """The fields of Telnyx's `record_start`; `flac`, `opus` and `encoding` are ours."""

    channels: Literal["single", "dual"] = "dual"
    format: Literal["wav", "flac", "opus", "mp3"] = "wav"
    encoding: Literal["linear16", "linear8", "g711"] = "linear16"
    recording_track: Literal["both", "inbound", "outbound"] = "both"
    max_length: int = Field(0, ge=0, le=14_400)
    timeout_secs: int = Field(0, ge=0, le=14_400)
    trim: Literal["trim-silence"] | None = None
    play_beep: bool = False
    custom_file_name: str | None = Field(None, min_length=1, max_length=40, pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$")


class RecordingStarted(Model):
    """It takes what is heard from now on."""

    recording_id: str


class TheRecording(Model):
    """Which one; all that were begun here if none is named."""

    recording_id: str | None = Field(None, max_length=100)


class RecordingIds(Model):
    """Those that it was done to."""

    recording_ids: list[str]


class Recordings(Model):
    """Those that were begun by this API or `Call.record_start`."""

    recordings: list[dict[str, Any]]


class AddSink(Model):
    """Which sink."""

    url: str = Field(
        min_length=1, max_length=2000, repr=False, description="as in GATEWAY_SINKS; no package.module:Class"
    )
    name: Annotated[str, Field(pattern="^[A-Za-z0-9_.-]{1,50}$")] | None = None


class SinkAdded(Model):
    """The name it has in this call."""

    sink: str


class Sinks(Model):
    """All sinks of the call, with their state and counters."""

    sinks: dict[str, dict[str, Any]]


class TranscriptionRequest(Model):
    """By which transcriber."""

    transcriber: str | None = Field(
        None, min_length=1, max_length=2000, repr=False, description="its URL; GATEWAY_TRANSCRIBER if it is not given"
    )


class TranscriptionStarted(Model):
    """The name it has as a sink."""

    sink: str


class SuppressionRequest(Model):
    """How much noise is to be taken out."""

    direction: Literal["inbound"] = Field(
        "inbound", description="what the caller says; nothing else is suppressed here"
    )
    level: int = Field(3, ge=1, le=4, description="about 6, 12, 18 and 21 dB")


class SuppressionState(Model):
    """Whether it is on."""

    suppressed: bool
