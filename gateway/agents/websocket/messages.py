"""The messages between the gateway and a user's program, as docs/websocket-agent.md has them.

Each is a JSON object whose `type` says which. What the program sends may have an `id`; then one `result` with that id
comes when it is done. Octets are base64 in JSON. A binary message of either side is sound and nothing else.
"""

from typing import Any, Final, Literal, TypeAlias

import msgspec

from gateway.errors import RemoteProtocolError

__all__ = [
    "VERSION",
    "Audio",
    "Cancel",
    "Clear",
    "Command",
    "Configure",
    "Dtmf",
    "Failed",
    "FromProgram",
    "Gather",
    "Hangup",
    "Heard",
    "Mark",
    "MarkReached",
    "Pause",
    "Play",
    "PlaybackEnded",
    "Problem",
    "Refer",
    "Result",
    "Resume",
    "Say",
    "SendDtmf",
    "SoundFormat",
    "SpeechEnded",
    "SpeechStarted",
    "Start",
    "Stop",
    "ToProgram",
    "Transfer",
    "encode",
    "read",
    "read_id",
]

VERSION: Final = 1

Carried: TypeAlias = Literal["binary", "base64"]


class SoundFormat(msgspec.Struct, frozen=True, kw_only=True):
    """How sound is carried, both ways: mono, signed, 16 bits, little-endian.

    Attributes:
        sample_rate: In Hz.
        audio: `binary` messages, or messages `audio` with base64.
        encoding: Always `pcm_s16le`.
    """

    sample_rate: int
    audio: Carried
    encoding: Literal["pcm_s16le"] = "pcm_s16le"


# --- from the gateway ---------------------------------------------------------------------------------------------


class Start(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="start"):
    """The first message on each connection.

    Attributes:
        version: Of this protocol.
        call: What is known of the call.
        media: How sound is carried until `configure` says otherwise.
        reconnects: How many connections of this call came before.
    """

    version: int = VERSION
    call: dict[str, Any]
    media: SoundFormat
    reconnects: int


class Heard(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="audio"):
    """What the caller said, where sound is carried as base64.

    Attributes:
        audio: The sound.
        timestamp_ms: Of its first sample, from the beginning of the call.
    """

    audio: bytes
    timestamp_ms: int


class Dtmf(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="dtmf"):
    """The caller pressed a key."""

    digit: str


class MarkReached(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="mark"):
    """All that was said before this mark was heard, or cleared."""

    name: str


class PlaybackEnded(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="playback"):
    """Something that was said is over. Milliseconds; see `gateway.media.playback.PlaybackFinished`."""

    name: str
    queued: int
    sent: int
    heard: int
    cleared: int
    interrupted: bool
    estimated: bool
    error: str | None


class SpeechStarted(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="speech_started"):
    """The caller began to speak; told where `configure` asked for it."""

    timestamp_ms: int


class SpeechEnded(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="speech_ended"):
    """The caller fell silent."""

    timestamp_ms: int


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why something was not done.

    Attributes:
        message: In words.
        code: Telnyx's code, where Telnyx refused; else empty.
    """

    message: str
    code: str = ""


class Result(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="result", omit_defaults=True):
    """What became of a message that had an id.

    Attributes:
        id: That of the message.
        ok: Whether it was done.
        result: What came of it; empty where nothing comes of it.
        error: Why it was not done.
    """

    id: str | int
    ok: bool
    result: dict[str, Any] = {}
    error: Problem | None = None


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="error"):
    """A message of the program was wrong, and had no id that could be read."""

    error: Problem


class Stop(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="stop"):
    """The call has ended; the connection is closed after it. `reason` is that of the call's record."""

    reason: str


ToProgram: TypeAlias = (
    Start | Heard | Dtmf | MarkReached | PlaybackEnded | SpeechStarted | SpeechEnded | Result | Failed | Stop
)


# --- from the program ---------------------------------------------------------------------------------------------


class _Asked(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=True):
    """What all messages of the program have.

    Attributes:
        id: Whatever the program likes; asks for a `result`.
    """

    id: str | int | None = None


