"""The messages of a media stream: one JSON text each, in both directions.

`inbound` and `outbound` are the carrier's words everywhere in this project: the *inbound* track is what the person
on the leg says, the *outbound* track is what that person hears.

The structs mirror the JSON. The carrier writes its counts (`sequence_number`, `chunk`) as strings, so that is what a
struct holds that is to be sent; what is read may be a string or a number, and is an integer here. Payloads are base64
on the wire and `bytes` here. msgspec does both in the pass that reads the JSON.

Source: Telnyx, "Media Streaming over WebSockets" and the AsyncAPI page "Stream call media over WebSocket".
"""

from collections.abc import Callable
from typing import Annotated, Final, Generic, Literal, TypeAlias

import msgspec
from typing_extensions import TypeVar

from gateway.errors import RemoteProtocolError

N = TypeVar("N", int, str, default=int)
"""A count of the carrier's: `str` in what it sends, `int` in what was read."""
_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Number: TypeAlias = str | _Count
"""Something that looks like a number, left as it came."""
Id: TypeAlias = Annotated[str, msgspec.Meta(max_length=512)]
"""An id of Telnyx's: opaque, and kept for as long as the call is remembered, so not of any length."""
Track: TypeAlias = Literal["inbound", "outbound"]
MAX_MARK_NAME: Final = 4096
"""Characters that the name of a mark may have, on either side."""

AUTH_FIELD: Final = "x-telnyx-streaming-auth-token"
"""Both the header of the upgrade request and the key inside `connected` that carry the stream's token."""


# --- Telnyx to application -------------------------------------------------------------------------------------


class Connected(msgspec.Struct, tag_field="event", tag="connected", omit_defaults=True):
    """The first message on the socket; says nothing about the call yet, except its token where one was asked for."""

    version: str | None = None
    protocol: str | None = None
    connected: dict[str, str] | None = None


class MediaFormat(msgspec.Struct, frozen=True):
    """What the payloads of this stream hold. `sample_rate` is the RTP clock (G.722: 8000), in Hz."""

    encoding: str
    sample_rate: int
    channels: int = 1


