"""The commands of Telnyx's own transcription, and what can be set of each engine."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag, ValidationInfo, field_validator

from gateway.protocol.commands.base import Command, Model
from gateway.protocol.commands.languages import (
    AzureLanguage,
    GoogleLanguage,
    Nova2Language,
    Nova3Language,
    SpeechmaticsLanguage,
    WhisperLanguage,
    XaiLanguage,
)

__all__ = [
    "AssemblyAiEngine",
    "AzureEngine",
    "CohereEngine",
    "DeepgramNova2Engine",
    "DeepgramNova3Engine",
    "EngineConfig",
    "GoogleEngine",
    "HumainEngine",
    "ParakeetEngine",
    "Reson8Engine",
    "SonioxEngine",
    "SpeechContext",
    "SpeechmaticsEngine",
    "TelnyxEngine",
    "TranscriptionStart",
    "TranscriptionStop",
    "XaiEngine",
]

Hints: TypeAlias = Annotated[list[str], Field(max_length=100)]
UtteranceEnd: TypeAlias = Annotated[int, Field(ge=0, le=5000)]  # milliseconds of silence


class SpeechContext(Model):
    """Phrases that are likely to be said."""

    phrases: list[str] | None = None
    boost: float | None = None


class GoogleEngine(Model):
    """Google; `A` is its legacy name."""

    transcription_engine: Literal["Google", "A"] = "Google"
    language: GoogleLanguage = "en"
    interim_results: bool = False
    enable_speaker_diarization: bool = False
    min_speaker_count: int = 2
    max_speaker_count: int = 6
    profanity_filter: bool = False
    use_enhanced: bool = False
    model: (
        Literal[
            "latest_long",
            "latest_short",
            "command_and_search",
            "phone_call",
            "video",
            "default",
            "medical_conversation",
            "medical_dictation",
        ]
        | None
    ) = None
    hints: list[str] = Field(default=[])
    speech_context: list[SpeechContext] | None = None


class TelnyxEngine(Model):
    """Telnyx's own engine; `B` is its legacy name."""

    transcription_engine: Literal["Telnyx", "B"] = "Telnyx"
    transcription_model: Literal["openai/whisper-tiny", "openai/whisper-large-v3-turbo"] = "openai/whisper-tiny"
    language: WhisperLanguage = "en"


class DeepgramNova2Engine(Model):
    """Deepgram's older model. Of the engine's two names, one is in Telnyx's description, one in its Python package."""

    transcription_engine: Literal["Deepgram", "deepgram/nova-2"]
    transcription_model: Literal["deepgram/nova-2"]
    language: Nova2Language = "en"
    interim_results: bool = False
    smart_format: bool = True
    hints: Hints = Field(default=[])
    keywords_boosting: dict[str, float] | None = None
    utterance_end_ms: UtteranceEnd = 1000


class DeepgramNova3Engine(Model):
    """Deepgram's newer model."""

    transcription_engine: Literal["Deepgram", "deepgram/nova-3"]
    transcription_model: Literal["deepgram/nova-3"]
    language: Nova3Language = "en"
    interim_results: bool = False
    smart_format: bool = True
    keyterms: Hints = Field(default=[])
    keywords_boosting: dict[str, float] | None = None
    utterance_end_ms: UtteranceEnd = 1000


class AzureEngine(Model):
    """Azure, in one of its regions."""

    transcription_engine: Literal["Azure"]
    region: Literal["australiaeast", "centralindia", "eastus", "northcentralus", "westeurope", "westus2"]
    language: AzureLanguage = "en"
    api_key_ref: str | None = None


class XaiEngine(Model):
    """The engine of xAI."""

    transcription_engine: Literal["xAI"] = "xAI"
    transcription_model: Literal["xai/grok-stt"] = "xai/grok-stt"
    language: XaiLanguage = "en"
    interim_results: bool = False


class AssemblyAiEngine(Model):
    """AssemblyAI; both names are of one model."""

    transcription_engine: Literal["AssemblyAI"] = "AssemblyAI"
    transcription_model: Literal["assemblyai/universal-3-5-pro", "assemblyai/universal-streaming"] = (
        "assemblyai/universal-streaming"
    )
    interim_results: bool = False


class SpeechmaticsEngine(Model):
    """Speechmatics."""

    transcription_engine: Literal["Speechmatics"] = "Speechmatics"
    transcription_model: Literal["speechmatics/standard", "speechmatics/linden-1"] = "speechmatics/standard"
    language: SpeechmaticsLanguage = "en"
    interim_results: bool = False


