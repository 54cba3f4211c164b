"""The media port: who is let in, the calls that run, and the way down."""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from typing import Any, Self

from structlog.typing import FilteringBoundLogger

from audio_codecs import ByteOrderSetting, Codec, CodecError, Wire, open_codec
from gateway.call import Call, CallOptions, EndReason
from gateway.config import Address
from gateway.directory import CallDirectory, CallRecord
from gateway.errors import AdmissionError, UnsupportedCodecError
from gateway.lifecycle import MediaSocket, SocketStage
from gateway.media.pacer import Pacer
from gateway.protocol.messages import MediaFormat, Start
from gateway.protocol.stream import MediaStream
from gateway.server.admission import MEDIA_PATH, Admission, Ticket
from gateway.server.doorman import Doorman, PassOn, Resumed
from gateway.server.lost import LostStreams
from gateway.server.session import MediaSession
from gateway.server.transport import Handshake, Limits, Link, SocketCounters
from gateway.server.transports import WEBSOCKETS, MediaTransport
from gateway.server.websocket import WebSocketConnection

__all__ = ["MediaServer"]

_SPARE_CONNECTIONS = 1000
"""TCP connections beyond the calls: those that have not said yet what they want, and those that are closing."""
_QUIET = 1.0
"""Seconds without a packet after which another socket of the same call may be the same stream again."""
_MAX_UNREDEEMED = 100
"""Sockets that may be open without having shown a token yet."""


