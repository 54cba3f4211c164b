"""What all calls of one pipeline agent share: options, chat endpoint, speech service, transcriber, tools."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias

import aiohttp

from gateway.agents.options import AgentConfig
from gateway.agents.pipeline.chat import CHAT_TIMEOUT, OPENAI_URL, ChatClient
from gateway.agents.pipeline.settings import PipelineOptions
from gateway.agents.tools import Toolbox, call_tools
from gateway.errors import ConfigError, SpeechError
from gateway.sinks.base import AsyncAudioSink, StreamInfo
from gateway.sinks.process import WorkerProcesses
from gateway.speech import open_speech
from gateway.speech.base import SpeechService
from gateway.transcribe.opening import open_transcriber
from gateway.transcribe.segment import OnSegment
from gateway.vad.choose import open_vad

__all__ = ["OpenTranscriber", "Parts", "open_parts"]

OpenTranscriber: TypeAlias = Callable[[StreamInfo, OnSegment], AbstractAsyncContextManager[AsyncAudioSink]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What all calls of this agent share."""

    options: PipelineOptions
    chat: ChatClient
    speech: SpeechService
    open_transcriber: OpenTranscriber
    tools: Toolbox


@asynccontextmanager
async def open_parts(config: AgentConfig) -> AsyncIterator[Parts]:
    """Open them.

    Raises:
        ConfigError: An option is wrong, or what it names is not there.
    """
    options = config.read(PipelineOptions)
    open_vad(options.vad, 8000)
    key = config.key("OPENAI_API_KEY")
    if key is None and options.base_url == OPENAI_URL:
        raise ConfigError("OPENAI_API_KEY is not set")
    speech_url = options.speech or config.speech
    if speech_url is None:
        raise ConfigError("GATEWAY_AGENT_OPTIONS: speech: name a speech service there, or by GATEWAY_SPEECH")
    transcriber_url = options.transcriber or config.transcriber
    if transcriber_url is None:
        raise ConfigError("GATEWAY_AGENT_OPTIONS: transcriber: name one there, or by GATEWAY_TRANSCRIBER")
    async with AsyncExitStack() as stack:
        try:
            tools = Toolbox(call_tools(options.tools, transfer_to=options.transfer_to))
            speech = await stack.enter_async_context(open_speech(speech_url, environment=config.environment))
        except (SpeechError, ValueError) as error:
            raise ConfigError(f"GATEWAY_AGENT_OPTIONS: {error}") from error
        processes = await stack.enter_async_context(WorkerProcesses())
        chat = ChatClient(
            await stack.enter_async_context(aiohttp.ClientSession(timeout=CHAT_TIMEOUT)),
            base_url=options.base_url,
            key=key,
            model=options.model,
            fields=options.request,
            first_timeout=options.chat_timeout,
            next_timeout=options.stall_timeout,
        )

        def transcriber(info: StreamInfo, on_segment: OnSegment) -> AbstractAsyncContextManager[AsyncAudioSink]:
            return open_transcriber(transcriber_url, info, on_segment=on_segment, processes=processes, log=config.log)

        yield Parts(options=options, chat=chat, speech=speech, open_transcriber=transcriber, tools=tools)
