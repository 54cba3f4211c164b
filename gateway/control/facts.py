"""What a webhook says of its call's life."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway import lifecycle
from gateway.lifecycle import Fact, Parties
from gateway.protocol.events import (
    BaseEvent,
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
    facts = _FACTS.get(type(event))  # by `match` each class would be asked in turn, and those of pydantic are slow
    return () if facts is None else facts(event)


def _initiated(event: CallInitiated) -> tuple[Fact, ...]:
    return lifecycle.Initiated(_text(event.payload.direction)), _parties(event.payload.from_, event.payload.to)


def _answered(event: CallAnswered) -> tuple[Fact, ...]:
    return lifecycle.Answered(), _parties(event.payload.from_, event.payload.to)


def _hung_up(event: CallHangup) -> tuple[Fact, ...]:
    return lifecycle.HungUp(_text(event.payload.hangup_cause)), _parties(event.payload.from_, event.payload.to)


def _streaming_started(event: StreamingStarted) -> tuple[Fact, ...]:
    return (lifecycle.StreamingReported(event.id, "started"),)


def _streaming_stopped(event: StreamingStopped) -> tuple[Fact, ...]:
    return (lifecycle.StreamingReported(event.id, "stopped"),)


def _streaming_failed(event: StreamingFailed) -> tuple[Fact, ...]:
    if event.payload.stream_type == "dialogflow":  # which needs no socket of ours
        return ()
    return (lifecycle.StreamingFailed(_text(event.payload.stream_id) or event.id),)


_FACTS: Final[Mapping[type[BaseEvent], Callable[[Any], tuple[Fact, ...]]]] = {
    CallInitiated: _initiated,
    CallAnswered: _answered,
    CallHangup: _hung_up,
    StreamingStarted: _streaming_started,
    StreamingStopped: _streaming_stopped,
    StreamingFailed: _streaming_failed,
}


def _parties(from_: str | None, to: str | None) -> Parties:
    return Parties(_text(from_), _text(to))


def _text(text: str | None) -> str | None:
    return None if text is None else text[:_MAX_TEXT]