class Configure(_Asked, frozen=True, kw_only=True, tag="configure"):
    """How sound is to be carried from now on; what is None stays as it is.

    Attributes:
        sample_rate: In Hz, 4000 to 192000.
        audio: `binary` or `base64`.
        detect_speech: Whether to tell `speech_started` and `speech_ended`; it cannot be taken back.
    """

    sample_rate: int | None = None
    audio: Carried | None = None
    detect_speech: bool = False


class Audio(_Asked, frozen=True, kw_only=True, tag="audio"):
    """Say something, as a binary message does."""

    audio: bytes


class Mark(_Asked, frozen=True, kw_only=True, tag="mark"):
    """Ask for a `mark` behind all that was said so far."""

    name: str


class Clear(_Asked, frozen=True, kw_only=True, tag="clear"):
    """Fall silent: take away everything that was not heard yet."""


class Pause(_Asked, frozen=True, kw_only=True, tag="pause"):
    """Fall silent, and keep it."""


class Resume(_Asked, frozen=True, kw_only=True, tag="resume"):
    """Go on after `pause`."""


class Cancel(_Asked, frozen=True, kw_only=True, tag="cancel"):
    """Take away what was not heard of one `play`, `say` or `send_dtmf`.

    Attributes:
        of: The id of that message.
    """

    of: str | int


class Play(_Asked, frozen=True, kw_only=True, tag="play"):
    """Play a file; done when it was heard or cut off. One of the two is given.

    Attributes:
        path: Of a WAV or MP3 file on the gateway's machine.
        audio: The file itself.
        name: For the call's record.
    """

    path: str | None = None
    audio: bytes | None = None
    name: str | None = None


class Say(_Asked, frozen=True, kw_only=True, tag="say"):
    """Say a text by the gateway's speech service; done when it was heard or cut off."""

    text: str
    voice: str | None = None
    language: str | None = None


class Gather(_Asked, frozen=True, kw_only=True, tag="gather"):
    """Collect keys; done when they are there, or not.

    Attributes:
        options: Those of `Call.gather`; a prompt is the path of a file, or `{"say": "words"}`.
    """

    options: dict[str, Any] = {}


class SendDtmf(_Asked, frozen=True, kw_only=True, tag="send_dtmf"):
    """Press keys, as tones in the sound; done when they were heard. See `Call.send_dtmf`."""

    digits: str
    duration_ms: int = 250
    gap_ms: int = 100


class Hangup(_Asked, frozen=True, kw_only=True, tag="hangup"):
    """End the call."""


class Transfer(_Asked, frozen=True, kw_only=True, tag="transfer"):
    """Connect the caller with somebody else; `options` are further fields of Telnyx's `transfer`."""

    to: str
    options: dict[str, Any] = {}


class Refer(_Asked, frozen=True, kw_only=True, tag="refer"):
    """Have the caller's SIP end call somebody else; `options` are further fields of Telnyx's `refer`."""

    sip_address: str
    options: dict[str, Any] = {}


class Command(_Asked, frozen=True, kw_only=True, tag="command"):
    """Any Call Control command, with its fields as Telnyx documents them."""

    action: str
    fields: dict[str, Any] = {}


FromProgram: TypeAlias = (
    Configure
    | Audio
    | Mark
    | Clear
    | Pause
    | Resume
    | Cancel
    | Play
    | Say
    | Gather
    | SendDtmf
    | Hangup
    | Transfer
    | Refer
    | Command
)

_decoder: Final = msgspec.json.Decoder(FromProgram)
_encoder: Final = msgspec.json.Encoder()


class _Id(msgspec.Struct, frozen=True):
    id: str | int | None = None


_id_decoder: Final = msgspec.json.Decoder(_Id)


def encode(message: ToProgram) -> str:
    """A message as text."""
    return _encoder.encode(message).decode()


def read(text: str) -> FromProgram:
    """Read a message of the program.

    Raises:
        RemoteProtocolError: It is none.
    """
    try:
        message: FromProgram = _decoder.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError, ValueError) as error:
        raise RemoteProtocolError(str(error)[:300]) from error
    return message


def read_id(text: str) -> str | int | None:
    """The id of a message that is wrong otherwise; None where there is none."""
    try:
        return _id_decoder.decode(text).id
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError, ValueError):
        return None
