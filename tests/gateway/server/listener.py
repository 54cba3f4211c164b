"""A media port whose sessions are the test's own: what they saw is kept, and what they do is told them."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Self, cast

from gateway.config import Address
from gateway.errors import AdmissionError
from gateway.server.transport import Handshake, Limits, Link, SocketCounters
from gateway.server.websocket import WebSocketConnection
from tests.gateway.control.conftest import Log
from tests.gateway.server import chosen
from tests.gateway.server.wire import PATIENCE, RawClient, upgrade


class RecordingSession:
    """Keeps what it is told, in order: `open`, the texts, and at last the code and reason of the end."""

    def __init__(self, handshake: Handshake, link: Link, listener: "Listener") -> None:
        self.handshake = handshake
        self.link = link
        self.told: list[str | tuple[int, str]] = []
        self.times: list[float] = []
        self._listener = listener

    def link_open(self) -> None:
        self.told.append("open")
        self._listener.on_open(self.link)
        self._listener.changed.set()

    def text_received(self, text: bytes, *, now: float) -> None:
        self.told.append(text.decode())
        self.times.append(now)
        self._listener.on_text(self.link, text.decode())
        self._listener.changed.set()

    def link_lost(self, code: int, reason: str) -> None:
        self.told.append((code, reason))
        self._listener.on_lost(self.link)
        self._listener.changed.set()


class ByHand(asyncio.Transport):
    """A connection that goes nowhere: the test hands the octets to whatever reads it, and what is sent is kept."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        self.sent = b""
        self._paused = False
        self._protocol: asyncio.BaseProtocol = protocol
        self._socket = socket.socket()
        super().__init__({"socket": self._socket})
        protocol.connection_made(self)

    async def receive(self, data: bytes) -> None:
        """Give octets to the protocol as they would come from a socket."""
        while data:
            protocol, size = self._protocol, len(data)
            if isinstance(protocol, asyncio.BufferedProtocol):
                buffer = memoryview(protocol.get_buffer(-1))
                size = min(size, len(buffer))
                buffer[:size] = data[:size]
                protocol.buffer_updated(size)
            else:
                cast("asyncio.Protocol", protocol).data_received(data)
            data = data[size:]
            while self._paused:  # noqa: ASYNC110 - it sets no event, and is never long about it
                await asyncio.sleep(0)

    def end(self) -> None:
        """The connection is gone."""
        self._protocol.connection_lost(None)
        self._socket.close()

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_write_buffer_size(self) -> int:
        return 1  # so that nobody writes past it

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data

    def can_write_eof(self) -> bool:
        return False

    def abort(self) -> None:
        pass


class Listener:
    """The real connection class on a real port of the loopback interface; an async context manager.

    Args:
        log: Where the connections tell things.
        limits: What a socket may do.
        refuse: Turn every upgrade request down with this.
        on_open: What a session does when it opens, on_text when a text comes, on_lost at the end.
        on_text: See `on_open`.
        on_lost: See `on_open`.
        send_buffer: Octets that the system may keep for a client that does not read.
    """

    def __init__(
        self,
        log: Log,
        limits: Limits | None = None,
        *,
        refuse: AdmissionError | None = None,
        on_open: Callable[[Link], Any] = lambda link: None,
        on_text: Callable[[Link, str], Any] = lambda link, text: None,
        on_lost: Callable[[Link], Any] = lambda link: None,
        send_buffer: int | None = None,
    ) -> None:
        self.counters = SocketCounters()
        self.sessions: list[RecordingSession] = []
        self.connections: set[WebSocketConnection] = set()
        self.changed = asyncio.Event()
        self.on_open = on_open
        self.on_text = on_text
        self.on_lost = on_lost
        self.errors: list[dict[str, Any]] = []  # what the event loop caught: always a bug
        self._log = log
        self._limits = limits or Limits()
        self._refuse = refuse
        self._send_buffer = send_buffer
        self._transport = chosen.transport()
        self._server: asyncio.Server

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.errors.append(context))
        listening = socket.create_server(("127.0.0.1", 0))
        if self._send_buffer is not None:  # inherited by the sockets that are accepted
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._send_buffer)
        self._server = await self._transport.create_server(self._connection, sock=listening)
        return self

    async def __aexit__(self, exc_type: object, *_: object) -> None:
        self._server.close()
        for connection in list(self.connections):
            connection.abort()
        with suppress(TimeoutError):
            await self.until(lambda: not self.connections)
        if exc_type is None:
            assert not self.connections
            assert not self.errors

    @property
    def address(self) -> Address:
        host, port = self._server.sockets[0].getsockname()
        return Address(host, port)

    @property
    def url(self) -> str:
        return f"ws://{self.address}/media"

    @property
    def session(self) -> RecordingSession:
        """The only session there was."""
        (session,) = self.sessions
        return session

    @asynccontextmanager
    async def by_hand(self) -> AsyncIterator[ByHand]:
        """A connection without a socket, which has had its upgrade; it ends behind the block."""
        connection = ByHand(self._connection())
        try:
            await connection.receive(upgrade())
            yield connection
        finally:
            connection.end()

    def lines(self, event: str) -> list[dict[str, Any]]:
        """What was logged with this text, without `event` and `peer`."""
        hidden = ("event", "peer")
        return [
            {key: value for key, value in line.items() if key not in hidden}
            for line in self._log.lines
            if line["event"] == event
        ]

    def client(self, *, receive_buffer: int | None = None) -> RawClient:
        return RawClient(self.address, receive_buffer=receive_buffer)

    @asynccontextmanager
    async def upgraded(self, *, receive_buffer: int | None = None) -> AsyncIterator[RawClient]:
        """A client that was let in."""
        async with self.client(receive_buffer=receive_buffer) as client:
            assert await client.upgrade() == 101
            yield client

    async def until(self, true: Callable[[], Any]) -> None:
        """Wait until something that a connection does has made `true` so."""
        async with asyncio.timeout(PATIENCE):
            while not true():
                self.changed.clear()
                await self.changed.wait()

    async def told(self, *what: str | tuple[int, str]) -> None:
        """Wait until the only session was told as much as this, and check that it was this."""
        await self.until(lambda: self.sessions and len(self.session.told) >= len(what))
        assert self.session.told == list(what)

    def _connection(self) -> WebSocketConnection:
        return self._transport.connection(
            admit=self._admit,
            limits=self._limits,
            clock=time.monotonic,
            counters=self.counters,
            log=self._log.logger,
            on_open=self._opened,
            on_close=self._lost,
        )

    def _admit(self, handshake: Handshake, link: Link) -> RecordingSession:
        if self._refuse is not None:
            raise self._refuse
        session = RecordingSession(handshake, link, self)
        self.sessions.append(session)
        return session

    def _opened(self, connection: WebSocketConnection) -> None:
        self.connections.add(connection)
        self.changed.set()

    def _lost(self, connection: WebSocketConnection) -> None:
        self.connections.discard(connection)
        self.changed.set()
