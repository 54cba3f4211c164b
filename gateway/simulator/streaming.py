"""One media socket: Telnyx's end of it, with a clock.

One loop of 20 ms on absolute deadlines sends what the caller says and plays what the application sent; beside it the
application's messages are read as they come. What is no good is answered with an `error` message and the socket stays
open: whether Telnyx keeps it open is not documented.

A stream starts when its socket is open. An application that does not read for five seconds has lost its stream.
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from audio_codecs import CodecError, open_codec
from gateway.errors import RemoteProtocolError
from gateway.protocol.commands import Answer, StreamingStart
from gateway.protocol.messages import AUTH_FIELD, Clear, Mark, Play, StartBody, UnknownEvent
from gateway.protocol.stream import CarrierStream
from gateway.simulator.caller import Caller
from gateway.simulator.journal import Journal
from gateway.simulator.playout import TICK, Playout, PlayoutError
from gateway.simulator.refusal import Refusal

__all__ = ["SAMPLE_RATE", "StreamPlan", "Streaming", "plan_stream"]

SAMPLE_RATE: Final = 8000
"""The one rate of the simulator's legs, in Hz."""

_LEG_ENCODING: Final = "PCMU"
_OPEN_TIMEOUT: Final = 10.0
_SEND_TIMEOUT: Final = 5.0
_CLOSE_TIMEOUT: Final = 2.0
_MAX_MESSAGE_BYTES: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """What a command asks of its stream.

    Attributes:
        encoding: Of what the application is sent.
        heard_encoding: Of what it sends; None in mode `mp3`, where nothing is heard.
    """

    url: str
    track: str
    encoding: str
    heard_encoding: str | None
    token: str | None = None
    custom_parameters: dict[str, str] | None = None


def plan_stream(command: Answer | StreamingStart) -> StreamPlan | None:
    """Read the stream's fields.

    Returns:
        None where `answer` asks for no stream.

    Raises:
        Refusal: 422, where something is asked for that the simulator cannot play.
    """
    if command.stream_url is None:
        if isinstance(command, Answer):
            return None
        raise Refusal(422, "10004", "stream_url is required here: there is no Dialogflow.", pointer="/stream_url")
    if command.stream_track != "inbound_track":
        raise _cannot("stream_track", command.stream_track, "inbound_track")
    encoding = _LEG_ENCODING if command.stream_codec == "default" else command.stream_codec
    heard = command.stream_bidirectional_codec if command.stream_bidirectional_mode == "rtp" else None
    for field, name in (("stream_codec", encoding), ("stream_bidirectional_codec", heard or _LEG_ENCODING)):
        try:
            open_codec(name, SAMPLE_RATE)
        except CodecError as error:
            raise _cannot(field, name, "PCMU, PCMA and L16") from error
    if isinstance(command, Answer):  # takes no more of the stream's fields, and what it does not know it ignores
        return StreamPlan(command.stream_url, command.stream_track, encoding, heard)
    if command.stream_bidirectional_sampling_rate != SAMPLE_RATE:
        rate = command.stream_bidirectional_sampling_rate
        raise _cannot("stream_bidirectional_sampling_rate", str(rate), str(SAMPLE_RATE))
    token = command.stream_auth_token
    if token is not None and not (token.isascii() and token.isprintable()):
        detail = "stream_auth_token must be printable ASCII: it travels in a header."
        raise Refusal(422, "10027", detail, pointer="/stream_auth_token")
    pairs = {pair.name: pair.value for pair in command.custom_parameters or ()}
    return StreamPlan(command.stream_url, command.stream_track, encoding, heard, token, pairs or None)


def _cannot(field: str, value: str, allowed: str) -> Refusal:
    return Refusal(422, "10032", f"the simulator cannot do {value!r}; it has {allowed}", pointer=f"/{field}")


