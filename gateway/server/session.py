"""What happens on one media socket: admission, the stream's messages, and the call that they make.

Whatever comes, one of these follows: the message is taken; it is counted as bad, and the stream goes on; or the
stream ends, for a reason that the log, the counters, the close code and the call's record all tell.
"""

import asyncio
import uuid
from collections.abc import Callable
from typing import Final, Protocol

from structlog.typing import FilteringBoundLogger

from gateway.call import Call, EndReason
from gateway.errors import AdmissionError, RemoteProtocolError, UnsupportedCodecError
from gateway.protocol.budget import ErrorBudget
from gateway.protocol.messages import (
    AUTH_FIELD,
    READ_ERRORS,
    CarrierMessage,
    Connected,
    Media,
    Start,
    Stop,
    UnknownEvent,
    decode_carrier,
    read_carrier,
)
from gateway.protocol.stream import MediaReceived, MediaStream
from gateway.server.admission import Ticket
from gateway.server.transport import CloseCode, Link

__all__ = ["MediaSession", "SessionOwner"]

_CLOSE: Final[dict[EndReason, tuple[CloseCode, str]]] = {
    EndReason.STOP: (CloseCode.NORMAL, "stream stopped"),
    EndReason.LINK_LOST: (CloseCode.NORMAL, ""),
    EndReason.PROTOCOL_ERROR: (CloseCode.POLICY_VIOLATION, "too many bad messages"),
    EndReason.UNSUPPORTED_CODEC: (CloseCode.UNSUPPORTED_DATA, "codec not supported"),
    EndReason.NOT_ADMITTED: (CloseCode.POLICY_VIOLATION, "not admitted"),
    EndReason.NO_START: (CloseCode.POLICY_VIOLATION, "no start in time"),
    EndReason.OVERLOADED: (CloseCode.TRY_AGAIN_LATER, "no room for another call"),
    EndReason.MAX_DURATION: (CloseCode.MAX_DURATION, "longest call reached"),
    EndReason.REPLACED: (CloseCode.REPLACED, "the stream came in again"),
    EndReason.SHUTDOWN: (CloseCode.GOING_AWAY, "gateway shuts down"),
    EndReason.INTERNAL_ERROR: (CloseCode.INTERNAL_ERROR, "internal error"),
}
_PROTOCOL_FAILURES = frozenset(
    {
        CloseCode.PROTOCOL_ERROR,
        CloseCode.UNSUPPORTED_DATA,
        CloseCode.INVALID_DATA,
        CloseCode.MESSAGE_TOO_BIG,
    }
)


class SessionOwner(Protocol):
    """What a session needs of the server that admitted it."""

    @property
    def full(self) -> bool:
        """Whether there is no room for another call."""

    def redeem(self, token: str | None) -> Ticket:
        """Exchange a token that came late, inside `connected`. Raises AdmissionError."""

    def start_call(self, session: "MediaSession", start: Start, stream: MediaStream) -> Call:
        """Make the call of a stream that begins. Raises AdmissionError or UnsupportedCodecError."""

    def message_bad(self) -> None:
        """A message or payload was no good."""

    def link_fell(self, session: "MediaSession") -> bool:
        """Its socket is gone without `stop`. Returns whether its call waits for another; else it ends."""

    def session_ended(self, session: "MediaSession", reason: EndReason) -> None:
        """The session is over; its call, if it had one, has ended."""

    def session_gone(self, session: "MediaSession") -> None:
        """Its socket is gone as well."""


