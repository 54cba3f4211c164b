"""Hands a call to a program of the user's: the gateway connects to it, and both sides send as they like.

The program is as far away as any other computer: slow, gone, or sending nonsense. What is for it waits in the agent's
mailbox, of which the oldest sound gives way, and what comes from it is read no faster than it is done. While there is
no connection, the call goes on.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final, Literal

import msgspec
from pydantic import Field
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from gateway.agents.base import Agent, AgentFactory, CallSetup
from gateway.agents.connection import Connector, check_url
from gateway.agents.options import AgentConfig, AgentOptions
from gateway.agents.websocket import messages
from gateway.agents.websocket.commands import Commands
from gateway.agents.websocket.messages import SoundFormat, Start, Stop, ToProgram, encode
from gateway.call import Call
from gateway.errors import AgentError, ConfigError, RemoteProtocolError
from gateway.items import CallItem, Dtmf, MarkReached, PlaybackFinished, SpeechEnded, SpeechStarted
from gateway.media.frame import AudioFrame
from gateway.media.resample import Resampler
from gateway.protocol.budget import ErrorBudget

__all__ = ["WebSocketAgent", "WebSocketOptions"]

_WRITE_TIMEOUT: Final = 10.0  # seconds that a program may not read while something waits for it
_PREPARE_TIMEOUT: Final = 10.0
_DONE: Final = 1000  # close code of a program that has nothing more to do with the call


class WebSocketOptions(AgentOptions):
    """What `websocket` may be told.

    Attributes:
        url: Of the program, `ws://` or `wss://`.
        token: Shown to the program as bearer token; WEBSOCKET_AGENT_TOKEN if unset.
        sample_rate: Of the sound, in Hz; that of the call if unset. The program may choose another.
        audio: How sound is carried, `binary` or `base64`. The program may choose another.
        reconnect_seconds: How long the gateway tries to reach a program that is gone.
    """

    url: str
    token: str | None = None
    sample_rate: int | None = Field(None, ge=4000, le=192_000)
    audio: Literal["binary", "base64"] = "binary"
    reconnect_seconds: float = Field(10.0, ge=0, le=600)


class WebSocketAgent(Agent):
    """One call in the hands of one program.

    Args:
        options: Where the program is, and how sound is carried.
        token: Shown to the program.
        config: The log's source.
    """

    def __init__(self, options: WebSocketOptions, token: str | None, config: AgentConfig) -> None:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._options = options
        self._connector = Connector(options.url, headers, patience=options.reconnect_seconds, log=config.log)
        self._setup: CallSetup | None = None
        self._warm: ClientConnection | None = None

    @classmethod
    def configure(cls, config: AgentConfig) -> AgentFactory:
        """Read the options; what comes back makes an agent for each call.

        Raises:
            ConfigError: An option is missing or wrong.
        """
        options = config.read(WebSocketOptions)
        check_url(options.url)
        token = options.token or config.key("WEBSOCKET_AGENT_TOKEN")
        if token is not None and not (token.isascii() and token.isprintable()):
            raise ConfigError("GATEWAY_AGENT_OPTIONS: token: want printable ASCII")
        return lambda: cls(options, token, config)

    async def prepare(self, setup: CallSetup) -> None:
        """Connect, so that the program is there when the sound comes."""
        self._setup = setup
        with suppress(TimeoutError):  # then it is tried again with the sound
            async with asyncio.timeout(_PREPARE_TIMEOUT):
                self._warm = await self._connector.open()

    async def run(self, call: Call) -> None:
        """Carry everything to and fro until the call ends, or the program has done its work."""
        relay = _Relay(call, self._options)
        connection, self._warm = self._warm, None
        while True:
            if connection is None:
                connection = await self._connector.open()
            try:
                async with connection:
                    start = self._start(call, relay.format, self._connector.opened - 1)
                    if await relay.run(connection, start):
                        return
                reason = f"closed with {connection.close_code}"
            except (ConnectionClosed, TimeoutError) as error:
                if connection.close_code == _DONE:
                    return
                reason = "it does not read" if isinstance(error, TimeoutError) else str(error)
            connection = None
            self._connector.lost(reason)
            call.publish("agent.reconnecting", {"reason": reason[:200]})

    async def close(self) -> None:
        """Let go of a connection that no call came for."""
        if self._warm is not None:
            await self._warm.close()

    def _start(self, call: Call, media: SoundFormat, reconnects: int) -> Start:
        setup, info = self._setup, call.info
        known: dict[str, Any] = {} if setup is None else msgspec.structs.asdict(setup)
        known |= {
            "call_control_id": call.call_control_id,
            "call_session_id": info.call_session_id,
            "stream_id": call.stream_id,
            "client_state": info.client_state,
            "custom_parameters": dict(info.custom_parameters),
            "encoding": info.inbound_encoding,
            "sample_rate": info.inbound_sample_rate,
        }
        return Start(call=known, media=media, reconnects=reconnects)


class _Relay:
    """The sound and messages of one call, over one connection after another.

    Attributes:
        format: How sound is carried.
    """

    def __init__(self, call: Call, options: WebSocketOptions) -> None:
        self.format = SoundFormat(sample_rate=options.sample_rate or call.info.inbound_sample_rate, audio=options.audio)
        self._call = call
        self._items: AsyncIterator[CallItem] = aiter(call)
        self._unsent: CallItem | None = None  # on its way when the connection was lost
        self._resampler: Resampler | None = None
        self._errors = ErrorBudget()
        self._detects_speech = False

    async def run(self, connection: ClientConnection, start: Start) -> bool:
        """Serve one connection.

        Returns:
            That nothing is left to do: the call has ended, or the program has closed with 1000.

        Raises:
            ConnectionClosed: The connection is lost.
            TimeoutError: The program does not read.
            AgentError: It sends nonsense.
        """
        await _send(connection, encode(start))
        receiving = asyncio.ensure_future(self._receive(connection))
        sending = asyncio.ensure_future(self._send_items(connection))
        try:
            await asyncio.wait((receiving, sending), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (receiving, sending):
                task.cancel()
            await asyncio.wait((receiving, sending))
        failures = [task.exception() for task in (sending, receiving) if not task.cancelled()]
        for failure in failures:  # what the program sent wrong explains why the connection is closed
            if isinstance(failure, AgentError):
                raise failure
        if not sending.cancelled() and sending.exception() is None:
            return True
        for failure in failures:
            if failure is not None:
                raise failure
        return connection.close_code == _DONE

    # --- to the program -------------------------------------------------------------------------------------------

    async def _send_items(self, connection: ClientConnection) -> None:
        if self._unsent is not None:
            await self._send_item(connection, self._unsent)
        async for item in self._items:
            self._unsent = item
            await self._send_item(connection, item)
            self._unsent = None
        reason = self._call.end_reason
        await _send(connection, encode(Stop(reason="stop" if reason is None else reason.value)))

    async def _send_item(self, connection: ClientConnection, item: CallItem) -> None:
        rate = self._call.info.inbound_sample_rate
        match item:
            case AudioFrame():
                await _send(connection, self._sound(item))
                return
            case Dtmf():
                message: ToProgram = messages.Dtmf(digit=item.digit)
            case MarkReached():
                message = messages.MarkReached(name=item.name)
            case PlaybackFinished():
                message = messages.PlaybackEnded(**msgspec.structs.asdict(item))
            case SpeechStarted():
                message = messages.SpeechStarted(timestamp_ms=item.position * 1000 // rate)
            case SpeechEnded():
                message = messages.SpeechEnded(timestamp_ms=item.position * 1000 // rate)
        await _send(connection, encode(message))

    def _sound(self, frame: AudioFrame) -> bytes | str:
        samples = frame.samples
        if frame.sample_rate != self.format.sample_rate:
            if self._resampler is None or self._resampler.from_rate != frame.sample_rate:
                self._resampler = Resampler(frame.sample_rate, self.format.sample_rate)
            samples = self._resampler.push(samples)
        octets = samples.astype("<i2", copy=False).tobytes()
        if self.format.audio == "binary":
            return octets
        return encode(messages.Heard(audio=octets, timestamp_ms=frame.timestamp * 1000 // frame.sample_rate))

    # --- from the program -----------------------------------------------------------------------------------------

    async def _receive(self, connection: ClientConnection) -> None:
        async def reply(message: ToProgram) -> None:
            with suppress(ConnectionClosed, TimeoutError):  # whoever gave the command is gone
                await _send(connection, encode(message))

        async with Commands(
            self._call, sample_rate=lambda: self.format.sample_rate, configure=self._configure, reply=reply
        ) as commands:
            async for message in connection:
                try:
                    if isinstance(message, bytes):
                        commands.say(message)
                    else:
                        await commands.take(message)
                except RemoteProtocolError as error:
                    await self._complain(connection, error, message)

    async def _complain(self, connection: ClientConnection, error: RemoteProtocolError, message: str | bytes) -> None:
        problem = messages.Problem(message=str(error))
        id_ = messages.read_id(message) if isinstance(message, str) else None
        if id_ is None:
            await _send(connection, encode(messages.Failed(error=problem)))
        else:
            await _send(connection, encode(messages.Result(id=id_, ok=False, error=problem)))
        self._call.log.warning("the agent's program sent a wrong message", error=str(error))
        if self._errors.spend(now=asyncio.get_running_loop().time()):
            await connection.close(1008, "too many wrong messages")
            raise AgentError(f"the program sends wrong messages: {error}")

    def _configure(self, message: messages.Configure) -> None:
        rate = message.sample_rate or self.format.sample_rate
        try:
            resampler = Resampler(self._call.info.inbound_sample_rate, rate)
        except ValueError as error:
            raise RemoteProtocolError(f"sample_rate: {error}") from error
        if rate != self.format.sample_rate:
            self._resampler = resampler
        self.format = SoundFormat(sample_rate=rate, audio=message.audio or self.format.audio)
        if message.detect_speech and not self._detects_speech:
            self._detects_speech = True
            self._call.detect_speech()


async def _send(connection: ClientConnection, message: str | bytes) -> None:
    async with asyncio.timeout(_WRITE_TIMEOUT):
        await connection.send(message)