class Streaming:
    """One stream of one call.

    Args:
        plan: What was asked for.
        stream_id: A UUID, upper case.
        start: What the `start` message will say.
        caller: Who speaks.
        journal: Where everything is kept.
        emit: Sends a webhook: event type, and the fields beside the usual ones.
        hang_up: Called when the caller has nothing more to say.
    """

    def __init__(
        self,
        plan: StreamPlan,
        stream_id: str,
        start: StartBody,
        *,
        caller: Caller,
        journal: Journal,
        emit: Callable[[str, dict[str, Any]], None],
        hang_up: Callable[[], None],
    ) -> None:
        self._plan = plan
        self._stream = CarrierStream(stream_id, start, token=plan.token)
        self._caller = caller
        self._journal = journal
        self._emit = emit
        self._hang_up = hang_up
        self._stopping = False
        self._lost = False

    def stop(self) -> None:
        """Let the stream end: it says `stop` and closes the socket within 20 ms."""
        self._stopping = True

    async def run(self) -> None:
        """Open the socket and talk, until `stop` or until the application closes it."""
        headers = None if self._plan.token is None else {AUTH_FIELD: self._plan.token}
        try:
            socket = await connect(
                self._plan.url,
                additional_headers=headers,
                compression=None,
                max_size=_MAX_MESSAGE_BYTES,
                open_timeout=_OPEN_TIMEOUT,
                close_timeout=_CLOSE_TIMEOUT,
                ping_interval=None,  # Telnyx documents none
                proxy=None,
            )
        except (OSError, WebSocketException, TimeoutError, ValueError) as error:
            self._journal.note_error(100002, f"the socket cannot be opened: {type(error).__name__}: {error}")
            self._emit("streaming.failed", self._failure())
            return
        self._emit("streaming.started", {"stream_url": self._plan.url})
        try:
            await self._talk(socket)
        finally:
            self._emit("streaming.stopped", {"stream_url": self._plan.url})

    def _failure(self) -> dict[str, Any]:
        return {
            "failure_reason": "connection_failed",
            "stream_id": self._stream.stream_id,
            "stream_params": {"stream_url": self._plan.url, "track": self._plan.track},
            "stream_type": "websocket",
        }

    async def _talk(self, socket: ClientConnection) -> None:
        async with socket, asyncio.TaskGroup() as tasks:
            await self._send(socket, "connected", self._stream.send_connected())
            await self._send(socket, "start", self._stream.send_start())
            start = asyncio.get_running_loop().time()
            playout = self._open_playout(start)
            tasks.create_task(self._listen(socket, playout), name="media listen")
            await self._speak(socket, playout, start)
            if not self._lost:
                await self._send(socket, "stop", self._stream.send_stop())
            await socket.close()

    def _open_playout(self, start: float) -> Playout:
        journal = self._journal
        if journal.origin is None:
            journal.origin = start
        codec = None if self._plan.heard_encoding is None else open_codec(self._plan.heard_encoding, SAMPLE_RATE)
        position = max(math.ceil((start - journal.origin) * SAMPLE_RATE), journal.heard.end)
        return Playout(codec, journal.heard, start=start, position=position)

    async def _speak(self, socket: ClientConnection, playout: Playout, start: float) -> None:
        """Send a frame and play a tick at each deadline; ends when the stream is to stop or is lost."""
        loop = asyncio.get_running_loop()
        codec = open_codec(self._plan.encoding, SAMPLE_RATE)
        tick = 0
        while not (self._stopping or self._lost):
            if self._caller.finished:
                self._hang_up()
                return
            payload = codec.encode(self._caller.speak())
            self._journal.said.add(codec.decode(payload))
            message = self._stream.send_media("inbound", payload, timestamp=round(1000 * tick * TICK))
            self._journal.media_sent.add(loop.time(), len(payload))
            await self._send(socket, "media", message)
            await self._return_marks(socket, playout.advance(start + tick * TICK))
            tick += 1
            await asyncio.sleep(max(0.0, start + tick * TICK - loop.time()))

    async def _listen(self, socket: ClientConnection, playout: Playout) -> None:
        loop = asyncio.get_running_loop()
        try:
            async for text in socket:
                try:
                    reached = self._receive(text, playout, now=loop.time())
                except PlayoutError as error:
                    await self._complain(socket, error.code, str(error))
                except RemoteProtocolError as error:
                    self._journal.messages_received["malformed"] += 1
                    # Telnyx has a code of its own for base64 that is none.
                    code = 100004 if "$.media.payload" in str(error) else 100003
                    await self._complain(socket, code, str(error))
                else:
                    await self._return_marks(socket, reached)
        except ConnectionClosed as error:
            self._journal.note_error(100002, f"the socket fell: {error}")
        self._lost = True

    def _receive(self, text: str | bytes, playout: Playout, *, now: float) -> list[str]:
        """Take one message; returns the marks that were reached until now."""
        if isinstance(text, bytes):
            raise RemoteProtocolError("a binary message; media-stream messages are texts")
        received = self._journal.messages_received
        match self._stream.receive_message(text):
            case Play(media=body):
                received["media"] += 1
                self._journal.media_received.add(now, len(body.payload))
                return playout.push_audio(body.payload, now=now)
            case Mark(mark=mark):
                received["mark"] += 1
                return playout.push_mark(mark.name, now=now)
            case Clear():
                received["clear"] += 1
                return playout.clear(now=now)
            case UnknownEvent(event=event):
                received["unknown"] += 1
                raise PlayoutError(100003, f"there is no event {event[:40]!r}")

    async def _return_marks(self, socket: ClientConnection, names: list[str]) -> None:
        for name in names:
            self._journal.note_mark(name)
            await self._send(socket, "mark", self._stream.send_mark(name))

    async def _complain(self, socket: ClientConnection, code: int, detail: str) -> None:
        self._journal.note_error(code, detail)
        await self._send(socket, "error", self._stream.send_error(code, detail))

    async def _send(self, socket: ClientConnection, event: str, text: bytes) -> None:
        try:
            async with asyncio.timeout(_SEND_TIMEOUT):
                await socket.send(text, text=True)
        except (ConnectionClosed, TimeoutError):
            self._lost = True
        else:
            self._journal.messages_sent[event] += 1
