"""A media socket that is another worker's: found out before anything is made of it, and handed on as it is.

Only the upgrade request is looked at. Once it is known where it belongs, the connection has the TCP transport for
itself, so that this costs a frame nothing.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, TypeAlias, cast

from websockets.http11 import Request
from websockets.server import ServerProtocol

from gateway.server.transport import Handshake
from gateway.server.websocket import WebSocketConnection

__all__ = ["Doorman", "PassOn", "Resumed"]

PassOn: TypeAlias = Callable[[int, int, bytes], bool]
"""Gives a worker a TCP connection, by its descriptor, with the octets that were read; whether it could be done."""

_END_OF_HEAD: Final = b"\r\n\r\n"
_MAX_HEAD: Final = 65_536  # octets; whoever says more before he is answered is not handed on
_LIBRARY_LOG: Final = logging.getLogger("gateway.websockets")


class Doorman(asyncio.Protocol):
    """Reads the upgrade request, then lets the connection have it, or another worker.

    Args:
        connection: What else there would be for this TCP connection. It knows of it from the beginning, so its
            timeouts and its place in the server's book-keeping are those of any other.
        elsewhere: Which other worker a request is for; None for this one.
        pass_on: Gives it to that one.
    """

    def __init__(
        self, connection: WebSocketConnection, *, elsewhere: Callable[[Handshake], int | None], pass_on: PassOn
    ) -> None:
        self._connection: WebSocketConnection | None = connection
        self._elsewhere = elsewhere
        self._pass_on = pass_on
        self._octets = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A TCP connection came in."""
        assert self._connection is not None
        self._transport = cast(asyncio.Transport, transport)
        self._connection.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """A part of the request, or all of it and more."""
        connection = self._connection
        if connection is None:
            return
        self._octets += data
        head, end, _ = self._octets.partition(_END_OF_HEAD)
        if not end and len(self._octets) <= _MAX_HEAD:
            return
        worker = self._elsewhere(handshake) if (handshake := _read(head + end)) is not None else None
        if worker is not None and len(self._octets) <= _MAX_HEAD and self._passed_on(worker):
            self._connection = None
            connection.connection_lost(None)
            self._transport.abort()  # closes our descriptor; the other worker has one of its own
        else:
            self._let_in(connection)

    def eof_received(self) -> None:
        """The other end has said all it had to say, and that was no request."""
        if self._connection is not None:
            self._let_in(self._connection)
            self._connection.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The TCP connection is gone, or another worker's now."""
        if self._connection is not None:
            self._connection.connection_lost(exc)

    def _passed_on(self, worker: int) -> bool:
        self._transport.pause_reading()  # what comes from now on is the other worker's
        passed_on = self._pass_on(worker, self._transport.get_extra_info("socket").fileno(), self._octets)
        if not passed_on:
            self._transport.resume_reading()
        return passed_on

    def _let_in(self, connection: WebSocketConnection) -> None:
        self._transport.set_protocol(connection)
        connection.data_received(self._octets)


class Resumed(asyncio.Protocol):
    """Lets a connection begin with the octets that another worker has read.

    Args:
        connection: Of this worker.
        octets: The upgrade request, and what stood behind it.
    """

    def __init__(self, connection: WebSocketConnection, octets: bytes) -> None:
        self._connection = connection
        self._octets = octets

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The TCP connection is ours; nothing has been read from it here."""
        cast(asyncio.Transport, transport).set_protocol(self._connection)
        self._connection.connection_made(transport)
        self._connection.data_received(self._octets)


def _read(head: bytes) -> Handshake | None:
    """What a request says; None if it says nothing that can be read: it is for the connection to tell why."""
    protocol = ServerProtocol(logger=_LIBRARY_LOG)
    protocol.receive_data(head)
    requests = [event for event in protocol.events_received() if isinstance(event, Request)]
    if not requests:
        return None
    return Handshake(requests[0].path, {name.lower(): value for name, value in requests[0].headers.raw_items()}, "")
