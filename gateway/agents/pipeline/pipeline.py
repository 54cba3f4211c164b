"""The agent: detector, transcriber, chat endpoint and speech service put together.

    frames -> SpeechDetector -> TurnTaking -> pause, resume, clear      in the frame's own way, no task in between
    frames -> transcriber    -> Hearing                                 behind its own buffer
    end of turn: Hearing -> ChatClient -> SentenceSplitter -> Voice -> call.play      one task for each answer

What falls out of a turn falls into the next: a caller who goes on while the answer is still being made has it dropped
unheard, and is answered with both parts in view.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Final

from gateway.agents.base import Agent, AgentFactory
from gateway.agents.options import AgentConfig
from gateway.agents.pipeline.chat import ToolCall
from gateway.agents.pipeline.conversation import Conversation, Said
from gateway.agents.pipeline.hearing import Hearing
from gateway.agents.pipeline.parts import Parts, open_parts
from gateway.agents.pipeline.sentences import SentenceSplitter, speakable
from gateway.agents.pipeline.speaking import Voice
from gateway.agents.pipeline.turns import Action, TurnTaking
from gateway.agents.pipeline.watched import Watched
from gateway.call import Call
from gateway.errors import AgentError, ChatError, PlaybackError, SinkError, SpeechError
from gateway.items import SpeechEnded, SpeechStarted
from gateway.transcribe.segment import Segment
from gateway.vad.choose import open_vad
from gateway.vad.detector import SpeechDetector

__all__ = ["Pipeline"]

_BREATH: Final = 0.25
"""Seconds without speech that the detector takes for the end of a stretch; the rest of `end_of_turn` comes on top."""
_ROUNDS: Final = 6
"""Times that the model may call tools before it has to answer."""
_CLOSE_TIMEOUT: Final = 4.0
"""Seconds for the transcriber's last words: less than an agent has after its call."""