class MediaSession:
    """One media socket, from its upgrade to its end.

    Args:
        link: The socket.
        owner: The server.
        ticket: What the token was good for; None where the token has yet to come inside `connected`.
        refusal: End the session for this reason as soon as the socket can say so.
        start_timeout: Seconds that `start` may take once the stream is connected.
        clock: Monotonic seconds.
        log: Where things are told.
    """

    __slots__ = (
        "_budget",
        "_clock",
        "_link",
        "_owner",
        "_refusal",
        "_stream",
        "_timer",
        "call",
        "ended",
        "log",
        "send",
        "socket_id",
        "ticket",
    )

    def __init__(
        self,
        link: Link,
        owner: SessionOwner,
        *,
        ticket: Ticket | None,
        refusal: EndReason | None,
        start_timeout: float,
        clock: Callable[[], float],
        log: FilteringBoundLogger,
    ) -> None:
        self.socket_id = uuid.uuid4().hex[:12]  # names the socket where its call's life is told
        self.ticket = ticket
        self.ended = False
        self.call: Call | None = None
        self.log = log
        self.send = link.send
        self._link = link
        self._owner = owner
        self._refusal = refusal
        self._clock = clock
        self._stream = MediaStream(now=clock(), start_timeout=start_timeout)
        self._budget = ErrorBudget()
        self._timer: asyncio.TimerHandle | None = None

    # --- from the socket ------------------------------------------------------------------------------------------

    def link_open(self) -> None:
        """The socket can be used."""
        if self._refusal is not None:
            self.end(self._refusal)
        else:
            self._watch()

    def text_received(self, text: bytes, *, now: float) -> None:
        """Take one message, whatever it is."""
        call = self.call
        if call is None and self.ended:
            return
        try:
            try:
                message = read_carrier(text)
            except READ_ERRORS:
                self._take(decode_carrier(text), now)
                return
            if call is None or type(message) is not Media:
                self._take(message, now)
            elif not call.media_received(message, now):  # the stream is in the one state in which there is a call
                raise RemoteProtocolError("payload cannot be decoded")
        except UnsupportedCodecError as error:
            self.log.warning("stream cannot be decoded", error=str(error))
            self.end(EndReason.UNSUPPORTED_CODEC)
        except AdmissionError as error:
            self.log.warning("stream not admitted", reason=error.reason)
            self.end(EndReason.NOT_ADMITTED)
        except RemoteProtocolError as error:
            self._owner.message_bad()
            self.log.warning("bad message", error=str(error)[:200])
            if self._budget.spend(now=now):
                self.end(EndReason.PROTOCOL_ERROR)
        except Exception:
            self.log.exception("session failed")
            self.end(EndReason.INTERNAL_ERROR)

    def link_lost(self, code: int, reason: str) -> None:
        """The socket is gone."""
        if not self.ended:
            self.log.warning("media socket lost", code=code, reason=reason[:123])
            if code in _PROTOCOL_FAILURES:
                self.end(EndReason.PROTOCOL_ERROR)
            elif self.call is None or not self._owner.link_fell(self):
                self.end(EndReason.LINK_LOST)
        self._owner.session_gone(self)

    # --- its end --------------------------------------------------------------------------------------------------

    def end(self, reason: EndReason) -> None:
        """End the session and its call, and close the socket with what that means. Once."""
        if self.ended:
            return
        self.ended = True
        if self._timer is not None:
            self._timer.cancel()
        if self.call is not None:
            self.call.end(reason)
        self._link.close(*_CLOSE[reason])
        self._owner.session_ended(self, reason)
        self.call = None  # which knows this session

    def give_way(self) -> None:
        """A newer socket carries the call on: this one has no part in it any more."""
        self.ended = True
        self.call = None
        self._link.close(*_CLOSE[EndReason.REPLACED])

    # --- inside ---------------------------------------------------------------------------------------------------

    def _take(self, message: CarrierMessage | UnknownEvent, now: float) -> None:
        event = self._stream.take(message, now=now)
        if isinstance(event, Connected):
            self._connected(event)
        elif isinstance(event, Start):
            self._start(event)
        elif isinstance(event, Stop):
            self.end(EndReason.STOP)
        elif event is not None and self.call is not None and not isinstance(event, MediaReceived):
            self.call.event_received(event)

    def _connected(self, message: Connected) -> None:
        if self.ticket is None:
            ticket = self._owner.redeem((message.connected or {}).get(AUTH_FIELD))
            if self._owner.full:
                self.end(EndReason.OVERLOADED)
                return
            self.ticket = ticket
        self._watch()

    def _start(self, message: Start) -> None:
        if self.ticket is None:
            raise AdmissionError("no_token", 401, "the stream started without a token")
        if self._timer is not None:
            self._timer.cancel()
        self.call = self._owner.start_call(self, message, self._stream)

    def _watch(self) -> None:
        """Wake up when the next message of the stream's opening is overdue."""
        if self._timer is not None:
            self._timer.cancel()
        deadline = self._stream.deadline()
        if deadline is not None:
            delay = max(0.0, deadline - self._clock())
            self._timer = asyncio.get_running_loop().call_later(delay, self._overdue)

    def _overdue(self) -> None:
        if self._stream.overdue(now=self._clock()):
            self.log.warning("stream did not start in time", state=self._stream.state.value)
            self.end(EndReason.NO_START)
        else:
            self._watch()
