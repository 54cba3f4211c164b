"""What is said on a Realtime connection: the server's events that matter here, and ours.

Of the server's events only the fields that are used are read; events of other types are none of our business.

Source: OpenAI's API reference, "Client events" and "Server events" of the Realtime API (the version without the header
`OpenAI-Beta`), and the types of its Python package 3.54.0.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from gateway.errors import RemoteProtocolError

__all__ = [
    "AudioDelta",
    "AudioDone",
    "CallerTranscribed",
    "Event",
    "Failure",
    "RateLimits",
    "ResponseCreated",
    "ResponseDone",
    "SessionUpdated",
    "SpeechStarted",
    "SpeechStopped",
    "TranscriptDone",
    "append",
    "encode",
    "function_output",
    "message_item",
    "read",
    "truncate",
]


class SessionUpdated(msgspec.Struct, frozen=True):
    """The session is as we asked for."""


class SpeechStarted(msgspec.Struct, frozen=True):
    """The caller began to speak, as the server's voice activity detection has it."""


class SpeechStopped(msgspec.Struct, frozen=True):
    """The caller fell silent, and what was said will be answered.

    Attributes:
        audio_end_ms: Where, in all the sound that was sent in this session.
    """

    audio_end_ms: int


class CallerTranscribed(msgspec.Struct, frozen=True):
    """What the caller said, in words; asked for by `transcription`."""

    transcript: str = ""


class Responding(msgspec.Struct, frozen=True):
    """A response, as far as it is told when it begins."""

    id: str


class ResponseCreated(msgspec.Struct, frozen=True):
    """The model begins to respond."""

    response: Responding


class AudioDelta(msgspec.Struct, frozen=True):
    """Sound of the model, in the format that we asked for."""

    response_id: str
    item_id: str
    content_index: int
    delta: bytes


class AudioDone(msgspec.Struct, frozen=True):
    """There is no more sound of this item."""

    item_id: str


class TranscriptDone(msgspec.Struct, frozen=True):
    """What the model says in this item, in words."""

    item_id: str
    transcript: str = ""


class Detail(msgspec.Struct, frozen=True):
    """What is told of an error."""

    type: str | None = None
    code: str | None = None
    message: str | None = None
    param: str | None = None


class StatusDetails(msgspec.Struct, frozen=True):
    """Why a response is not complete."""

    error: Detail | None = None


class Output(msgspec.Struct, frozen=True):
    """An item of a response: of a function call, all that is needed."""

    type: str
    status: str | None = None
    name: str | None = None
    call_id: str | None = None
    arguments: str | None = None


class Response(msgspec.Struct, frozen=True):
    """A response that is over.

    Attributes:
        status: completed, cancelled, failed, or incomplete.
    """

    id: str
    status: str | None = None
    status_details: StatusDetails | None = None
    output: list[Output] = []


class ResponseDone(msgspec.Struct, frozen=True):
    """The model has responded, or will not."""

    response: Response


class RateLimit(msgspec.Struct, frozen=True):
    """How much is left of one limit."""

    name: str | None = None
    remaining: float | None = None
    reset_seconds: float | None = None


class RateLimits(msgspec.Struct, frozen=True):
    """What is left of the account's limits."""

    rate_limits: list[RateLimit] = []


class Failure(msgspec.Struct, frozen=True):
    """Something went wrong; most of it is recoverable."""

    error: Detail


Event: TypeAlias = (
    SessionUpdated
    | SpeechStarted
    | SpeechStopped
    | CallerTranscribed
    | ResponseCreated
    | AudioDelta
    | AudioDone
    | TranscriptDone
    | ResponseDone
    | RateLimits
    | Failure
)

_TYPES: Final[Mapping[str, type[Event]]] = {
    "session.updated": SessionUpdated,
    "input_audio_buffer.speech_started": SpeechStarted,
    "input_audio_buffer.speech_stopped": SpeechStopped,
    "conversation.item.input_audio_transcription.completed": CallerTranscribed,
    "response.created": ResponseCreated,
    "response.output_audio.delta": AudioDelta,
    "response.output_audio.done": AudioDone,
    "response.output_audio_transcript.done": TranscriptDone,
    "response.done": ResponseDone,
    "rate_limits.updated": RateLimits,
    "error": Failure,
}


class _Kind(msgspec.Struct, frozen=True):
    type: str


_kind_decoder: Final = msgspec.json.Decoder(_Kind)
_decoders: Final[Mapping[str, msgspec.json.Decoder[Any]]] = {
    name: msgspec.json.Decoder(kind) for name, kind in _TYPES.items()
}


def read(text: str | bytes) -> Event | None:
    """Read an event of the server; None if it is none of those that matter.

    Raises:
        RemoteProtocolError: It is no event, or not as documented.
    """
    try:
        decoder = _decoders.get(_kind_decoder.decode(text).type)
        event: Event | None = None if decoder is None else decoder.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError, ValueError) as error:
        raise RemoteProtocolError(str(error)[:300]) from error
    return event


def encode(**event: Any) -> str:
    """One of our events as text."""
    return msgspec.json.encode(event).decode()


def append(payload: bytes) -> str:
    """Sound of the caller, in the format that we told."""
    return f'{{"type":"input_audio_buffer.append","audio":"{base64.b64encode(payload).decode()}"}}'


def truncate(item_id: str, content_index: int, audio_end_ms: int) -> str:
    """The caller heard only so much of this item."""
    return encode(
        type="conversation.item.truncate", item_id=item_id, content_index=content_index, audio_end_ms=audio_end_ms
    )


def function_output(call_id: str, output: str) -> str:
    """What came of a function call."""
    return encode(
        type="conversation.item.create", item={"type": "function_call_output", "call_id": call_id, "output": output}
    )


def message_item(role: str, text: str) -> str:
    """Something that was said, or happened; `role` is system, user or assistant."""
    content: Sequence[Mapping[str, str]] = [
        {"type": "output_text" if role == "assistant" else "input_text", "text": text}
    ]
    return encode(type="conversation.item.create", item={"type": "message", "role": role, "content": content})
