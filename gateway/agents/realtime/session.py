"""One session with a model: what is sent, what comes, and what follows from it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final, assert_never

from websockets.asyncio.client import ClientConnection

from gateway.agents.realtime import events
from gateway.agents.realtime.conversation import Conversation
from gateway.agents.realtime.events import append, encode, function_output, message_item, truncate
from gateway.agents.realtime.sound import Sound
from gateway.agents.realtime.voice import Voice
from gateway.agents.tools import Toolbox
from gateway.call import Call
from gateway.errors import AgentError, RemoteProtocolError
from gateway.items import CallItem, Dtmf
from gateway.media.frame import AudioFrame
from gateway.protocol.budget import ErrorBudget

__all__ = ["Session", "SessionLostError"]

_UPDATE_TIMEOUT: Final = 10.0  # until the session is as it was asked for
_WRITE_TIMEOUT: Final = 10.0
_MAX_CALLS: Final = 16  # of functions, in one response
_RESPONSE_TRIES: Final = 3
_LONGEST_PAUSE: Final = 20.0

_HOPELESS: Final = frozenset(
    {"invalid_api_key", "insufficient_quota", "model_not_found", "invalid_model", "account_deactivated"}
)
"""Codes of errors that another attempt would meet again."""


class SessionLostError(Exception):
    """The session is over, and another may go on with the conversation."""


class Session:
    """Serves one connection.

    Args:
        call: The call.
        connection: To the model.
        sound: Converts it.
        voice: Says what the model says.
        toolbox: What the model may do.
        conversation: Keeps what was said.
    """

    def __init__(
        self,
        call: Call,
        connection: ClientConnection,
        sound: Sound,
        voice: Voice,
        toolbox: Toolbox,
        conversation: Conversation,
    ) -> None:
        self._call = call
        self._connection = connection
        self._sound = sound
        self._voice = voice
        self._toolbox = toolbox
        self._conversation = conversation
        self._tasks = asyncio.TaskGroup()
        self._over = asyncio.Event()  # the model has given the call away
        self._updated = asyncio.Event()
        self._working = 0  # functions that are being called
        self._responding = False
        self._wants_response = False
        self._failures = 0  # responses in a row
        self._cut: dict[str, float] = {}  # of the item that was cut off last, how much was heard
        self._limits: dict[str, events.RateLimit] = {}
        self._errors = ErrorBudget()

    async def run(self, items: AsyncIterator[CallItem], beginning: Sequence[str]) -> None:
        """Talk until the call is over.

        Args:
            items: What happens in the call.
            beginning: What is sent first.

        Raises:
            ConnectionClosed: The connection is lost.
            TimeoutError: The service does not read, or does not take the session.
            SessionLostError: The session has expired.
            AgentError: It makes no sense to go on.
        """
        for text in beginning:
            await self._send(text)
        try:
            async with self._tasks as tasks:
                working = [
                    tasks.create_task(self._send_items(items), name="realtime send"),
                    tasks.create_task(self._receive(), name="realtime receive"),
                    tasks.create_task(self._watch_update(), name="realtime update"),
                    tasks.create_task(self._over.wait(), name="realtime over"),
                ]
                await asyncio.wait((working[0], working[3]), return_when=asyncio.FIRST_COMPLETED)
                for task in working:
                    task.cancel()
        except ExceptionGroup as group:
            raise _worst(group) from group

    # --- to the model ---------------------------------------------------------------------------------------------

    async def _send(self, text: str) -> None:
        async with asyncio.timeout(_WRITE_TIMEOUT):
            await self._connection.send(text)

    async def _send_items(self, items: AsyncIterator[CallItem]) -> None:
        async for item in items:
            if isinstance(item, AudioFrame):
                payload = self._sound.heard(item)
                self._conversation.sent(payload)
                await self._send(append(payload))
            elif isinstance(item, Dtmf):
                await self._send(message_item("user", f"[pressed the key {item.digit}]"))

    async def _watch_update(self) -> None:
        async with asyncio.timeout(_UPDATE_TIMEOUT):
            await self._updated.wait()

    async def _respond(self) -> None:
        """Ask for a response, or do so as soon as the present one is over and all functions have answered."""
        if self._responding or self._working:
            self._wants_response = True
        else:
            self._wants_response = False
            self._responding = True
            await self._send(encode(type="response.create"))

    # --- from the model -------------------------------------------------------------------------------------------

    async def _receive(self) -> None:
        async for message in self._connection:
            try:
                event = events.read(message)
            except RemoteProtocolError as error:
                self._spend(f"an event that cannot be read: {error}")
                continue
            if event is not None:
                await self._handle(event)
        raise SessionLostError(f"closed with {self._connection.close_code}")

    async def _handle(self, event: events.Event) -> None:
        match event:
            case events.AudioDelta():
                samples = self._sound.said(event.delta)
                self._voice.say(event.response_id, event.item_id, event.content_index, samples)
            case events.AudioDone():
                self._voice.end(event.item_id)
            case events.TranscriptDone():
                self._said(event)
            case events.SpeechStarted():
                await self._interrupt()
            case events.SpeechStopped():
                self._conversation.utterance_ended(event.audio_end_ms)
            case events.CallerTranscribed():
                self._conversation.note("user", event.transcript)
                self._conversation.answered()
                self._call.publish("agent.heard", {"text": event.transcript})
            case events.ResponseCreated():
                self._responding = True
                self._voice.response_id = event.response.id
            case events.ResponseDone():
                await self._response_done(event.response)
            case events.RateLimits():
                self._limits = {limit.name: limit for limit in event.rate_limits[:20] if limit.name is not None}
            case events.SessionUpdated():
                self._updated.set()
            case events.Failure():
                self._failed(event.error)
            case _:
                assert_never(event)

    def _said(self, event: events.TranscriptDone) -> None:
        self._voice.note_text(event.item_id, event.transcript)
        share = self._cut.get(event.item_id, 1.0)
        self._conversation.note("assistant", event.transcript, share=share)
        self._call.publish("agent.answered", {"text": event.transcript, "interrupted": share < 1})

    async def _interrupt(self) -> None:
        """The caller speaks: fall silent, and tell the model what was heard."""
        for item, heard_ms in self._voice.interrupt():
            self._call.publish("agent.interrupted", {"heard_ms": heard_ms, "of_ms": item.milliseconds})
            share = heard_ms / max(1, item.milliseconds)
            self._cut = {item.item_id: share}
            self._conversation.cut(item.text, share)
            await self._send(truncate(item.item_id, item.content_index, heard_ms))

    async def _response_done(self, response: events.Response) -> None:
        self._responding = False
        if self._voice.response_id == response.id:
            self._voice.response_id = ""
        if response.status == "failed":
            error = None if response.status_details is None else response.status_details.error
            self._response_failed(error or events.Detail())
            return
        self._failures = 0
        self._conversation.answered()
        if response.status == "completed":  # the functions of a response that was cut off are not called
            for output in response.output[:_MAX_CALLS]:
                if output.type == "function_call" and output.name is not None and output.call_id is not None:
                    self._working += 1
                    self._tasks.create_task(self._use(output.name, output.call_id, output.arguments or ""))
        if self._wants_response:
            await self._respond()

    async def _use(self, name: str, call_id: str, arguments: str) -> None:
        """Call a function for the model."""
        try:
            output, ends = await self._toolbox.run(self._call, name, arguments)
        finally:
            self._working -= 1
        if ends:
            self._over.set()
            return
        await self._send(function_output(call_id, output))
        await self._respond()

    # --- what goes wrong ------------------------------------------------------------------------------------------

    def _failed(self, error: events.Detail) -> None:
        code = error.code or error.type or "unknown"
        if code in _HOPELESS:
            raise AgentError(f"the model's service refuses: {code}: {(error.message or '')[:200]}")
        if code == "session_expired":
            raise SessionLostError(code)
        if code == "conversation_already_has_active_response":
            self._wants_response = True
            return
        self._spend(f"{code} {error.param or ''}".strip())

    def _spend(self, problem: str) -> None:
        self._call.log.warning("error of the model's service", problem=problem[:200])
        if self._errors.spend(now=asyncio.get_running_loop().time()):
            raise AgentError(f"too many errors of the model's service: {problem[:200]}")

    def _response_failed(self, error: events.Detail) -> None:
        code = error.code or error.type or "unknown"
        self._failures += 1
        self._call.log.warning("response of the model failed", code=code[:100], times=self._failures)
        self._call.publish("agent.response_failed", {"code": code[:100]})
        if code in _HOPELESS or self._failures >= _RESPONSE_TRIES:
            raise AgentError(f"the model does not answer: {code}: {(error.message or '')[:200]}")
        self._tasks.create_task(self._try_again(), name="realtime try again")

    async def _try_again(self) -> None:
        """Ask once more, when the limits allow it."""
        exhausted = [limit.reset_seconds or 0.0 for limit in self._limits.values() if limit.remaining == 0]
        await asyncio.sleep(min(max(exhausted, default=0.5 * self._failures), _LONGEST_PAUSE))
        await self._respond()


def _worst(group: ExceptionGroup[Exception]) -> Exception:
    """Of what failed together, what explains the rest."""
    for kind in (AgentError, SessionLostError, Exception):
        found: BaseException | None = group.subgroup(kind)
        while isinstance(found, ExceptionGroup):
            found = found.exceptions[0]
        if isinstance(found, Exception):
            return found
    return group
