"""What a webhook says of its call's life."""

from typing import Final

from gateway import lifecycle
from gateway.lifecycle import Fact, Parties
from gateway.protocol.events import (
    CallAnswered,
    CallHangup,
    CallInitiated,
    Event,
    StreamingFailed,
    StreamingStarted,
    StreamingStopped,
)

__all__ = ["facts_of"]

_MAX_TEXT: Final = 128


def facts_of(event: Event) -> tuple[Fact, ...]:
    """The facts that an event tells; none where it is not about the life of a call."""
    match event:
        case CallInitiated(payload=payload):
            return lifecycle.Initiated(_text(payload.direction)), _parties(payload.from_, payload.to)
        case CallAnswered(payload=payload):
            return lifecycle.Answered(), _parties(payload.from_, payload.to)
        case CallHangup(payload=payload):
            return lifecycle.HungUp(_text(payload.hangup_cause)), _parties(payload.from_, payload.to)
        case StreamingStarted():
            return (lifecycle.StreamingReported(event.id, "started"),)
        case StreamingStopped():
            return (lifecycle.StreamingReported(event.id, "stopped"),)
        case StreamingFailed(payload=payload) if payload.stream_type != "dialogflow":  # which needs no socket of ours
            return (lifecycle.StreamingFailed(_text(payload.stream_id) or event.id),)
        case _:
            return ()


def _parties(from_: str | None, to: str | None) -> Parties:
    return Parties(_text(from_), _text(to))


def _text(text: str | None) -> str | None:
    return None if text is None else text[:_MAX_TEXT]
