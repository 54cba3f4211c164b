"""The seam between the media sockets and what is done with them.

A transport turns a TCP connection into whole texts, in both directions, and knows nothing of Telnyx. What it hands
them to is a `Session`. Every text of both directions passes `Session.text_received` and `Link.send` with its time:
whoever wants to look on, looks there.
"""

import enum
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

__all__ = ["Admit", "CloseCode", "Handshake", "Limits", "Link", "Session", "SocketCounters"]


class CloseCode(enum.IntEnum):
    """Why a media socket was closed, RFC 6455 section 7.4; those from 4000 on are our own."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS = 1005
    ABNORMAL = 1006
    INVALID_DATA = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    TRY_AGAIN_LATER = 1013
    REPLACED = 4000
    MAX_DURATION = 4001


@dataclass(frozen=True, slots=True)
class Handshake:
    """What the upgrade request said.

    Attributes:
        path: With its query, as it came. It may hold a token: not for logs.
        headers: Names in lower case; of repeated ones the last.
        peer: Address of the other end of the TCP connection, or empty.
    """

    path: str
    headers: Mapping[str, str]
    peer: str


@dataclass(frozen=True, slots=True)
class Limits:
    """What a media socket may do. Seconds, octets.

    Attributes:
        max_message_bytes: Longest text; a longer one closes the socket with 1009.
        handshake_timeout: From the TCP connection to the end of the upgrade.
        ping_interval: Silence after which the other end is asked whether it lives.
        ping_timeout: How long it may then stay silent before it counts as dead.
        close_timeout: How long the closing handshake may take.
        write_timeout: How long the other end may not read while something waits to be sent.
        max_write_bytes: How much may wait to be sent.
    """

    max_message_bytes: int = 1_048_576
    handshake_timeout: float = 10.0
    ping_interval: float = 20.0
    ping_timeout: float = 20.0
    close_timeout: float = 5.0
    write_timeout: float = 10.0
    max_write_bytes: int = 1_048_576


@dataclass(slots=True)
class SocketCounters:
    """What went wrong with media sockets, by reason; the reasons are constants of ours.

    Attributes:
        refused: Upgrade requests that were turned down.
        failed: Open sockets that broke a rule of WebSocket, by close code.
        dropped: Sockets that were cut off, as no closing handshake could reach them.
    """

    refused: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)


class Link(Protocol):
    """One open WebSocket, as its session sees it."""

    def send(self, text: bytes) -> None:
        """Send one text message, UTF-8. Does nothing once the socket is closing."""

    def close(self, code: CloseCode, reason: str) -> None:
        """Start the closing handshake; `reason` is at most 123 octets. Does nothing when it has started."""


class Session(Protocol):
    """What happens on one WebSocket. The methods must not raise."""

    def link_open(self) -> None:
        """The upgrade is done; the link may be used from now on."""

    def text_received(self, text: bytes, *, now: float) -> None:
        """One whole text message came, UTF-8 for certain; `now` is on the monotonic clock."""

    def link_lost(self, code: int, reason: str) -> None:
        """The socket is gone, once, whatever the cause: the close code that came, else the one we sent, else 1006."""


Admit: TypeAlias = Callable[[Handshake, Link], Session]
"""Decides over an upgrade request. Raises AdmissionError, whose `.status` becomes the HTTP answer."""
