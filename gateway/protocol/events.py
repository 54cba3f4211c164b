"""The webhook events: what Telnyx tells of a call, beside its media stream.

Webhooks come in any order, some twice, and their schema calls every field optional; so do the models here. What a
model does not name is kept. An event of a kind that has no model is an `UnknownEvent`, with its payload as it came.

To add an event, write its model and name it in `_MODELS`.

Source: Telnyx, "Voice API Webhooks" and the OpenAPI description of July 2026.
"""

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.errors import RemoteProtocolError

__all__ = [
    "CallAnswered",
    "CallHangup",
    "CallInitiated",
    "Event",
    "StreamingFailed",
    "StreamingStarted",
    "StreamingStopped",
    "UnknownEvent",
    "parse_event",
]

# The ids are remembered, so their size has a bound; the real ones have 36 and about 57 characters.
EventId: TypeAlias = Annotated[str, Field(min_length=1, max_length=128)]
CallControlId: TypeAlias = Annotated[str, Field(min_length=1, max_length=512)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True, coerce_numbers_to_str=True, hide_input_in_errors=True)


class Payload(_Model):
    """What every payload may have; `client_state` is base64, and null where none was set."""

    call_control_id: CallControlId | None = None
    connection_id: str | None = None
    call_leg_id: str | None = None
    call_session_id: str | None = None
    client_state: str | None = Field(None, repr=False)


class CallPayload(Payload):
    """What the payloads of `call.*` have besides; the times are ISO 8601."""

    from_: str | None = Field(None, alias="from", repr=False)
    to: str | None = Field(None, repr=False)
    state: str | None = None
    start_time: str | None = None


class InitiatedPayload(CallPayload):
    """Of `call.initiated`; `direction` is `incoming` or `outgoing`."""

    direction: str | None = None


class HangupPayload(CallPayload):
    """Of `call.hangup`, such as `normal_clearing`, `caller`, `200`."""

    hangup_cause: str | None = None
    hangup_source: str | None = None
    sip_hangup_cause: str | None = None


class StreamingPayload(Payload):
    """Of `streaming.started` and `streaming.stopped`, which carry no `stream_id`."""

    stream_url: str | None = Field(None, repr=False)


class StreamingFailedPayload(Payload):
    """Of `streaming.failed`, such as `connection_failed`, and `websocket`."""

    failure_reason: str | None = None
    stream_id: str | None = None
    stream_type: str | None = None


class _Event(_Model):
    """What every event has.

    Attributes:
        id: The same in every delivery of one event.
        occurred_at: ISO 8601 with microseconds.
    """

    id: EventId
    occurred_at: str | None = None


class CallInitiated(_Event):
    """A call came in, or was placed."""

    event_type: Literal["call.initiated"]
    payload: InitiatedPayload = InitiatedPayload()


class CallAnswered(_Event):
    """One side picked up: we, if the call came in."""

    event_type: Literal["call.answered"]
    payload: CallPayload = CallPayload()


class CallHangup(_Event):
    """The call is over."""

    event_type: Literal["call.hangup"]
    payload: HangupPayload = HangupPayload()


class StreamingStarted(_Event):
    """The media socket is open."""

    event_type: Literal["streaming.started"]
    payload: StreamingPayload = StreamingPayload()


class StreamingStopped(_Event):
    """The media stream ended."""

    event_type: Literal["streaming.stopped"]
    payload: StreamingPayload = StreamingPayload()


class StreamingFailed(_Event):
    """The media socket could not be opened, or fell."""

    event_type: Literal["streaming.failed"]
    payload: StreamingFailedPayload = StreamingFailedPayload()


class UnknownEvent(_Event):
    """An event of a kind this version does not act on; what it says besides is in `payload.model_extra`."""

    event_type: str
    payload: Payload = Payload()


Event: TypeAlias = (
    CallInitiated | CallAnswered | CallHangup | StreamingStarted | StreamingStopped | StreamingFailed | UnknownEvent
)

_MODELS: Final[dict[str, type[Event]]] = {
    "call.initiated": CallInitiated,
    "call.answered": CallAnswered,
    "call.hangup": CallHangup,
    "streaming.started": StreamingStarted,
    "streaming.stopped": StreamingStopped,
    "streaming.failed": StreamingFailed,
}

# Spellings met in Telnyx's own pages and in reports of what was delivered, to the one its schema has.
_SPELLINGS: Final = {
    spelling: f"streaming.{what}"
    for what in ("started", "stopped", "failed")
    for spelling in (f"call.streaming.{what}", f"streaming_{what}", f"callStreaming{what.capitalize()}")
}


class _Data(BaseModel):
    model_config = ConfigDict(extra="allow")

    event_type: Annotated[str, Field(min_length=1, max_length=128)]


class _Envelope(BaseModel):
    data: _Data


def parse_event(body: bytes) -> Event:
    """Read the body of a webhook, version 2 of Telnyx's format.

    Args:
        body: Raw, and already verified; still treated as hostile.

    Raises:
        RemoteProtocolError: Not a webhook. Says which field is wrong and how, without quoting the body.
    """
    try:
        data = _Envelope.model_validate_json(body).data.model_dump()
        data["event_type"] = _SPELLINGS.get(data["event_type"], data["event_type"])
        return _MODELS.get(data["event_type"], UnknownEvent).model_validate(data)
    except ValidationError as error:
        raise RemoteProtocolError(f"not a webhook: {_explain(error)}") from error


def _explain(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in problem["loc"]) or "body"
    return f"{where}: {problem['msg']}"