class StartBody(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Which call this stream belongs to, and its format."""

    call_control_id: Id
    media_format: MediaFormat
    user_id: str | None = None
    call_session_id: str | None = None
    from_: str | None = msgspec.field(default=None, name="from")
    to: str | None = None
    tags: list[str] | None = None
    client_state: str | None = None
    custom_parameters: dict[str, str] | None = None


class Start(msgspec.Struct, Generic[N], tag_field="event", tag="start", kw_only=True):
    """The stream begins; `stream_id` stands here at the top, not in the body."""

    sequence_number: N
    stream_id: Id
    start: StartBody


class MediaBody(msgspec.Struct, Generic[N], gc=False):
    """One packet of one track: codec octets without an RTP header."""

    track: Literal["inbound", "outbound", "inbound_track", "outbound_track"]
    chunk: N
    timestamp: Number
    payload: bytes


class Media(msgspec.Struct, Generic[N], tag_field="event", tag="media", gc=False):
    """About 20 ms of sound from Telnyx."""

    sequence_number: N
    stream_id: str
    media: MediaBody[N]


class DtmfBody(msgspec.Struct):
    """The key that was pressed."""

    digit: str


class Dtmf(msgspec.Struct, Generic[N], tag_field="event", tag="dtmf", kw_only=True, omit_defaults=True):
    """A key was pressed. `occurred_at` (ISO 8601) gives the true order: these messages may overtake each other."""

    sequence_number: N
    stream_id: str
    occurred_at: str | None = None
    dtmf: DtmfBody


class MarkBody(msgspec.Struct):
    """The name the application chose; of a bounded length, as echoes are kept until somebody reads them."""

    name: Annotated[str, msgspec.Meta(max_length=MAX_MARK_NAME)]


class MarkReached(msgspec.Struct, Generic[N], tag_field="event", tag="mark"):
    """The audio before this mark was played, or `clear` took it away."""

    sequence_number: N
    stream_id: str
    mark: MarkBody


class StopBody(msgspec.Struct, omit_defaults=True):
    """Which call the stream belonged to."""

    user_id: str | None = None
    call_control_id: str | None = None


class Stop(msgspec.Struct, Generic[N], tag_field="event", tag="stop", kw_only=True):
    """The stream ended; the socket is closed next."""

    sequence_number: N
    stream_id: str
    stop: StopBody = msgspec.field(default_factory=StopBody)


class ErrorBody(msgspec.Struct):
    """One of the codes 100002 to 100005, see `ERROR_TITLES`."""

    code: int
    title: str = ""
    detail: str = ""


class Error(msgspec.Struct, tag_field="event", tag="error", kw_only=True, omit_defaults=True):
    """Telnyx did not like what the application sent. The body is called `payload`, not `error`."""

    stream_id: str | None = None
    payload: ErrorBody


ERROR_TITLES: Final = {
    100002: "unknown_error",
    100003: "malformed_frame",
    100004: "invalid_media",
    100005: "rate_limit_reached",
}

CarrierMessage: TypeAlias = (
    Connected | Start[_Count] | Media[_Count] | Dtmf[_Count] | MarkReached[_Count] | Stop[_Count] | Error
)
"""Everything Telnyx sends, as it is read."""


# --- application to Telnyx -------------------------------------------------------------------------------------


class PlayBody(msgspec.Struct, gc=False):
    """Codec octets, 20 ms up to 30 s in `rtp` mode; a whole MP3 file in `mp3` mode."""

    payload: bytes


class Play(msgspec.Struct, tag_field="event", tag="media", gc=False):
    """Sound to be played into the call."""

    media: PlayBody


class Mark(msgspec.Struct, tag_field="event", tag="mark"):
    """Asks for a `MarkReached` when everything sent so far was played."""

    mark: MarkBody


class Clear(msgspec.Struct, tag_field="event", tag="clear"):
    """Stop what plays, drop what is queued, return every queued mark."""


ApplicationMessage: TypeAlias = Play | Mark | Clear
"""Everything an application sends."""


# --- text to message and back ----------------------------------------------------------------------------------


class UnknownEvent(msgspec.Struct):
    """A well-formed message of a kind this version does not know: counted, then ignored."""

    event: str


_carrier: msgspec.json.Decoder[CarrierMessage] = msgspec.json.Decoder(CarrierMessage, strict=False)  # strings as counts
_application: msgspec.json.Decoder[ApplicationMessage] = msgspec.json.Decoder(ApplicationMessage)
_unknown = msgspec.json.Decoder(UnknownEvent)
_CARRIER_EVENTS: Final = frozenset({"connected", "start", "media", "dtmf", "mark", "stop", "error"})
_APPLICATION_EVENTS: Final = frozenset({"media", "mark", "clear"})

encode = msgspec.json.Encoder().encode
"""Message to wire text, as UTF-8 bytes: what a WebSocket text frame carries."""


read_carrier: Callable[[str | bytes], CarrierMessage] = _carrier.decode
"""What `decode_carrier` begins with, for who cannot wait: raises one of `READ_ERRORS` where that one sees further."""

READ_ERRORS: Final = (msgspec.DecodeError, UnicodeError, RecursionError)


def decode_carrier(text: str | bytes) -> CarrierMessage | UnknownEvent:
    """Read what Telnyx sent.

    Args:
        text: One whole message. Hostile input is expected.

    Raises:
        RemoteProtocolError: Not JSON, or a known event in a wrong shape.
    """
    try:
        return read_carrier(text)
    except READ_ERRORS as error:
        return _unknown_event(text, _CARRIER_EVENTS, error)


def decode_application(text: str | bytes) -> ApplicationMessage | UnknownEvent:
    """Read what an application sent. Otherwise as `decode_carrier`."""
    try:
        return _application.decode(text)
    except READ_ERRORS as error:
        return _unknown_event(text, _APPLICATION_EVENTS, error)


def _unknown_event(text: str | bytes, known: frozenset[str], error: Exception) -> UnknownEvent:
    """Tell an event we do not know from a message that is none. The slow path: nothing good comes here."""
    try:
        message = _unknown.decode(text)
    except READ_ERRORS:
        raise RemoteProtocolError(f"not a media-stream message: {error}") from error
    if message.event in known:
        raise RemoteProtocolError(f"malformed {message.event!r} message: {error}") from error
    return message
