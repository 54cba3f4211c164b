"""The transport on `websockets`: its Sans-I/O `ServerProtocol` inside an `asyncio.Protocol` of our own.

The library's own server gives each connection a task and each message a trip through a queue; here a text is a plain
call from the socket to the session. The library still does the handshake, the framing, the masking and the closing
handshake. What its Sans-I/O layer leaves to its owner is done here: whole messages and UTF-8 (`assembler`), signs of
life (`keepalive`), every timeout, and the limit on what may wait to be sent.

No extension is offered: compressing 200 octets of base64 costs more than it saves.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import cast

from structlog.typing import FilteringBoundLogger
from websockets.frames import CloseCode as WireCloseCode
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from gateway.errors import AdmissionError
from gateway.server.assembler import MessageAssembler, MessageError
from gateway.server.framing import frame_size, read_text, write_text
from gateway.server.keepalive import KeepAlive, Verdict
from gateway.server.transport import Admit, CloseCode, Handshake, Limits, Session, SocketCounters

__all__ = ["WebSocketConnection"]


_LIBRARY_LOG = logging.getLogger("gateway.websockets")
# For debugging the library writes down paths and headers, and a token stands in either.
_LIBRARY_LOG.setLevel(logging.WARNING)


class WebSocketConnection(asyncio.Protocol):
    """One TCP connection on the media port; the `Link` of its session once the upgrade is done.

    Args:
        admit: Decides over the upgrade request and makes the session.
        limits: What the other end may do.
        clock: Monotonic seconds, handed on with every text.
        counters: Where refused, failed and dropped sockets are counted.
        log: Where they are told.
        on_open: Called with this connection when it is made, and on_close when it is lost: the server's book-keeping.
        on_close: See `on_open`.
    """

    def __init__(
        self,
        *,
        admit: Admit,
        limits: Limits,
        clock: Callable[[], float],
        counters: SocketCounters,
        log: FilteringBoundLogger,
        on_open: Callable[["WebSocketConnection"], None],
        on_close: Callable[["WebSocketConnection"], None],
    ) -> None:
        self._admit = admit
        self._limits = limits
        self._max_message_bytes = limits.max_message_bytes
        self._clock = clock
        self._counters = counters
        self._log = log
        self._on_open = on_open
        self._on_close = on_close
        self._loop = asyncio.get_running_loop()
        self._protocol = ServerProtocol(max_size=limits.max_message_bytes, logger=_LIBRARY_LOG)
        self._assembler = MessageAssembler(limits.max_message_bytes)
        self._keepalive = KeepAlive(limits.ping_interval, limits.ping_timeout, now=clock())
        self._session: Session | None = None
        self._transport: asyncio.Transport
        self._open = False  # else what still comes is of no interest, and nothing more is sent
        self._between_messages = False  # the library stands at the beginning of one: the usual need not pass through it
        self._unread = 0  # octets that the library has of a frame it has not given yet; its buffer does not tell
        self._closing = False  # the closing handshake's time is running
        self._write_paused = False
        self._watch: asyncio.TimerHandle | None = None  # handshake, then keep-alive, then closing handshake
        self._write_watch: asyncio.TimerHandle | None = None

    # --- asyncio.Protocol -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A TCP connection came in."""
        self._transport = cast(asyncio.Transport, transport)
        self._on_open(self)
        self._watch = self._loop.call_later(self._limits.handshake_timeout, self._give_up, "no_handshake")

    def data_received(self, data: bytes) -> None:
        """Octets came: read every frame in them."""
        self._keepalive.last_heard = now = self._clock()
        session = self._session
        if session is not None and self._between_messages:
            end = 0
            while (found := read_text(data, end, self._max_message_bytes)) is not None:
                text, end = found
                if self._open and text.isascii():
                    session.text_received(text, now=now)
                else:
                    self._text_received(text, now, final=True)
                if end == len(data):
                    return
            data = data[end:]
        self._receive(data, now)

    def eof_received(self) -> None:
        """The other end will send nothing more."""
        self._protocol.receive_eof()
        self._flush()
        # The loop closes the connection when all is sent, which is never where the other end does not read.
        self._rearm(self._limits.close_timeout, self._give_up, "no_close")

    def connection_lost(self, exc: Exception | None) -> None:
        """The TCP connection is gone, cleanly or not."""
        self._open = False
        self._protocol.receive_eof()
        for timer in (self._watch, self._write_watch):
            if timer is not None:
                timer.cancel()
        self._on_close(self)
        session, self._session = self._session, None
        if session is not None:
            close = self._protocol.close_rcvd or self._protocol.close_sent
            session.link_lost(*(CloseCode.ABNORMAL, "") if close is None else (close.code, close.reason))
        self._protocol.parser_exc = None  # an error whose traceback has the protocol: a cycle

    def pause_writing(self) -> None:
        """The system's buffers are full: the other end does not read as fast as we send, or not at all."""
        self._write_paused = True
        self._write_watch = self._loop.call_later(self._limits.write_timeout, self._give_up, "does_not_read")

    def resume_writing(self) -> None:
        """The other end reads again."""
        self._write_paused = False
        if self._write_watch is not None:
            self._write_watch.cancel()
            self._write_watch = None

    # --- Link -----------------------------------------------------------------------------------------------------

    def send(self, text: bytes) -> None:
        """Send one text message."""
        if self._open:
            self._transport.write(write_text(text))
            if self._write_paused and self._transport.get_write_buffer_size() > self._limits.max_write_bytes:
                self._give_up("does_not_read")

    def close(self, code: CloseCode, reason: str) -> None:
        """Start the closing handshake."""
        if self._open:
            self._open = False
            if self._protocol.state is State.OPEN:  # else a close frame came behind the text that is read now
                self._protocol.send_close(WireCloseCode(code) if code < 3000 else int(code), reason)
            self._flush()

    def abort(self) -> None:
        """Drop the TCP connection at once."""
        self._open = False
        self._transport.abort()

    # --- inside ---------------------------------------------------------------------------------------------------

    def _receive(self, data: bytes, now: float) -> None:
        """Have the library read what is not a usual frame, and send what it answers."""
        protocol = self._protocol
        if self._session is None:
            data = self._receive_request(data)
            self._flush()
        if data:
            self._unread += len(data)
            protocol.receive_data(data)
            if protocol.state is State.OPEN:
                self._flush()  # pongs, before what the session says to a text that stands behind their ping
            for event in protocol.events_received():
                if type(event) is Frame:
                    self._unread -= frame_size(len(event.data))
                    self._frame_received(event, now)
            self._flush()
        self._between_messages = self._open and not self._unread and protocol.current_size is None

    def _receive_request(self, data: bytes) -> bytes:
        """Read the upgrade request, line by line, and answer it; return what stands behind it.

        Given everything at once, the library goes on to the frames of an eager client, and answers them first.
        """
        protocol, start = self._protocol, 0
        while self._session is None and not protocol.eof_sent and (end := data.find(b"\n", start) + 1):
            protocol.receive_data(data[start:end])
            start = end
            for event in protocol.events_received():
                self._handshake(cast(Request, event))
        return data[start:]

    def _handshake(self, request: Request) -> None:
        """Answer the upgrade request: first the protocol's own rules, then admission."""
        response = self._protocol.accept(request)
        if response.status_code == 101:
            handshake = Handshake(
                request.path, {name.lower(): value for name, value in request.headers.raw_items()}, self._peer()
            )
            try:
                self._session = self._admit(handshake, self)
            except AdmissionError as error:
                self._refused(error.reason, error.status)
                response = self._protocol.reject(error.status, f"{error}\n")
        else:
            self._refused("no_websocket", response.status_code)
        self._protocol.send_response(response)
        self._flush()  # before anything that the session says
        if self._session is not None:
            self._open = True
            self._unread = 0
            self._rearm(self._limits.ping_interval, self._check_alive)
            self._upgraded()
            self._session.link_open()

    def _upgraded(self) -> None:
        """What follows now are frames, and texts may be sent. For another transport to take over."""

    def _frame_received(self, frame: Frame, now: float) -> None:
        """Take a frame; the library answers pings and close frames itself, and any octet was a sign of life already."""
        if frame.opcode is Opcode.TEXT or frame.opcode is Opcode.CONT:
            self._text_received(bytes(frame.data), now, final=frame.fin)
        elif frame.opcode is Opcode.BINARY and self._open:
            self._fail(MessageError(CloseCode.UNSUPPORTED_DATA, "media streams are text, this message is binary"))

    def _text_received(self, payload: bytes, now: float, *, final: bool) -> None:
        if self._session is None or not self._open:
            return
        try:
            text = self._assembler.push(payload, final=final)
        except MessageError as error:
            self._fail(error)
            return
        if text is not None:
            self._session.text_received(text, now=now)

    def _fail(self, error: MessageError) -> None:
        self._failed(error.code, error)
        self.close(error.code, str(error))

    def _flush(self) -> None:
        """Hand what the protocol made to the system, and see whether a close is under way."""
        transport = self._transport
        for octets in self._protocol.data_to_send():
            if octets:
                transport.write(octets)
            elif transport.can_write_eof():
                transport.write_eof()
        if self._protocol.state is State.OPEN:
            if self._write_paused and transport.get_write_buffer_size() > self._limits.max_write_bytes:
                self._give_up("does_not_read")
        elif self._protocol.close_expected() and not self._closing:
            self._closing = True
            self._rearm(self._limits.close_timeout, self._give_up, "no_close")
            if not self._protocol.accept_called:  # what came was no request, and the library has hung up
                self._refused("no_websocket", 400)
            failure, sent = self._protocol.parser_exc, self._protocol.close_sent
            if failure is not None and sent is not None:
                self._failed(sent.code, failure)
        self._open = self._open and self._protocol.state is State.OPEN

    def _check_alive(self) -> None:
        now = self._clock()
        match self._keepalive.check(now=now):
            case Verdict.DEAD:
                self._give_up("no_sign_of_life")
                return
            case Verdict.ASK:
                self._protocol.send_ping(b"")
                self._flush()
            case Verdict.ALIVE:
                pass
        self._rearm(max(0.001, self._keepalive.deadline() - now), self._check_alive)

    def _rearm(self, delay: float, callback: Callable[..., None], *args: str) -> None:
        if self._watch is not None:
            self._watch.cancel()
        self._watch = self._loop.call_later(delay, callback, *args)

    def _give_up(self, reason: str) -> None:
        """Cut the connection: the other end would not take a closing handshake."""
        self._open = False
        self._counters.dropped[reason] += 1
        self._log.warning("media socket dropped", reason=reason, peer=self._peer())
        self._transport.abort()

    def _refused(self, reason: str, status: int) -> None:
        self._counters.refused[reason] += 1
        self._log.warning("media socket refused", reason=reason, status=status, peer=self._peer())

    def _failed(self, code: int, error: Exception) -> None:
        self._counters.failed[str(code)] += 1
        self._log.warning("media socket failed", code=code, error=str(error), peer=self._peer())

    def _peer(self) -> str:
        name = self._transport.get_extra_info("peername")
        return f"{name[0]}:{name[1]}" if isinstance(name, tuple) else ""
