"""The media port: who is let in, the calls that run, and the way down."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from typing import Any, Self

from structlog.typing import FilteringBoundLogger

from audio_codecs import ByteOrder, Codec, CodecError, open_codec
from gateway.call import Call, CallOptions, EndReason
from gateway.config import Address
from gateway.directory import CallDirectory, CallState
from gateway.errors import AdmissionError, UnsupportedCodecError
from gateway.media.pacer import Pacer
from gateway.protocol.messages import MediaFormat, Start
from gateway.protocol.stream import MediaStream
from gateway.server.admission import MEDIA_PATH, Admission, Ticket
from gateway.server.session import MediaSession
from gateway.server.transport import Handshake, Limits, Link, SocketCounters
from gateway.server.websocket import WebSocketConnection

__all__ = ["MediaServer"]

_SPARE_CONNECTIONS = 1000
"""TCP connections beyond the calls: those that have not said yet what they want, and those that are closing."""
_MAX_UNREDEEMED = 100
"""Sockets that may be open without having shown a token yet."""


class MediaServer:
    """Listens for Telnyx's media sockets and runs their calls; an async context manager.

    Args:
        listen: Where; port 0 lets the system choose.
        admission: Knows the tokens.
        directory: Told of every stream's beginning and end.
        options: What is the same for all calls.
        limits: What a socket may do.
        max_calls: Sockets that may be in use at once; further ones are closed with 1013. One that has shown no token,
            or has ended and only waits for its other end, does not count.
        start_timeout: Seconds that `start` may take once a stream is connected.
        byte_order: Of L16 on the wire.
        clock: Monotonic seconds.
        log: Where things are told.
    """

    def __init__(
        self,
        listen: Address,
        *,
        admission: Admission,
        directory: CallDirectory,
        options: CallOptions,
        limits: Limits,
        max_calls: int,
        start_timeout: float,
        byte_order: ByteOrder,
        clock: Callable[[], float],
        log: FilteringBoundLogger,
    ) -> None:
        self.draining = False
        self.sockets = SocketCounters()
        self.messages_bad = 0
        self.calls_started = 0
        self.sessions_ended: Counter[str] = Counter()
        self._listen = listen
        self._admission = admission
        self._directory = directory
        self._options = options
        self._limits = limits
        self._max_calls = max_calls
        self._start_timeout = start_timeout
        self._byte_order: ByteOrder = byte_order
        self._clock = clock
        self._log = log
        self._connections: set[WebSocketConnection] = set()
        self._sessions: set[MediaSession] = set()
        self._streams: dict[tuple[str, str], MediaSession] = {}
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
        self._server = await loop.create_server(self._connection, self._listen.host, self._listen.port, backlog=1024)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the port and end what still runs; returns when every call has closed its sinks.

        The closing handshakes get their time: whoever still sends as the connection is cut may never read why.
        """
        self.draining = True
        self._server.close()
        for session in list(self._sessions):
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
        in_use = sum(session.ticket is not None and not session.ended for session in self._sessions)
        return self.draining or in_use >= self._max_calls

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
            "sessions_ended": dict(self.sessions_ended),
            "messages_bad": self.messages_bad,
            "sockets_open": len(self._connections),
            "sockets_refused": dict(self.sockets.refused),
            "sockets_failed": dict(self.sockets.failed),
            "sockets_dropped": dict(self.sockets.dropped),
        }

    # --- sockets --------------------------------------------------------------------------------------------------

    def _connection(self) -> WebSocketConnection:
        return WebSocketConnection(
            admit=self._admit,
            limits=self._limits,
            clock=self._clock,
            counters=self.sockets,
            log=self._log,
            on_open=self._opened,
            on_close=self._connections.discard,
        )

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
            refusal=EndReason.OVERLOADED if self.full else None,
            start_timeout=self._start_timeout,
            clock=self._clock,
            log=self._log,
        )
        self._sessions.add(session)
        self._gone.clear()
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
        inbound, outbound = self._codecs(body.media_format, ticket)
        session.log = self._log.bind(stream_id=start.stream_id[:64], call_control_id=body.call_control_id[:96])
        call = Call(
            start,
            stream=stream,
            inbound=inbound,
            outbound=outbound,
            options=self._options,
            transmit=session.send,
            on_end=session.end,
            pacer=self._pacer,
            clock=self._clock,
            log=session.log,
        )
        key = (body.call_control_id, start.stream_id)
        older = self._streams.get(key)
        if older is not None:
            older.end(EndReason.REPLACED)
        self._streams[key] = session
        self._idle.clear()
        self.calls_started += 1
        record = self._directory.reach(body.call_control_id, CallState.STREAMING)
        record.media = call.report
        self._tasks.create_task(self._run(call), name=f"call {start.stream_id[:64]}")
        session.log.info("stream started", codec=f"{body.media_format.encoding}/{body.media_format.sample_rate}")
        return call

    def message_bad(self) -> None:
        """Count a message or payload that was no good."""
        self.messages_bad += 1

    def session_ended(self, session: MediaSession, reason: EndReason) -> None:
        """Count the end, and forget the stream unless a newer socket has it."""
        self.sessions_ended[reason] += 1
        call = session.call
        if call is None:
            session.log.info("session ended", reason=reason.value)
            return
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

    def _codecs(self, announced: MediaFormat, ticket: Ticket) -> tuple[Callable[[], Codec], Codec]:
        """The way in as the stream announces it, the way out as Telnyx was asked to take it."""

        def inbound() -> Codec:
            return open_codec(announced.encoding, announced.sample_rate, byte_order=self._byte_order)

        if announced.channels != 1:
            raise UnsupportedCodecError(f"stream has {announced.channels} channels, want 1")
        try:
            inbound()
            encoding, clock_rate = ticket.asked_codec or (announced.encoding, announced.sample_rate)
            return inbound, open_codec(encoding, clock_rate, byte_order=self._byte_order)
        except CodecError as error:
            raise UnsupportedCodecError(str(error)) from error

    async def _run(self, call: Call) -> None:
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
            self._directory.reach(call.call_control_id, CallState.STOPPED)