class SonioxEngine(Model):
    """Soniox."""

    transcription_engine: Literal["Soniox"]
    transcription_model: Literal["soniox/stt-rt-v4"] = "soniox/stt-rt-v4"
    language: str = "auto"
    interim_results: bool = False
    enable_endpoint_detection: bool = False
    max_endpoint_delay_ms: int | None = Field(None, ge=500, le=3000)


class ParakeetEngine(Model):
    """Parakeet."""

    transcription_engine: Literal["Parakeet"] = "Parakeet"
    transcription_model: Literal["nvidia/parakeet-v3", "omi-health/omi-med-stt-v1"] = "nvidia/parakeet-v3"
    interim_results: bool = False


class HumainEngine(Model):
    """Humain, for Arabic and English."""

    transcription_engine: Literal["Humain"] = "Humain"
    transcription_model: Literal["humain/realtime"] = "humain/realtime"
    language: Literal["ar", "en", "codeswitch", "auto"] | None = None


class Reson8Engine(Model):
    """Reson8."""

    transcription_engine: Literal["Reson8"] = "Reson8"
    transcription_model: Literal["reson8/turns"] = "reson8/turns"
    language: Literal["auto", "nl", "en", "fr", "fy", "de", "it", "pl", "pt", "es", "sv"] | None = None


class CohereEngine(Model):
    """Cohere, for Arabic and English."""

    transcription_engine: Literal["Cohere"] = "Cohere"
    transcription_model: Literal["cohere/ar-stt"] = "cohere/ar-stt"
    language: Literal["ar", "en"] | None = None


class _ConfigOf(dict[str, Any]):
    """A config that need not name its engine, as the command does."""

    engine: object = "Google"


def _tag(config: object) -> str:
    if isinstance(config, dict):
        engine = config.get("transcription_engine", getattr(config, "engine", None))
        model = config.get("transcription_model")
    else:
        engine, model = getattr(config, "transcription_engine", None), getattr(config, "transcription_model", None)
    match engine:
        case "A":
            return "<Google>"
        case "B":
            return "<Telnyx>"
        case "Deepgram" | "deepgram/nova-2" | "deepgram/nova-3":
            return f"<{model}>"
        case _:
            return f"<{engine}>"


EngineConfig: TypeAlias = Annotated[
    Annotated[GoogleEngine, Tag("<Google>")]
    | Annotated[TelnyxEngine, Tag("<Telnyx>")]
    | Annotated[DeepgramNova2Engine, Tag("<deepgram/nova-2>")]
    | Annotated[DeepgramNova3Engine, Tag("<deepgram/nova-3>")]
    | Annotated[AzureEngine, Tag("<Azure>")]
    | Annotated[XaiEngine, Tag("<xAI>")]
    | Annotated[AssemblyAiEngine, Tag("<AssemblyAI>")]
    | Annotated[SpeechmaticsEngine, Tag("<Speechmatics>")]
    | Annotated[SonioxEngine, Tag("<Soniox>")]
    | Annotated[ParakeetEngine, Tag("<Parakeet>")]
    | Annotated[HumainEngine, Tag("<Humain>")]
    | Annotated[Reson8Engine, Tag("<Reson8>")]
    | Annotated[CohereEngine, Tag("<Cohere>")],
    Discriminator(
        _tag,
        custom_error_type="unknown_value",
        custom_error_message="transcription_engine, or the transcription_model of Deepgram, is none of Telnyx's",
    ),
]
"""What can be set of an engine; which one it is stands in it, or in the command."""


class TranscriptionStart(Command):
    """Transcribe a call; every sentence comes as a webhook. Also a part of `dial` and `answer`."""

    action = "transcription_start"

    transcription_engine: Literal[
        "Google",
        "Telnyx",
        "Deepgram",
        "Azure",
        "xAI",
        "AssemblyAI",
        "Speechmatics",
        "Soniox",
        "Parakeet",
        "Humain",
        "Reson8",
        "Cohere",
        "A",
        "B",
    ] = "Google"
    transcription_engine_config: EngineConfig | None = None
    transcription_tracks: Literal["inbound", "outbound", "both"] = "inbound"

    @field_validator("transcription_engine_config", mode="before")
    @classmethod
    def _of_the_engine(cls, config: object, info: ValidationInfo) -> object:
        if isinstance(config, dict):
            config = _ConfigOf(config)
            config.engine = info.data.get("transcription_engine")
        return config


class TranscriptionStop(Command):
    """End the transcription."""

    action = "transcription_stop"
