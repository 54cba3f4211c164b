"""The transport on `picows`, for density: its parser, in C, reads the frames of an open socket and writes the texts.

A socket's beginning and end are those of the other transport, which this one is made of: `websockets` answers the
upgrade and the closing handshake. In between `picows` reads. A whole text frame goes from there straight to the
session. What is anything else (fragments, control frames, reserved bits) is written down again as a frame and given to
`websockets`' protocol: one set of rules judges the sockets of both transports. The faults that `picows` sees itself
close the socket the same way, and not by its own way of a close frame and 10 ms.

`picows` has no public way into its protocol behind an upgrade that somebody else has answered. So this uses its class
`WSProtocol`, which is why the version is pinned to the minor, and shows it an upgrade request of our own.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import aiofastnet
from picows import WSAutoPingStrategy, WSFrame, WSListener, WSMsgType, WSTransport
from picows.picows import WSProtocol  # type: ignore[attr-defined] # not public

from gateway.server.assembler import MessageError
from gateway.server.framing import client_frame, write_text
from gateway.server.transport import CloseCode
from gateway.server.websocket import WebSocketConnection

__all__ = ["PicowsConnection", "create_server", "take_over"]

_TEXT = WSMsgType.TEXT
_FINAL = 0x80
_OPCODE = 0x0F
_READ_BUFFER = 2048
"""Octets: six messages of 20 ms PCMU; it grows with the messages that come, to twice the largest."""
_UPGRADE = (
    b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
_FAULTS = {
    CloseCode.MESSAGE_TOO_BIG: "frame is too big",
    CloseCode.INVALID_DATA: "close reason is not UTF-8",
}


async def create_server(factory: Callable[[], asyncio.Protocol], **where: Any) -> asyncio.Server:
    """Listen like `loop.create_server`, with the TCP transport that `picows` is made for.

    It tells the truth about its write buffer and copies what it keeps, on either event loop: `picows` writes straight
    to the socket past an empty buffer, and uses its own memory again at once.
    """
    return await aiofastnet.create_server(asyncio.get_running_loop(), factory, **where)


async def take_over(factory: Callable[[], asyncio.Protocol], connection: socket.socket) -> None:
    """Go on with a TCP connection that was accepted elsewhere, like `loop.connect_accepted_socket`, the same way."""
    await aiofastnet.connect_accepted_socket(asyncio.get_running_loop(), factory, connection)


class PicowsConnection(WebSocketConnection):
    """One TCP connection on the media port."""

    _frames: WSProtocol | None = None  # while `picows` reads
    _write: Callable[[WSMsgType, bytes], None]
    _fault: MessageError | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """The TCP connection is gone, cleanly or not."""
        self._leave_picows()
        super().connection_lost(exc)

    def send(self, text: bytes) -> None:
        """Send one text message."""
        if self._open:
            write = self._write  # as in `usual_frame`
            write(_TEXT, text)
            if self._write_paused and self._transport.get_write_buffer_size() > self._limits.max_write_bytes:
                self._give_up("does_not_read")

    def usual_frame(self, text: bytes) -> None:
        """`picows` has read a whole text frame without reserved bits."""
        clock = self._clock  # called as `self._clock()`, CPython 3.11 would look for a method first
        self._keepalive.last_heard = now = clock()
        if self._open and self._between_messages and self._session is not None:
            if text.isascii():
                self._session.text_received(text, now=now)
            else:
                self._text_received(text, now, final=True)
        else:
            self.other_frame(_FINAL | _TEXT.value, text)

    def other_frame(self, first: int, payload: bytes) -> None:
        """`picows` has read another frame, which begins with this octet."""
        now = self._clock()
        self._keepalive.last_heard = now
        if self._frames is not None:  # else it stands behind the end
            super()._receive(client_frame(first, payload), now)
            if first & _OPCODE == WSMsgType.CLOSE.value:
                self._leave_picows()

    # --- inside ---------------------------------------------------------------------------------------------------

    def _upgraded(self) -> None:
        """Have `picows` read what comes from now on."""
        frames = self._frames = WSProtocol(
            host_port=None,
            ws_path=None,
            is_client_side=False,
            ws_listener_factory=lambda request: _Listener(self),
            logger=_Report(self._faulty),
            disconnect_on_exception=True,  # never comes to it, as the report raises it again
            websocket_handshake_timeout=None,
            enable_auto_ping=False,
            auto_ping_idle_timeout=0,
            auto_ping_reply_timeout=0,
            auto_ping_strategy=WSAutoPingStrategy.PING_WHEN_IDLE,
            enable_auto_pong=False,
            max_frame_size=self._max_message_bytes,
            extra_headers=None,
            read_buffer_init_size=_READ_BUFFER,
        )
        frames.connection_made(_Underneath(self._transport))
        self._feed(_UPGRADE)
        self._write = frames.transport.send
        self._between_messages = True
        self._transport.set_protocol(_Reading(frames, self))

    def _receive(self, data: bytes, now: float) -> None:
        """Read what comes outside of the time that `picows` reads, and hand on what stands behind the request."""
        if self._session is None:
            data = self._receive_request(data)
            self._flush()
            if self._frames is not None:
                self._feed(data)
                return
        super()._receive(data, now)

    def _feed(self, data: bytes) -> None:
        while data and self._frames is not None and self._fault is None:
            buffer = self._frames.get_buffer(len(data))
            size = min(len(data), len(buffer))
            buffer[:size] = data[:size]
            self._frames.buffer_updated(size)
            data = data[size:]

    def _faulty(self, code: int) -> None:
        """`picows` cannot read on. The frame before has yet to be told, so the socket is closed a moment later."""
        if self._fault is None and self._frames is not None:
            close_code = CloseCode(code)
            self._fault = MessageError(close_code, _FAULTS.get(close_code, "frame breaks a rule of RFC 6455"))
            self._transport.pause_reading()
            self._frames.connection_lost(None)  # from now on it sends nothing, so not its own close frame either
            self._write = self._write_past_picows
            self._loop.call_soon(self._close_for, self._fault)

    def _write_past_picows(self, opcode: WSMsgType, text: bytes) -> None:
        del opcode  # always that of text
        self._transport.write(write_text(text))

    def _close_for(self, fault: MessageError) -> None:
        if self._frames is None:
            return
        self._leave_picows()
        if self._open:
            self._failed(fault.code, fault)
            self._open = False
        self._protocol.fail(fault.code, str(fault))
        self._flush()

    def _leave_picows(self) -> None:
        """What comes from now on stands behind the end of the stream, where nothing is read."""
        frames, self._frames = self._frames, None
        if frames is not None:
            del self._write  # nothing is sent any more, and what it belongs to knows this connection
            self._transport.set_protocol(self)
            if self._fault is None:
                frames.connection_lost(None)
            else:
                self._transport.resume_reading()


class _Listener(WSListener):
    """What `picows` tells of frames. Not the connection itself: a class of both would find its attributes slowly."""

    __slots__ = ("_other", "_usual")

    def __init__(self, connection: PicowsConnection) -> None:
        self._usual = connection.usual_frame
        self._other = connection.other_frame

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """`picows` has read a frame."""
        del transport
        if frame.msg_type is _TEXT and frame.fin and not (frame.rsv1 or frame.rsv2 or frame.rsv3):
            self._usual(frame.get_payload_as_bytes())
        else:
            first = frame.fin << 7 | frame.rsv1 << 6 | frame.rsv2 << 5 | frame.rsv3 << 4 | frame.msg_type.value
            self._other(first, frame.get_payload_as_bytes())


class _Reading(asyncio.BufferedProtocol):
    """Has `picows` read what comes, without a call of ours in between; all else is told the connection."""

    get_buffer: Any  # bound methods of others all
    buffer_updated: Any
    pause_writing: Any
    resume_writing: Any
    eof_received: Any
    connection_lost: Any

    def __init__(self, frames: WSProtocol, connection: PicowsConnection) -> None:
        self.get_buffer = frames.get_buffer
        self.buffer_updated = frames.buffer_updated
        self.pause_writing = connection.pause_writing
        self.resume_writing = connection.resume_writing
        self.eof_received = connection.eof_received
        self.connection_lost = connection.connection_lost


class _Underneath:
    """The TCP connection as `picows` may use it: it answers no upgrade, and does not end it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.get_extra_info = transport.get_extra_info
        self.get_write_buffer_size = transport.get_write_buffer_size
        self.writelines = transport.writelines
        self._transport = transport
        self._answered = False

    def write(self, data: bytes) -> None:
        """Send what the socket has not taken at once; the first is the answer to an upgrade."""
        if self._answered:
            self._transport.write(data)
        self._answered = True

    def close(self) -> None:
        """Not by `picows`: the closing handshake has its own time."""

    abort = close


class _Report:
    """What `picows` takes for its logger, as it tells faults nowhere else. It is called before anything is done."""

    def __init__(self, faulty: Callable[[int], None]) -> None:
        self._faulty = faulty

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - as logging has it
        """Nothing of what it says in between is wanted."""
        del level
        return False

    def info(self, message: str, *args: object) -> None:
        """Connections that come and go."""

    debug = warning = info

    def error(self, message: str, fault: tuple[int, str]) -> None:
        """What came cannot be read: the close code, and why in words that may repeat what was said."""
        del message
        self._faulty(int(fault[0]))

    def exception(self, message: str, *args: object) -> None:
        """A bug of ours, on its way through: let it surface like that of any other protocol."""
        raise
