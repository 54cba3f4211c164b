"""What happened to a sink, for whoever is told: `FanOut(on_event=...)`."""

from collections.abc import Mapping
from typing import Final, TypeAlias

import msgspec

__all__ = ["SinkDropping", "SinkEvent", "SinkFailed", "SinkRemoved", "SinkRestarted", "event_type_of"]


class SinkFailed(msgspec.Struct, frozen=True):
    """It raised, could not be opened or closed, or its worker is gone.

    Attributes:
        sink: Its name in the call.
        error: What it failed with.
        restart_in: Seconds until it is opened again; None: it has failed for good.
    """

    sink: str
    error: str
    restart_in: float | None


class SinkRestarted(msgspec.Struct, frozen=True):
    """It is open again after a failure.

    Attributes:
        sink: Its name in the call.
        restarts: How many there were so far.
    """

    sink: str
    restarts: int


class SinkRemoved(msgspec.Struct, frozen=True):
    """It kept the event loop too long, too often, and hears nothing any more.

    Attributes:
        sink: Its name in the call.
        reason: How long, in words.
    """

    sink: str
    reason: str


class SinkDropping(msgspec.Struct, frozen=True):
    """Its buffer overflowed for the first time; the call's report counts what was dropped.

    Attributes:
        sink: Its name in the call.
        rule: What gave way.
    """

    sink: str
    rule: str


SinkEvent: TypeAlias = SinkFailed | SinkRestarted | SinkRemoved | SinkDropping

_EVENT_TYPES: Final[Mapping[type, str]] = {
    SinkFailed: "sink.failed",
    SinkRestarted: "sink.restarted",
    SinkRemoved: "sink.removed",
    SinkDropping: "sink.dropping",
}


def event_type_of(event: SinkEvent) -> str:
    """What the event is called where a call's events are published."""
    return _EVENT_TYPES[type(event)]
