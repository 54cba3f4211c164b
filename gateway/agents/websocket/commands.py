"""What a user's program wants done, and what is told to it of that."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeAlias, assert_never

import msgspec
import numpy as np
from pydantic import ValidationError

from gateway.agents.websocket import messages
from gateway.agents.websocket.messages import Configure, FromProgram, Problem, Result, ToProgram, read
from gateway.call import Call
from gateway.errors import ControlError, GatewayError, RemoteProtocolError
from gateway.playback import Playback
from gateway.protocol.commands import COMMANDS, parse_command

__all__ = ["Commands"]

_MAX_RUNNING: Final = 32

_AT_ONCE: Final = (
    messages.Configure,
    messages.Audio,
    messages.Mark,
    messages.Clear,
    messages.Pause,
    messages.Resume,
    messages.Cancel,
)
"""What leaves nothing to wait for."""

_Waiting: TypeAlias = Coroutine[Any, Any, Mapping[str, Any]]


class Commands:
    """Does what the messages of one connection ask for; an async context manager, which owns what takes its time.

    What sounds goes on when the connection is lost; what was to be told of it is not told.

    Args:
        call: The call.
        sample_rate: Tells the rate of what the program says.
        configure: Carries a `configure` out. Raises RemoteProtocolError.
        reply: Sends a message to the program.
    """

    def __init__(
        self,
        call: Call,
        *,
        sample_rate: Callable[[], int],
        configure: Callable[[Configure], None],
        reply: Callable[[ToProgram], Awaitable[None]],
    ) -> None:
        self._call = call
        self._sample_rate = sample_rate
        self._configure = configure
        self._reply = reply
        self._playbacks: dict[str | int, Playback] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in self._running:
            task.cancel()
        await self._tasks.__aexit__(None, None, None)
        del self._tasks  # which knows the task around it, which knows by its end what these are

    def say(self, octets: bytes) -> None:
        """Say a piece of sound.

        Raises:
            RemoteProtocolError: It is none.
        """
        if len(octets) % 2:
            raise RemoteProtocolError(f"sound has {len(octets)} octets, want two for each sample")
        try:
            self._call.send_audio(np.frombuffer(octets, "<i2").astype(np.int16, copy=False), self._sample_rate())
        except ValueError as error:
            raise RemoteProtocolError(str(error)) from error

    async def take(self, text: str) -> None:
        """Take one message; what it asks for is done now, or goes on beside others.

        Raises:
            RemoteProtocolError: It is none of ours, or one too many.
        """
        message = read(text)
        if len(self._running) >= _MAX_RUNNING and not isinstance(message, _AT_ONCE):
            raise RemoteProtocolError(f"{_MAX_RUNNING} commands are not done yet")
        try:
            waiting = self._begin(message)
        except RemoteProtocolError:
            raise
        except (GatewayError, ValidationError, ValueError, TypeError) as error:
            await self._tell(message.id, error)
            return
        if waiting is None:
            await self._tell(message.id, {})
        else:
            task = self._tasks.create_task(self._finish(message.id, waiting), name=f"command {type(message).__name__}")
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    def _begin(self, message: FromProgram) -> _Waiting | None:
        """Do it; what is still to be waited for is returned as a coroutine of its result."""
        call = self._call
        match message:
            case messages.Configure():
                self._configure(message)
            case messages.Audio():
                self.say(message.audio)
            case messages.Mark():
                call.mark(message.name)
            case messages.Clear():
                call.clear()
            case messages.Pause():
                call.pause()
            case messages.Resume():
                call.resume()
            case messages.Cancel():
                self._cancel(message.of)
            case messages.Play():
                return self._heard(message.id, call.play(_source(message), name=message.name))
            case messages.Say():
                playback = call.say(message.text, voice=message.voice, language=message.language)
                return self._heard(message.id, playback)
            case messages.SendDtmf():
                playback = call.send_dtmf(message.digits, duration_ms=message.duration_ms, gap_ms=message.gap_ms)
                return self._heard(message.id, playback)
            case messages.Gather():
                return self._gather(message.options)
            case messages.Hangup():
                return self._command("hangup", {})
            case messages.Transfer():
                return self._command("transfer", {"to": message.to, **message.options})
            case messages.Refer():
                return self._command("refer", {"sip_address": message.sip_address, **message.options})
            case messages.Command():
                return self._command(message.action, message.fields)
            case _:
                assert_never(message)
        return None

    def _cancel(self, of: str | int) -> None:
        playback = self._playbacks.get(of)
        if playback is None:
            raise RemoteProtocolError(f"nothing with the id {str(of)[:100]!r} is being said")
        playback.cancel()

    def _heard(self, id_: str | int | None, playback: Playback) -> _Waiting:
        if id_ is not None and not playback.done():
            self._playbacks[id_] = playback  # at once, as `cancel` may be the next message
        return self._until_heard(id_, playback)

    async def _until_heard(self, id_: str | int | None, playback: Playback) -> Mapping[str, Any]:
        try:
            return msgspec.structs.asdict(await playback)
        finally:
            if id_ is not None and self._playbacks.get(id_) is playback:
                del self._playbacks[id_]

    async def _gather(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        prompts = {name: self._prompt(options[name]) for name in ("prompt", "invalid_prompt") if name in options}
        gathered = await self._call.gather(**{**options, **prompts})
        return {"digits": gathered.digits, "status": gathered.status}

    def _prompt(self, prompt: Any) -> str | Callable[[], Playback]:
        match prompt:
            case str():
                return prompt
            case {"say": str(text), **others} if not others:
                return lambda: self._call.say(text)
        raise RemoteProtocolError('a prompt is the path of a file, or {"say": "words"}')

    async def _command(self, action: str, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        if action not in COMMANDS:
            raise RemoteProtocolError(f"there is no command {action[:100]!r}")
        return await self._call.command(parse_command(action, fields))

    async def _finish(self, id_: str | int | None, waiting: _Waiting) -> None:
        try:
            done = await waiting
        except (GatewayError, ValidationError, ValueError, TypeError) as error:
            await self._tell(id_, error)
        else:
            await self._tell(id_, done)

    async def _tell(self, id_: str | int | None, outcome: Mapping[str, Any] | Exception) -> None:
        if not isinstance(outcome, Exception):
            if id_ is not None:
                await self._reply(Result(id=id_, ok=True, result=dict(outcome)))
            return
        problem = Problem(message=str(outcome)[:500], code=outcome.code if isinstance(outcome, ControlError) else "")
        if id_ is not None:
            await self._reply(Result(id=id_, ok=False, error=problem))
        else:
            await self._reply(messages.Failed(error=problem))


def _source(message: messages.Play) -> Path | bytes:
    if message.path is not None and message.audio is None:
        return Path(message.path)
    if message.audio is not None and message.path is None:
        return message.audio
    raise RemoteProtocolError("play wants either path or audio")