class MediaServer:
    """Listens for Telnyx's media sockets and runs their calls; an async context manager.

    Args:
        listen: Where; port 0 lets the system choose.
        transport: What drives the sockets.
        admission: Knows the tokens.
        directory: Told of every stream's beginning and end.
        options: What is the same for all calls.
        limits: What a socket may do.
        max_calls: Sockets that may be in use at once; further ones are closed with 1013. One that has shown no token,
            or has ended and only waits for its other end, does not count.
        start_timeout: Seconds that `start` may take once a stream is connected.
        reconnect_grace: Seconds that a call waits for another socket when its own is gone without `stop`.
        byte_order: Of L16 on the wire; `auto` finds it out for each stream.
        clock: Monotonic seconds.
        log: Where things are told.
        options_for: How a call is run, by the `start` of its stream; None: all alike.
        overloaded: Whether this process has more to do than time for it; new calls are turned away then.
        pass_on: Gives sockets to the workers whose calls they are for; None where this is the only one. Workers share
            the port.
    """

    def __init__(
        self,
        listen: Address,
        *,
        transport: MediaTransport = WEBSOCKETS,
        admission: Admission,
        directory: CallDirectory,
        options: CallOptions,
        limits: Limits,
        max_calls: int,
        start_timeout: float,
        reconnect_grace: float,
        byte_order: ByteOrderSetting,
        clock: Callable[[], float],
        log: FilteringBoundLogger,
        options_for: Callable[[Start], CallOptions] | None = None,
        overloaded: Callable[[], bool] = lambda: False,
        pass_on: PassOn | None = None,
    ) -> None:
        self.draining = False
        self.sockets = SocketCounters()
        self.messages_bad = 0
        self.calls_started = 0
        self.reconnects = 0
        self.sessions_ended: Counter[str] = Counter()
        self._listen = listen
        self._transport = transport
        self._admission = admission
        self._directory = directory
        self._options_for = options_for or (lambda _: options)
        self._overloaded = overloaded
        self._pass_on = pass_on
        self._limits = limits
        self._max_calls = max_calls
        self._start_timeout = start_timeout
        self._byte_order: ByteOrderSetting = byte_order
        self._clock = clock
        self._log = log
        self._connections: set[WebSocketConnection] = set()
        self._sessions: set[MediaSession] = set()
        self._streams: dict[tuple[str, str], MediaSession] = {}
        self._lost = LostStreams(reconnect_grace, lambda session: session.end(EndReason.LINK_LOST))
        self._idle = asyncio.Event()
        self._idle.set()
        self._gone = asyncio.Event()
        self._gone.set()
        self._pacer: Pacer
        self._server: asyncio.Server
        self._tasks: asyncio.TaskGroup
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._pacer = Pacer(loop.call_later, self._clock)
        self._tasks = await self._stack.enter_async_context(asyncio.TaskGroup())
        self._server = await self._transport.create_server(
            self._incoming,
            host=self._listen.host,
            port=self._listen.port,
            backlog=1024,
            reuse_port=self._pass_on is not None,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the port and end what still runs; returns when every call has closed its sinks.

        The closing handshakes get their time: whoever still sends as the connection is cut may never read why.
        """
        self.draining = True
        self._server.close()
        for session in (*self._sessions, *self._lost):
            session.end(EndReason.SHUTDOWN)
        await self._stack.aclose()
        self._pacer.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._limits.close_timeout):
                await self._gone.wait()
        for connection in list(self._connections):
            connection.abort()

    @property
    def address(self) -> Address:
        """Where the port is, with the number the system chose."""
        host, port = self._server.sockets[0].getsockname()[:2]
        return Address(host, port)

    @property
    def url(self) -> str:
        """Where a media stream of this machine comes in."""
        return f"ws://{self.address}{MEDIA_PATH}"

    @property
    def calls_running(self) -> int:
        """Streams that have started and not ended."""
        return len(self._streams)

    @property
    def full(self) -> bool:
        """Whether a further call would be turned away."""
        return self.no_room is not None

    @property
    def no_room(self) -> str | None:
        """Why a further call would be turned away; None if it would not."""
        if self.draining:
            return "the gateway is shutting down"
        if self._overloaded():
            return "the event loop is late"
        in_use = sum(session.ticket is not None and not session.ended for session in self._sessions)
        return f"{self._max_calls} calls are running" if in_use + len(self._lost) >= self._max_calls else None

    def find_call(self, call_control_id: str) -> Call | None:
        """The call that runs, the latest where several streams of it do; None if there is none."""
        calls = [session.call for (its_call, _), session in self._streams.items() if its_call == call_control_id]
        return calls[-1] if calls else None

    def take_over(self, connection: socket.socket, octets: bytes) -> None:
        """Go on with a TCP connection that another worker has accepted, and that it has read these octets from."""
        self._tasks.create_task(self._take_over(connection, octets), name="socket of another worker")

    async def drain(self, timeout: float) -> bool:
        """Take no new calls; wait until the running ones have ended, at most `timeout` seconds.

        Returns:
            Whether they all ended by themselves.
        """
        self.draining = True
        self._server.close()
        try:
            async with asyncio.timeout(timeout):
                await self._idle.wait()
        except TimeoutError:
            self._log.warning("drain timed out", calls=self.calls_running, timeout=timeout)
        return not self._streams

    def describe(self) -> dict[str, Any]:
        """Counters as JSON-ready values."""
        return {
            "calls_running": self.calls_running,
            "calls_started": self.calls_started,
            "reconnects": self.reconnects,
            "sessions_ended": dict(self.sessions_ended),
            "messages_bad": self.messages_bad,
            "streams_lost": len(self._lost),
            "sockets_open": len(self._connections),
            "sockets_refused": dict(self.sockets.refused),
            "sockets_failed": dict(self.sockets.failed),
            "sockets_dropped": dict(self.sockets.dropped),
        }

    # --- sockets --------------------------------------------------------------------------------------------------

    def _incoming(self) -> asyncio.Protocol:
        if self._pass_on is None:
            return self._connection()
        return Doorman(self._connection(), elsewhere=self._admission.elsewhere, pass_on=self._pass_on)

    async def _take_over(self, connection: socket.socket, octets: bytes) -> None:
        try:
            await self._transport.take_over(lambda: Resumed(self._connection(), octets), connection)
        except OSError as error:
            connection.close()
            self._log.warning("media socket not taken over", error=str(error))

    def _connection(self) -> WebSocketConnection:
        return self._transport.connection(
            admit=self._admit,
            limits=self._limits,
            clock=self._clock,
            counters=self.sockets,
            log=self._log,
            on_open=self._opened,
            on_close=self._connections.discard,
        )

    def _awaits(self, ticket: Ticket | None) -> bool:
        """Whether this is the socket that a running call waits for."""
        calls = {session.call.call_control_id for session in self._lost if session.call is not None}
        return ticket is not None and ticket.call_control_id in calls

    def _opened(self, connection: WebSocketConnection) -> None:
        self._connections.add(connection)
        if len(self._connections) > self._max_calls + _SPARE_CONNECTIONS:
            self.sockets.dropped["too_many"] += 1
            connection.abort()

    def _admit(self, handshake: Handshake, link: Link) -> MediaSession:
        ticket = self._admission.admit(handshake)
        if ticket is None and sum(session.ticket is None for session in self._sessions) >= _MAX_UNREDEEMED:
            raise AdmissionError("no_token", 401, "a media stream needs the token of its call")
        session = MediaSession(
            link,
            self,
            ticket=ticket,
            refusal=EndReason.OVERLOADED if self.full and not self._awaits(ticket) else None,
            start_timeout=self._start_timeout,
            clock=self._clock,
            log=self._log,
        )
        self._sessions.add(session)
        self._gone.clear()
        if ticket is not None and ticket.call_control_id is not None:
            self._tell(ticket.call_control_id, session, SocketStage.CONNECTED)
        return session

    # --- SessionOwner ---------------------------------------------------------------------------------------------

    def redeem(self, token: str | None) -> Ticket:
        """Exchange a token for its ticket."""
        return self._admission.redeem(token)

    def start_call(self, session: MediaSession, start: Start, stream: MediaStream) -> Call:
        """Make and run the call of a stream that begins; an older socket of the same stream gives way."""
        body, ticket = start.start, session.ticket
        assert ticket is not None
        self._admission.bind(ticket, body.call_control_id)
        inbound, outbound = self._codecs(body.media_format, session, ticket)
        session.log = self._log.bind(stream_id=start.stream_id[:64], call_control_id=body.call_control_id[:96])
        older = self._stream_before(body.call_control_id, start.stream_id)
        if older is not None and older.call is not None:
            if older.call.plays(outbound):
                return self._reconnect(older.call, older, session, start, stream, inbound)
            older.end(EndReason.REPLACED)
        call = Call(
            start,
            stream=stream,
            inbound=inbound,
            outbound=outbound,
            options=self._options_for(start),
            transmit=session.send,
            on_end=session.end,
            pacer=self._pacer,
            clock=self._clock,
            log=session.log,
        )
        key = (body.call_control_id, start.stream_id)
        self._streams[key] = session
        self._idle.clear()
        self.calls_started += 1
        record = self._tell(body.call_control_id, session, SocketStage.STARTED, start.stream_id)
        record.media = call.report
        self._tasks.create_task(self._run(call, session), name=f"call {start.stream_id[:64]}")
        session.log.info("stream started", codec=f"{body.media_format.encoding}/{body.media_format.sample_rate}")
        return call

    def message_bad(self) -> None:
        """Count a message or payload that was no good."""
        self.messages_bad += 1

    def call_over(self, call_control_id: str) -> None:
        """The call has hung up: no socket of it will come back."""
        for session in self._lost:
            if session.call is not None and session.call.call_control_id == call_control_id:
                session.end(EndReason.LINK_LOST)

    def link_fell(self, session: MediaSession) -> bool:
        """Let the call of a lost socket wait for another."""
        waits = self._lost.keep(session)
        if waits and session.call is not None:
            session.call.link_lost()
        return waits

    def session_ended(self, session: MediaSession, reason: EndReason) -> None:
        """Count the end, and forget the stream."""
        self.sessions_ended[reason] += 1
        self._lost.forget(session)
        call = session.call
        if call is None:
            session.log.info("session ended", reason=reason.value)
            if session.ticket is not None and session.ticket.call_control_id is not None:
                self._tell(session.ticket.call_control_id, session, SocketStage.ABANDONED)
            return
        self._tell(call.call_control_id, session, SocketStage.STOPPED, call.stream_id)
        key = (call.call_control_id, call.stream_id)
        if self._streams.get(key) is session:
            del self._streams[key]
        if not self._streams:
            self._idle.set()
        session.log.info("stream ended", reason=reason.value)

    def session_gone(self, session: MediaSession) -> None:
        """Forget the session."""
        self._sessions.discard(session)
        if not self._sessions:
            self._gone.set()

    # --- calls ----------------------------------------------------------------------------------------------------

    def _stream_before(self, call_control_id: str, stream_id: str) -> MediaSession | None:
        """The session that a new socket of this call takes over from, as Telnyx may name the same stream anew.

        That of the same stream; else one whose socket fell; else one from which nothing came for a while, as a
        connection may be dead long before anybody is told.
        """
        of_call = [session for (its_call, _), session in self._streams.items() if its_call == call_control_id]
        now = self._clock()
        return (
            self._streams.get((call_control_id, stream_id))
            or next((session for session in self._lost if session in of_call), None)
            or next((session for session in of_call if session.call and session.call.silent_for(now) > _QUIET), None)
        )

    def _reconnect(
        self,
        call: Call,
        older: MediaSession,
        session: MediaSession,
        start: Start,
        stream: MediaStream,
        inbound: Callable[[], Codec],
    ) -> Call:
        """Go on with a call on a newer socket."""
        self.reconnects += 1
        self._lost.forget(older)
        older.give_way()
        del self._streams[call.call_control_id, call.stream_id]
        self._streams[call.call_control_id, start.stream_id] = session
        # Its life knows one socket of the call, whichever that is: the new one is not told of as another stream.
        self._tell(call.call_control_id, session, SocketStage.ABANDONED)
        session.socket_id = older.socket_id
        session.log.info("stream reconnected", before=call.stream_id[:64])
        call.reconnect(
            start.stream_id, stream=stream, inbound=inbound, transmit=session.send, on_end=session.end, log=session.log
        )
        return call

    def _codecs(
        self, announced: MediaFormat, session: MediaSession, ticket: Ticket
    ) -> tuple[Callable[[], Codec], Codec]:
        """The way in as the stream announces it, the way out as Telnyx was asked to take it."""

        def byte_order_heard(wire: Wire) -> None:
            tell = session.log.warning if wire.byte_order_wrong else session.log.info
            tell("L16 byte order heard", heard=wire.byte_order_heard, used=wire.byte_order, set=self._byte_order)

        wire = Wire(self._byte_order, on_byte_order=byte_order_heard)

        def inbound() -> Codec:
            return open_codec(announced.encoding, announced.sample_rate, wire=wire)

        if announced.channels != 1:
            raise UnsupportedCodecError(f"stream has {announced.channels} channels, want 1")
        try:
            inbound()
            encoding, clock_rate = ticket.asked_codec or (announced.encoding, announced.sample_rate)
            return inbound, open_codec(encoding, clock_rate, wire=wire, to_send=True)
        except CodecError as error:
            raise UnsupportedCodecError(str(error)) from error

    def _tell(
        self, call_control_id: str, session: MediaSession, stage: SocketStage, stream_id: str | None = None
    ) -> CallRecord:
        return self._directory.tell(call_control_id, MediaSocket(session.socket_id, stage, stream_id))

    async def _run(self, call: Call, session: MediaSession) -> None:
        """Run one call to the end of its sinks; whatever happens there stays there."""
        try:
            await call.run()
        except Exception:
            call.log.exception("call failed")
            call.end(EndReason.INTERNAL_ERROR)
        report = call.report()
        record = self._directory.get(call.call_control_id)
        if record is not None and record.media == call.report:
            record.media = lambda: report
        self._tell(call.call_control_id, session, SocketStage.STORED, call.stream_id)
