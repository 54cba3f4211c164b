"""One connection to a streaming service: two tasks, one that sends and one that receives."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

import msgspec
from websockets.asyncio.client import ClientConnection

from gateway.transcribe.audio import AudioFormat
from gateway.transcribe.outbox import SessionClock
from gateway.transcribe.pace import Pace
from gateway.transcribe.service import (
    Acknowledged,
    Finished,
    Heard,
    Ready,
    Service,
    ServiceError,
    ServiceEvent,
    ServiceRefusedError,
)
from gateway.transcribe.supply import Supply
from gateway.transcribe.transcript import Transcript

__all__ = ["Connection"]

_MAX_BAD: Final = 20  # messages


class Connection:
    """Runs once.

    Args:
        service: Whose protocol it is.
        audio: What is sent.
        socket: Open.
        supply: Has the sound.
        transcript: Takes what is heard.
        send_timeout: Seconds that the service has to take a message.
        ahead: Seconds of sound that may be sent at once, where there is much of it.
        clock: Monotonic seconds.
        on_ready: Called as the service takes sound.

    Attributes:
        messages_bad: Messages that were none of the protocol.
    """

    def __init__(
        self,
        service: Service,
        audio: AudioFormat,
        socket: ClientConnection,
        supply: Supply,
        transcript: Transcript,
        *,
        send_timeout: float,
        ahead: float,
        clock: Callable[[], float],
        on_ready: Callable[[], None],
    ) -> None:
        self.messages_bad = 0
        self._service = service
        self._session = service.session(audio)
        self._socket = socket
        self._supply = supply
        self._transcript = transcript
        self._send_timeout = send_timeout
        self._ahead = ahead
        self._clock = clock
        self._on_ready = on_ready
        self._ready = asyncio.Event()
        self._finishing = False
        self._finished = False
        self._times = SessionClock(audio)
        self._said_before = supply.outbox.acknowledged  # what is sent on this connection begins there

    @property
    def sent(self) -> float:
        """Seconds of sound that were sent."""
        return self._times.sent

    async def run(self, ready_timeout: float) -> None:
        """Send and receive until all is said.

        Args:
            ready_timeout: Seconds that the service has to take sound.

        Raises:
            ServiceRefusedError: The service does not want us.
            ServiceError, ConnectionClosed, TimeoutError, OSError: The connection is of no more use.
        """
        tasks = [
            asyncio.ensure_future(self._receive()),
            asyncio.ensure_future(self._send(ready_timeout)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        errors = [error for error in results if isinstance(error, Exception)]
        for error in sorted(errors, key=lambda error: not isinstance(error, ServiceRefusedError)):
            raise error

    async def _receive(self) -> None:
        async for message in self._socket:
            self._took(message)
            if self._finished:
                return
        if not self._finishing:
            code = self._socket.close_code or 1006
            reason = self._service.refusal(code)
            if reason is not None:
                raise ServiceRefusedError(f"{self._service.name} closes with {code}: {reason}")
            raise ServiceError(f"it closed the connection with {code}")
        self._follow(self._session.closed())

    def _took(self, message: str | bytes) -> None:
        try:
            self._follow(self._session.receive(message))
        except msgspec.MsgspecError as error:
            self.messages_bad += 1
            if self.messages_bad >= _MAX_BAD:
                raise ServiceError(f"{_MAX_BAD} messages are none of its protocol") from error

    def _follow(self, events: Iterable[ServiceEvent]) -> None:
        for event in events:
            match event:
                case Heard():
                    self._transcript.heard(event, self._times, said_before=self._said_before)
                case Acknowledged():
                    self._supply.acknowledge(self._times.media(event.until, end=True))
                case Ready():
                    self._ready.set()
                case Finished():
                    self._finished = True

    async def _send(self, ready_timeout: float) -> None:
        for message in self._session.begin():
            await self._send_message(message)
        if self._service.waits:
            async with asyncio.timeout(ready_timeout):
                await self._ready.wait()
        self._on_ready()
        supply, times = self._supply, self._times
        pace = Pace(self._service.pace, ahead=self._ahead, now=self._clock())
        alive_at = self._clock()
        while True:
            chunk = supply.take()
            if chunk is not None:
                if (delay := pace.wait(times.sent, now=self._clock())) > 0:
                    await asyncio.sleep(delay)
                times.add(chunk)
                await self._send_message(self._session.audio(chunk.payload, times.sent))
            elif supply.ended:
                break
            else:
                await supply.wait()
                if self._clock() - alive_at < self._service.keep_alive or supply.outbox.unsent:
                    continue
                if (sign_of_life := self._session.keep_alive()) is not None:
                    await self._send_message(sign_of_life)
            alive_at = self._clock()
        self._finishing = True
        for message in self._session.finish():
            await self._send_message(message)

    async def _send_message(self, message: str | bytes) -> None:
        async with asyncio.timeout(self._send_timeout):
            await self._socket.send(message)
