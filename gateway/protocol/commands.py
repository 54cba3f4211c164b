"""The Call Control commands: one model each, with the fields, defaults and limits that Telnyx documents.

A model is what an application fills in, what the client sends, and what the simulator checks. Fields that a model
does not name are kept and sent as they are, so that a field younger than this file works. Only what was set is sent:
the documented defaults stand here to be read, and are Telnyx's to apply.

To add a command, write its model and name it in `COMMANDS`.

Source: Telnyx's OpenAPI description, version of July 2026, and its Python package 4.189.0 where that is newer.
"""

import base64
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

__all__ = [
    "COMMANDS",
    "Answer",
    "Command",
    "Hangup",
    "NameValue",
    "RetriesPolicy",
    "StreamingStart",
    "StreamingStop",
]


def _base64(text: str) -> str:
    base64.b64decode(text, validate=True)
    return text


def _at_most_a_minute(delays: list[int]) -> list[int]:
    if sum(delays) > 60_000:
        raise ValueError(f"the delays sum up to {sum(delays)} ms, limit 60000 ms")
    return delays


Base64: TypeAlias = Annotated[str, AfterValidator(_base64)]
Uuid: TypeAlias = Annotated[str, Field(pattern=r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$")]
HttpUrl: TypeAlias = Annotated[str, Field(pattern=r"^(?i:https?)://")]
HttpMethod: TypeAlias = Literal["POST", "GET"]
WebSocketUrl: TypeAlias = Annotated[str, Field(pattern=r"^(?i:wss?)://")]
StreamCodec: TypeAlias = Literal["PCMU", "PCMA", "G722", "OPUS", "AMR-WB", "L16"]


class _Model(BaseModel):
    """JSON types are taken as they are: `"8000"` is no number. Errors and `repr` show no tokens."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, hide_input_in_errors=True)


class NameValue(_Model):
    """A header or a parameter."""

    name: str
    value: str


class RetriesPolicy(_Model):
    """When to deliver a webhook again: at most five delays in milliseconds, a minute in sum."""

    retries_ms: Annotated[list[Annotated[int, Field(ge=0)]], Field(max_length=5), AfterValidator(_at_most_a_minute)]


class Command(_Model):
    """What every command has.

    Attributes:
        action: The last part of the command's path.
        command_id: Telnyx ignores a command whose id came for the same call within the last 60 seconds.
        client_state: Base64; comes back in every later webhook of the leg, and in the stream's `start`.
    """

    action: ClassVar[str]

    command_id: str | None = None
    client_state: Base64 | None = Field(None, repr=False)

    def body(self) -> dict[str, Any]:
        """The JSON body: the fields that were set, and not to None."""
        return self.model_dump(mode="json", exclude_unset=True, exclude_none=True)


class _StreamFields(Command):
    """The stream's fields that `answer` and `streaming_start` share."""

    stream_url: WebSocketUrl | None = Field(None, repr=False)
    stream_track: Literal["inbound_track", "outbound_track", "both_tracks"] = "inbound_track"
    stream_codec: StreamCodec | Literal["default"] = "default"  # Telnyx to us; `default` is the leg's own codec
    stream_bidirectional_mode: Literal["mp3", "rtp"] = "mp3"  # what we send; `rtp` is codec octets without header
    stream_bidirectional_codec: StreamCodec = "PCMU"  # us to Telnyx, in mode `rtp`
    stream_bidirectional_target_legs: Literal["both", "self", "opposite"] = "opposite"


class Answer(_StreamFields):
    """Pick up an incoming call. Takes no token, rate or parameters for its stream: `streaming_start` does."""

    action = "answer"

    billing_group_id: Uuid | None = None
    custom_headers: list[NameValue] | None = None
    sip_headers: list[NameValue] | None = None
    preferred_codecs: str | None = None  # comma-separated: G722, PCMU, PCMA, G729, OPUS, VP8, H264
    send_silence_when_idle: bool = False
    sound_modifications: dict[str, Any] | None = None
    deepfake_detection: dict[str, Any] | None = None
    assistant: dict[str, Any] | None = Field(None, repr=False)
    conversation_relay_config: dict[str, Any] | None = None
    transcription: bool = False
    transcription_config: dict[str, Any] | None = None

    record: Literal["record-from-answer"] | None = None
    record_channels: Literal["single", "dual"] = "dual"
    record_custom_file_name: str | None = Field(None, min_length=1, max_length=40)
    record_format: Literal["wav", "mp3"] = "mp3"
    record_max_length: int = Field(0, ge=0, le=43_200)  # seconds; 0 is unlimited
    record_timeout_secs: int = Field(0, ge=0)  # seconds of silence after speech; 0 is never
    record_track: Literal["both", "inbound", "outbound"] = "both"
    record_trim: Literal["trim-silence"] | None = None

    webhook_url: HttpUrl | None = None
    webhook_url_method: HttpMethod = "POST"
    webhook_urls: dict[str, HttpUrl] | None = None  # by event type
    webhook_urls_method: HttpMethod = "POST"
    webhook_retries_policies: dict[str, RetriesPolicy] | None = None  # by event type


class Hangup(Command):
    """End a call; on one that has ended already Telnyx says 90018."""

    action = "hangup"

    custom_headers: list[NameValue] | None = None  # of the SIP BYE
    reason: str | None = Field(None, pattern=r'^[^"\\\x00-\x1f\x7f\x{10000}-\x{10ffff}]*$')  # when cancelling a dial


class StreamingStart(_StreamFields):
    """Open a media socket for an answered call."""

    action = "streaming_start"

    stream_bidirectional_sampling_rate: Literal[8000, 16000, 22050, 24000, 48000] = 8000  # Hz
    stream_auth_token: str | None = Field(None, max_length=4000, repr=False)
    custom_parameters: list[NameValue] | None = None  # come back in the stream's `start`
    enable_dialogflow: bool = False
    dialogflow_config: dict[str, Any] | None = None


class StreamingStop(Command):
    """End one stream of a call, or all of them where no `stream_id` is given."""

    action = "streaming_stop"

    stream_id: Uuid | None = None


COMMANDS: Final[dict[str, type[Command]]] = {
    command.action: command for command in (Answer, Hangup, StreamingStart, StreamingStop)
}
"""Every command by its action."""
