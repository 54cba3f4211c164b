"""The client of every streaming service: a WebSocket that comes back, and sound that is sent until it is understood.

    write -> Supply (Packer -> Outbox) -> Connection -> Session -> Transcript

The call never waits for any of this: `write` belongs to a task of the sink's, behind a buffer. What the service has not
acknowledged is kept; when the connection breaks, another one begins with exactly that, so that nothing is missing, and
what the service says of earlier sound is dropped, so that nothing is there twice. When the call ends, the rest is sent
and the service has `Patience.finish` seconds to say its last words.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from structlog.typing import FilteringBoundLogger
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from gateway.errors import SinkError
from gateway.media.frame import AudioFrame, FrameTrack
from gateway.sinks.base import StreamInfo
from gateway.sinks.delivery import Delivery, Restart
from gateway.sinks.restarts import Restarts
from gateway.transcribe.connection import Connection
from gateway.transcribe.service import Service, ServiceError, ServiceRefusedError
from gateway.transcribe.supply import LEAST, Supply
from gateway.transcribe.transcript import Transcript

__all__ = ["DELIVERY", "PATIENCE", "Patience", "StreamingTranscriber", "open_streaming"]

DELIVERY: Final = Delivery(by="task", frames=500, full="drop_oldest", linger=LEAST, close_timeout=10.0)
"""How a streaming transcriber gets its frames: ten seconds may wait beside what it keeps itself."""

_MAX_MESSAGE: Final = 2**20
_CLOSE_TIMEOUT: Final = 1.0

_REFUSALS: Final = {
    400: "it does not take the options",
    401: "it does not take the key",
    402: "the account has no credit",
    403: "the key may not do this",
    404: "there is nothing at this address",
    422: "it does not take the options",
}
"""Answers to the handshake that another attempt would not change."""

_AGAIN: Final = Restart(first=0.5, longest=10.0, attempts=20, healthy=10.0)  # three minutes without success


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a transcriber waits, and for how much. Seconds.

    Attributes:
        connect: For a connection, and for the service to take sound on it.
        send: For the service to take a message.
        finish: For its last words as the call ends.
        ping: Between two pings, and for the answer to one.
        kept: How much sound is kept until it is acknowledged.
        ahead: How much of what waits may be sent at once; the rest at the pace that the service wants.
        again: When to connect again.
    """

    connect: float = 10.0
    send: float = 10.0
    finish: float = 5.0
    ping: float = 10.0
    kept: float = 30.0
    ahead: float = 2.0
    again: Restart = _AGAIN


PATIENCE: Final = Patience()


