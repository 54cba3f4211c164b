"""A session without a socket and without a server: the test is both, and the carrier as well."""

from collections.abc import Callable

import structlog

from audio_codecs import open_codec
from gateway.call import Call, CallOptions, EndReason
from gateway.errors import AdmissionError
from gateway.media.pacer import Pacer
from gateway.protocol.messages import MediaFormat, Start, StartBody
from gateway.protocol.stream import CarrierStream, MediaStream
from gateway.server.admission import Ticket
from gateway.server.session import MediaSession
from gateway.server.transport import CloseCode
from tests.fakes import FakeClock, ListSink
from tests.gateway.control.conftest import Log

TOKEN = "the-token"
BODY = StartBody(call_control_id="v3:a", media_format=MediaFormat("PCMU", 8000))


class Line:
    """A session between a socket that keeps what it is told, and a server of the test's own."""

    def __init__(
        self,
        log: Log,
        *,
        token: bool = False,
        refusal: EndReason | None = None,
        start: Exception | None = None,
        clock: Callable[[], float] | None = None,
        start_timeout: float = 60.0,
    ) -> None:
        self.clock = FakeClock()
        self.carrier = CarrierStream("STREAM", BODY, token=TOKEN if token else None)
        self.sink = ListSink()
        self.sent: list[bytes] = []
        self.closed: list[tuple[CloseCode, str]] = []
        self.bad = 0
        self.ended: list[EndReason] = []
        self.gone = 0
        self.calls: list[Call] = []
        self.full = False
        self._start = start
        self._redeemed = Ticket("v3:a", 1e9, ("PCMU", 8000))
        self.session = MediaSession(
            self,
            self,
            ticket=None if token else self._redeemed,
            refusal=refusal,
            start_timeout=start_timeout,
            clock=clock or self.clock,
            log=log.logger,
        )

    # the socket's side
    def send(self, text: bytes) -> None:
        self.sent.append(text)

    def close(self, code: CloseCode, reason: str) -> None:
        self.closed.append((code, reason))

    # the server's side
    def redeem(self, token: str | None) -> Ticket:
        if token != TOKEN:
            raise AdmissionError("bad_token", 403, "not that one")
        return self._redeemed

    def start_call(self, session: MediaSession, start: Start, stream: MediaStream) -> Call:
        if self._start is not None:
            raise self._start
        call = Call(
            start,
            stream=stream,
            inbound=lambda: open_codec("PCMU", 8000),
            outbound=open_codec("PCMU", 8000),
            options=CallOptions(sinks={"list": self.sink.factory}),
            transmit=session.send,
            on_end=session.end,
            pacer=Pacer(self.clock.call_later, self.clock),
            clock=self.clock,
            log=structlog.get_logger(),
        )
        self.calls.append(call)
        return call

    def message_bad(self) -> None:
        self.bad += 1

    def link_fell(self, session: MediaSession) -> bool:
        assert session is self.session
        return False

    def session_ended(self, session: MediaSession, reason: EndReason) -> None:
        assert session is self.session
        self.ended.append(reason)

    def session_gone(self, session: MediaSession) -> None:
        assert session is self.session
        self.gone += 1

    # the carrier's side
    def say(self, *texts: bytes | str) -> None:
        for text in texts:
            self.session.text_received(text if isinstance(text, bytes) else text.encode(), now=self.clock.now)

    def begin(self) -> None:
        self.session.link_open()
        self.say(self.carrier.send_connected(), self.carrier.send_start())

    @property
    def packets(self) -> int:
        """How many packets the only call received."""
        (call,) = self.calls
        return int(call.report()["received"]["packets_received"])
