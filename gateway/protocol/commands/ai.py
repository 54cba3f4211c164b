"""The commands of Telnyx's AI assistants."""

from typing import Any, Literal

from pydantic import Field

from gateway.protocol.commands.assistant import (
    AssistantRequest,
    AssistantTool,
    InterruptionSettings,
    Message,
    Participant,
    TranscriptionConfig,
)
from gateway.protocol.commands.base import Command, Model, Text3000
from gateway.protocol.commands.languages import GoogleLanguage
from gateway.protocol.commands.voice import AssistantVoiceSettings

__all__ = [
    "AiAssistantAddMessages",
    "AiAssistantJoin",
    "AiAssistantStart",
    "AiAssistantStop",
    "GatherAssistant",
    "GatherMessage",
    "GatherUsingAi",
]


class Conversation(Model):
    """How a conversation begins, and how it sounds."""

    greeting: Text3000 | None = None
    interruption_settings: InterruptionSettings | None = None
    transcription: TranscriptionConfig | None = None
    voice: str = "Telnyx.KokoroTTS.af"
    voice_settings: AssistantVoiceSettings | None = None


class AiAssistantStart(Command, Conversation):
    """Let an assistant talk with the caller. In newer descriptions the voice is a part of `assistant`."""

    action = "ai_assistant_start"

    assistant: AssistantRequest | None = None
    message_history: list[Message] = Field(default=[], repr=False)
    participants: list[Participant] = Field(default=[])
    send_message_history_updates: bool = False


class AiAssistantStop(Command):
    """End the conversation; the call goes on."""

    action = "ai_assistant_stop"


class AiAssistantAddMessages(Command):
    """Tell a running assistant something."""

    action = "ai_assistant_add_messages"

    messages: list[Message] | None = Field(None, repr=False)
    trigger_response: bool | None = None  # at once, rather than at the next turn


class AiAssistantJoin(Command):
    """Join a conversation that runs in another call."""

    action = "ai_assistant_join"

    conversation_id: str = Field(min_length=1)
    participant: Participant


class GatherAssistant(Model):
    """The assistant that gathers."""

    instructions: str | None = None
    model: str | None = None
    openai_api_key_ref: str | None = None
    tools: list[AssistantTool] | None = None


class GatherMessage(Model):
    """What was said before."""

    role: Literal["assistant", "user"] | None = None
    content: str | None = None


class GatherUsingAi(Command, Conversation):
    """Let an assistant ask for values; `parameters` is a JSON Schema of them."""

    action = "gather_using_ai"

    parameters: dict[str, Any]
    assistant: GatherAssistant | None = None
    gather_ended_speech: Text3000 | None = None
    language: GoogleLanguage | None = None
    message_history: list[GatherMessage] | None = Field(None, repr=False)
    send_message_history_updates: bool | None = None
    send_partial_results: bool | None = None
    user_response_timeout_ms: int = 10_000