class StreamingTranscriber:
    """A sink; made by `open_streaming`.

    Attributes:
        tracks: The one it listens to.
        delivery: See `Delivery`.
    """

    delivery = DELIVERY

    def __init__(
        self,
        service: Service,
        info: StreamInfo,
        *,
        track: FrameTrack,
        patience: Patience,
        log: FilteringBoundLogger,
        clock: Callable[[], float],
    ) -> None:
        self.tracks = frozenset({track})
        self._service = service
        self._patience = patience
        self._log = log.bind(transcriber=service.name)
        self._clock = clock
        played = track == "played"
        encoding = info.played_encoding if played else info.inbound_encoding
        self._audio = service.audio_format(encoding, info.played_sample_rate if played else info.inbound_sample_rate)
        self._supply = Supply(self._audio, encoding, seconds=patience.kept, clock=clock)
        self._transcript = Transcript(info, service.name, track)
        self._restarts = Restarts(patience.again)
        self._connection: Connection | None = None
        self._failure: SinkError | None = None
        self._told = False  # of the failure
        self._problem: str | None = None
        self._state = "connecting"
        self._seconds_sent = 0.0
        self._messages_bad = 0

    def __str__(self) -> str:
        return f"{self._service.name}({self._audio.encoding}/{self._audio.sample_rate})"

    async def write(self, frame: AudioFrame) -> None:
        """Take a frame; waits where so much sound waits already that there is no room for more.

        Raises:
            ServiceRefusedError: The service does not want us.
            SinkError: It cannot be reached any more, or our own failure.
        """
        if self._failure is None:
            await self._supply.put(frame)
        if self._failure is not None:
            self._told = True
            raise self._failure

    def describe(self) -> dict[str, Any]:
        """State and counters, JSON-ready."""
        outbox, transcript, connection = self._supply.outbox, self._transcript, self._connection
        sent = self._seconds_sent + (0.0 if connection is None else connection.sent)
        return {
            "transcriber": self._service.name,
            "sends": f"{self._audio.encoding}/{self._audio.sample_rate}",
            "connection": self._state,
            "problem": self._problem,
            "reconnects": self._restarts.count,
            "finals": transcript.finals,
            "partials": transcript.partials,
            "finals_repeated": transcript.repeated,
            "messages_bad": self._messages_bad + (0 if connection is None else connection.messages_bad),
            "seconds_sent": round(sent, 3),
            "seconds_replayed": round(outbox.replayed, 3),
            "seconds_lost": round(outbox.lost, 3),
            "seconds_waiting": round(outbox.seconds, 3),
        }

    # --- its life -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep a connection until all is said, or there is no hope; raises nothing but cancellation."""
        try:
            while not await self._connect_once():
                self._supply.outbox.rewind()
                delay = self._restarts.failed(now=self._clock())
                if delay is None:
                    raise ServiceError(f"{self._service.name} cannot be reached: {self._problem}")
                if self._state != "retrying":
                    self._log.warning("transcriber disconnected", problem=self._problem)
                self._state = "retrying"
                await asyncio.sleep(delay)
            self._state = "closed"
        except SinkError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - our own mistake, told to whoever writes
            self._log.exception("transcriber failed")
            self._fail(SinkError(f"{type(error).__name__}: {error}"))

    async def finish(self, running: asyncio.Future[None]) -> None:
        """No frame will come: send what is left, and wait for the last words as long as patience lasts.

        Raises:
            SinkError: It has failed, and `write` did not say so.
        """
        self._supply.end()
        await asyncio.wait((running,), timeout=self._patience.finish)
        if self._failure is not None and not self._told:
            raise self._failure
        if not running.done():
            self._state = "unfinished"
            waiting = round(self._supply.outbox.seconds, 3)
            self._log.warning("transcriber not finished", problem=self._problem, seconds_waiting=waiting)

    def _fail(self, error: SinkError) -> None:
        self._failure = error
        self._problem = str(error)
        self._state = "failed"
        self._supply.end()

    async def _connect_once(self) -> bool:
        """Use one connection as long as it lasts. Returns whether all was said.

        Raises:
            ServiceRefusedError: The service does not want us.
        """
        service, patience = self._service, self._patience
        request = service.request(self._audio)
        try:
            async with asyncio.timeout(patience.connect):
                socket = await connect(
                    request.url,
                    additional_headers=dict(request.headers),
                    compression=None,
                    open_timeout=None,
                    ping_interval=patience.ping,
                    ping_timeout=patience.ping,
                    close_timeout=_CLOSE_TIMEOUT,
                    max_size=_MAX_MESSAGE,
                )
            async with socket:
                self._connection = Connection(
                    service,
                    self._audio,
                    socket,
                    self._supply,
                    self._transcript,
                    send_timeout=patience.send,
                    ahead=patience.ahead,
                    clock=self._clock,
                    on_ready=self._ready,
                )
                try:
                    await self._connection.run(patience.connect)
                except asyncio.CancelledError:
                    socket.transport.abort()  # patience is over, also for a close frame
                    raise
        except InvalidStatus as error:
            status = error.response.status_code
            if status in _REFUSALS:
                raise ServiceRefusedError(f"{service.name} answers {status}: {_REFUSALS[status]}") from None
            self._problem = f"it answers {status}"
        except ConnectionClosed as error:
            code = 1006 if error.rcvd is None else error.rcvd.code
            if (reason := service.refusal(code)) is not None:
                raise ServiceRefusedError(f"{service.name} closes with {code}: {reason}") from None
            self._problem = f"it closed the connection with {code}"
        except TimeoutError:
            self._problem = "it does not answer in time"
        except (ServiceError, OSError) as error:
            self._problem = f"{error}"[:200]
        except WebSocketException as error:
            self._problem = type(error).__name__  # its words may hold an address, and that a password
        else:
            return True
        finally:
            if self._connection is not None:
                self._seconds_sent += self._connection.sent
                self._messages_bad += self._connection.messages_bad
                self._connection = None
        return False

    def _ready(self) -> None:
        if self._restarts.opened(now=self._clock()):
            self._log.info("transcriber connected again", reconnects=self._restarts.count)
        self._state = "connected"


@asynccontextmanager
async def open_streaming(
    service: Service,
    info: StreamInfo,
    *,
    track: FrameTrack = "inbound",
    patience: Patience = PATIENCE,
    log: FilteringBoundLogger,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[StreamingTranscriber]:
    """Open a transcriber for one track of one stream; it connects while the block runs already.

    Args:
        service: What understands.
        info: The stream.
        track: What to listen to.
        patience: How long to wait for the service.
        log: The gateway's, or the stream's.
        clock: Monotonic seconds.

    Raises:
        SinkError: As the block ends: it has failed, and no `write` came after that to say so.
    """
    transcriber = StreamingTranscriber(service, info, track=track, patience=patience, log=log, clock=clock)
    running = asyncio.ensure_future(transcriber.run())
    try:
        yield transcriber
        await transcriber.finish(running)
    finally:
        running.cancel()
        await asyncio.wait((running,), timeout=_CLOSE_TIMEOUT * 2)
