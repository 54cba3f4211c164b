"""The commands of Conversation Relay: Telnyx hears and speaks, an application's WebSocket gets and sends text."""

from typing import Any, ClassVar, Literal, TypeAlias

from pydantic import Field

from gateway.protocol.commands.base import Command, Model, OpenModel
from gateway.protocol.commands.voice import VoiceSettings

__all__ = [
    "ConversationRelayConfig",
    "ConversationRelayStart",
    "ConversationRelayStop",
    "RelayAssistant",
    "RelayInterruptionSettings",
    "RelayLanguage",
    "RelaySettings",
    "RelayTranscriptionConfig",
]

Interruptible: TypeAlias = Literal["none", "any", "speech", "dtmf"]
RelayEngine: TypeAlias = Literal[
    "Google", "Telnyx", "Deepgram", "Azure", "xAI", "AssemblyAI", "Speechmatics", "Soniox", "A", "B"
]
RELAY_URL = "^wss?://"


class RelayTranscriptionConfig(OpenModel):
    """The engine's settings without its name; beside these, those that `transcription_start` has for it."""

    interim_results: bool | None = None
    eot_threshold: float | None = None
    eager_eot_threshold: float | None = None


class RelayInterruptionSettings(Model):
    """By what the caller interrupts; `enable` is the older form, `any` or `none`."""

    enable: bool | None = None
    interruptible: Interruptible | None = None
    interruptible_greeting: Interruptible | None = None
    welcome_greeting_interruptible: Interruptible | None = None


class RelayLanguage(Model):
    """How one language is heard and spoken."""

    language: str
    speech_model: str | None = None
    transcription_engine: RelayEngine | None = None
    transcription_engine_config: RelayTranscriptionConfig | None = None
    transcription_provider: str | None = None
    tts_provider: str | None = None
    voice: str | None = None
    voice_settings: VoiceSettings | None = None


class RelayAssistant(OpenModel):
    """What the relay's application is told."""

    dynamic_variables: dict[str, str] | None = None


class RelaySettings(Model):
    """The connection; what the command says itself goes before it."""

    url: str = Field(pattern=RELAY_URL, repr=False)
    dtmf_detection: bool | None = None
    interruptible: Interruptible | None = None
    interruptible_greeting: Interruptible | None = None
    languages: list[RelayLanguage] | None = None


class RelayOptions(Model):
    """What a relay can be told both by its own command and as a part of `dial` and `answer`."""

    needs: ClassVar = (("provider", "structured_provider"), ("structured_provider", "provider"))

    url: str | None = Field(None, pattern=RELAY_URL, repr=False)
    custom_parameters: dict[str, Any] | None = None
    dtmf_detection: bool = False
    greeting: str | None = None
    interruptible: Interruptible = "any"
    interruptible_greeting: Interruptible = "any"
    interruption_settings: RelayInterruptionSettings | None = None
    language: str = "en"
    languages: list[RelayLanguage] | None = None
    provider: str | None = None
    structured_provider: dict[str, Any] | None = None
    transcription_engine: RelayEngine = "Google"
    transcription_engine_config: RelayTranscriptionConfig | None = None
    tts_provider: str | None = None
    voice: str = "Telnyx.KokoroTTS.af"
    voice_settings: VoiceSettings | None = None


class ConversationRelayConfig(RelayOptions):
    """A relay that begins when the call is answered."""

    url: str = Field(pattern=RELAY_URL, repr=False)


class ConversationRelayStart(Command, RelayOptions):
    """Begin a relay. Fields with two names: the shorter goes before the longer."""

    action = "conversation_relay_start"

    assistant: RelayAssistant | None = None
    conversation_relay_url: str | None = Field(None, pattern=RELAY_URL, repr=False)
    conversation_relay_dtmf_detection: bool = False
    conversation_relay_settings: RelaySettings | None = None
    transcription: dict[str, Any] | None = None  # in the schema, and documented not to work


class ConversationRelayStop(Command):
    """End the relay; the call goes on."""

    action = "conversation_relay_stop"
