"""What a streaming service has to say of itself: its protocol, without I/O.

A `Service` is made once, from the settings. It makes a `Session` for each connection: what is to be sent, and what that
which comes means. Times are seconds of sound since the connection began.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import msgspec

from gateway.errors import SinkError
from gateway.transcribe.audio import AudioFormat
from gateway.transcribe.segment import Word

__all__ = [
    "Acknowledged",
    "Finished",
    "Heard",
    "Message",
    "Ready",
    "Request",
    "Service",
    "ServiceError",
    "ServiceEvent",
    "ServiceRefusedError",
    "Session",
    "mean",
]

Message: TypeAlias = str | bytes
"""One message on the WebSocket: text, or binary."""


class ServiceError(SinkError):
    """The connection is of no more use; another may be."""


class ServiceRefusedError(SinkError):
    """The service does not want us: a key, an option or the account is wrong. Trying again would change nothing."""


@dataclass(frozen=True, slots=True)
class Request:
    """How to connect.

    Attributes:
        url: With its query.
        headers: Hold the key; never shown.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class Ready(msgspec.Struct, frozen=True):
    """The service takes sound from now on."""


class Heard(msgspec.Struct, frozen=True):
    """Something was said. `words` have their times on the service's clock as well."""

    text: str
    start: float
    end: float
    final: bool
    confidence: float | None = None
    words: Sequence[Word] = ()


class Acknowledged(msgspec.Struct, frozen=True):
    """All finals up to here have come: what was sent before need not be sent again."""

    until: float


class Finished(msgspec.Struct, frozen=True):
    """After `Session.finish`: nothing more will come."""


ServiceEvent: TypeAlias = Ready | Heard | Acknowledged | Finished


class Session(Protocol):
    """One connection to a service."""

    def begin(self) -> Iterable[Message]:
        """What is to be sent first."""

    def audio(self, payload: bytes, until: float) -> Message:
        """Sound as a message.

        Args:
            payload: In the agreed format.
            until: Seconds of sound that are sent with it.
        """

    def keep_alive(self) -> Message | None:
        """What is to be sent when there is no sound; None for nothing."""

    def finish(self) -> Iterable[Message]:
        """What is to be sent behind the last sound, so that the service tells what it still has."""

    def receive(self, message: Message) -> Iterable[ServiceEvent]:
        """What a message means.

        Raises:
            ServiceError: The service has failed.
            ServiceRefusedError: It does not want us.
            msgspec.DecodeError: It is none of the protocol; it is counted, and nothing follows from it.
        """

    def closed(self) -> Iterable[ServiceEvent]:
        """What follows from the service's closing the connection behind `finish`."""


class Service(Protocol):
    """A service as the settings want it.

    Attributes:
        name: For segments, logs and reports.
        waits: Whether a session says that it is `Ready`.
        keep_alive: Seconds without sound after which it wants a sign of life.
        pace: How many times faster than it was spoken sound may be sent, when there is much of it.
    """

    name: str
    waits: bool
    keep_alive: float
    pace: float

    def audio_format(self, encoding: str, sample_rate: int) -> AudioFormat:
        """What it wants to be sent, where the sound has this encoding (RFC 3551) and rate."""

    def request(self, audio: AudioFormat) -> Request:
        """How to connect."""

    def session(self, audio: AudioFormat) -> Session:
        """A connection's protocol."""

    def refusal(self, code: int) -> str | None:
        """Why the service will not have us, where it closes a connection with this code; None: it may yet."""


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of those that are known; None if none is."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