class Pipeline(Agent):
    """Answers one call.

    Args:
        parts: What it is made of.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._options = options = parts.options
        self._turns = TurnTaking(
            end_of_turn=options.end_of_turn - _BREATH,
            interrupt_after=options.interrupt_after + _BREATH,  # the end of what is shorter is told by then
            longest=options.longest_turn,
        )
        self._hearing = Hearing()
        self._conversation = Conversation(options.instructions)
        self._failures = 0
        self._answering: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._call: Call
        self._voice: Voice
        self._loop: asyncio.AbstractEventLoop
        self._tasks: asyncio.TaskGroup
        self._over: asyncio.Future[None]

    @classmethod
    @asynccontextmanager
    async def configure(cls, config: AgentConfig) -> AsyncIterator[AgentFactory]:
        """Open what all calls share.

        Raises:
            ConfigError: An option is wrong, or what it names is not there.
        """
        async with open_parts(config) as parts:
            yield lambda: cls(parts)

    async def run(self, call: Call) -> None:
        """Talk until the call ends, a tool has ended it for the agent, or too many answers have failed.

        Raises:
            AgentError: The latter.
        """
        self._call = call
        self._loop = asyncio.get_running_loop()
        self._voice = Voice(call, self._parts.speech, timeout=self._options.stall_timeout)
        self._over = self._loop.create_future()
        rate = call.info.inbound_sample_rate
        vad = open_vad(self._options.vad, rate)
        call.listen(SpeechDetector(vad, self._speech, inbound_sample_rate=rate, silence=_BREATH), "speech")
        async with AsyncExitStack() as stack:
            await self._converse(stack)
            with suppress(SinkError, TimeoutError):  # its own record says what it has missed
                async with asyncio.timeout(_CLOSE_TIMEOUT):
                    await stack.aclose()
        if self._over.done():
            self._over.result()

    async def _converse(self, stack: AsyncExitStack) -> None:
        """Let it happen, until it is over; the transcriber is open as long as the stack."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                if self._options.greeting is not None:
                    self._begin(self._greet)
                await self._open_transcriber(stack)
                ended = self._tasks.create_task(self._call.wait_ended(), name="call's end")
                await asyncio.wait((ended, self._over), return_when=asyncio.FIRST_COMPLETED)
                if self._over.done() and self._over.exception() is None:  # a tool has ended the call, or is about to
                    await asyncio.wait((ended,), timeout=_CLOSE_TIMEOUT)
                ended.cancel()
                self._stop()
        finally:
            self._stop()

    async def _open_transcriber(self, stack: AsyncExitStack) -> None:
        opening = self._parts.open_transcriber(self._call.info, self._segment)
        try:
            transcriber = await stack.enter_async_context(opening)
        except (SinkError, ValueError) as error:
            self._deaf(error)
        else:
            self._call.listen(Watched(transcriber, self._deaf), "transcriber")

    def _deaf(self, error: Exception) -> None:
        if self._call.end_reason is None:
            self._end(AgentError(f"the transcriber failed: {error}"))

    # --- in the frame's own way -----------------------------------------------------------------------------------

    def _speech(self, item: SpeechStarted | SpeechEnded) -> None:
        now = self._loop.time()
        if isinstance(item, SpeechStarted):
            self._do(self._turns.speech_started(now=now))
        else:
            self._hearing.speech_ended(item.position / self._call.info.inbound_sample_rate)
            self._do(self._turns.speech_ended(now=now))

    def _segment(self, segment: Segment) -> None:
        if self._hearing.heard(segment) and not self._hearing.taking:
            self._do(self._turns.words_heard(now=self._loop.time()))

    def _time_passed(self) -> None:
        self._timer = None
        self._do(self._turns.handle_deadline(now=self._loop.time()))

    def _do(self, action: Action | None) -> None:
        """Do what the turn wants, and look at the clock again when it wants that."""
        if self._call.end_reason is not None or self._over.done():
            return
        match action:
            case Action.PAUSE:
                with suppress(PlaybackError):  # the stream takes whole files only: they play on until it is sure
                    self._call.pause()
            case Action.RESUME:
                self._call.resume()
            case Action.INTERRUPT:
                self._call.clear()
                if self._answering is not None:
                    self._answering.cancel()  # before it can say another word
            case Action.END_OF_TURN:
                self._begin(self._answer_turn)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if (deadline := self._turns.deadline()) is not None:
            self._timer = self._loop.call_at(deadline, self._time_passed)

    def _stop(self) -> None:
        """Begin nothing more, and end what was begun."""
        self._end()
        for running in (self._timer, self._answering):
            if running is not None:
                running.cancel()

    # --- one answer -----------------------------------------------------------------------------------------------

    def _begin(self, say: Callable[[], Awaitable[None]]) -> None:
        self._turns.agent_began()
        self._answering = self._tasks.create_task(self._speak(say, self._answering), name="answer")

    async def _speak(self, say: Callable[[], Awaitable[None]], before: asyncio.Task[None] | None) -> None:
        """Say something to its end; whatever fails is told, and costs this answer."""
        if before is not None:
            await asyncio.wait((before,))
        self._voice.forget()
        try:
            await say()
            self._failures = 0
        except (ChatError, SpeechError, PlaybackError) as error:
            await self._failed(error)
        except Exception as error:
            self._call.log.exception("answer failed")
            await self._failed(error)
        self._do(self._turns.agent_finished(now=self._loop.time()))

    async def _greet(self) -> None:
        assert self._options.greeting is not None
        await self._say(self._conversation.agent_says(), self._options.greeting)
        await self._voice.finish()

    async def _answer_turn(self) -> None:
        text = await self._hearing.take(self._options.transcript_timeout)
        if not text:
            return  # a noise, and no words
        self._conversation.user_said(text)
        rounds: list[Said] = []
        interrupted = True
        try:
            await self._answer(rounds)
            interrupted = False
        finally:
            heard = " ".join(words for said in rounds if (words := said.heard()))
            self._call.publish("agent.answered", {"text": heard, "interrupted": interrupted})

    async def _answer(self, rounds: list[Said]) -> None:
        for _ in range(_ROUNDS):
            rounds.append(said := self._conversation.agent_says())
            calls = await self._think_and_say(said)
            for call in calls:
                result, ends = await self._parts.tools.run(self._call, call.name, call.arguments)
                said.calls.append((call, result))
                if ends:
                    self._end()
                    return
            if not calls:
                break
        await self._voice.finish()

    async def _think_and_say(self, said: Said) -> Sequence[ToolCall]:
        """Ask the model, and say its sentences as they come. Returns the tools that it calls."""
        splitter, calls = SentenceSplitter(), []
        messages = self._conversation.messages()
        answer = self._parts.chat.answer(messages, self._parts.tools.for_chat())
        try:
            async for piece in answer:
                if isinstance(piece, ToolCall):
                    calls.append(piece)
                    continue
                for sentence in splitter.push(piece):
                    await self._say(said, sentence)
        finally:
            await answer.aclose()
        for sentence in splitter.flush():
            await self._say(said, sentence)
        return calls

    async def _say(self, said: Said, sentence: str) -> None:
        if words := speakable(sentence):
            said.sentences.append(await self._voice.say(words))

    async def _failed(self, error: Exception) -> None:
        """Record a failure, apologise, and give up where it is of no more use."""
        self._failures += 1
        text = f"{type(error).__name__}: {error}"[:500]
        hopeless = isinstance(error, ChatError) and error.status in (401, 403)
        if hopeless or self._failures >= self._options.failures:
            self._end(AgentError(text))
            return
        self._call.log.warning("answer failed", error=text)
        self._call.publish("agent.failed", self._failure(text))
        if self._options.apology is None:
            return
        try:
            await self._say(self._conversation.agent_says(), self._options.apology)
            await self._voice.finish()
        except (SpeechError, PlaybackError) as second:
            self._call.log.warning("apology failed", error=str(second)[:500])

    def _end(self, error: AgentError | None = None) -> None:
        """The agent's work is done, or can be done no more."""
        if self._over.done():
            return
        if error is None:
            self._over.set_result(None)
        else:
            self._over.set_exception(error)

    def _failure(self, text: str) -> Mapping[str, Any]:
        return {"error": text, "during_call": self._call.end_reason is None, "goes_on": True}
