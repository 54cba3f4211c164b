"""The voices that speak in a call, and what can be set of each provider's."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, Tag

from gateway.protocol.commands.base import Model, OpenModel, by_key
from gateway.protocol.commands.languages import LanguageBoost

__all__ = [
    "AssistantVoice",
    "AssistantVoiceSettings",
    "AwsVoice",
    "AzureVoice",
    "BackgroundAudio",
    "ElevenLabsVoice",
    "InworldVoice",
    "MinimaxVoice",
    "ResembleVoice",
    "RimeVoice",
    "SonioxVoice",
    "TelnyxVoice",
    "VoiceSettings",
    "XaiVoice",
]


class ElevenLabsVoice(Model):
    """ElevenLabs; the key is the name of a secret that Telnyx keeps."""

    type: Literal["elevenlabs"]
    api_key_ref: str | None = None


class TelnyxVoice(Model):
    """Telnyx's own voices."""

    type: Literal["telnyx"]
    voice_speed: float = 1.0


class AwsVoice(Model):
    """Amazon Polly, of which nothing can be set."""

    type: Literal["aws"]


class MinimaxVoice(Model):
    """Minimax."""

    type: Literal["minimax"]
    language_boost: LanguageBoost | None = None
    pitch: int = 0
    speed: float = 1.0
    vol: float = 1.0


class AzureVoice(Model):
    """Azure, also with a voice of one's own."""

    type: Literal["azure"]
    api_key_ref: str | None = None
    deployment_id: str | None = None
    effect: Literal["eq_car", "eq_telecomhp8k"] | None = None
    gender: Literal["Male", "Female"] | None = None
    region: str | None = None


class RimeVoice(OpenModel):
    """Rime, which Telnyx's Python package has left out since; its fields are not at hand."""

    type: Literal["rime"]


class ResembleVoice(Model):
    """Resemble."""

    type: Literal["resemble"]
    format: Literal["wav", "mp3"] | None = None
    precision: Literal["PCM_16", "PCM_24", "PCM_32", "MULAW"] | None = None
    sample_rate: Literal["8000", "16000", "22050", "32000", "44100", "48000"] | None = None  # Hz, a text


class InworldVoice(Model):
    """Inworld."""

    type: Literal["inworld"]
    delivery_mode: Literal["STABLE", "BALANCED", "CREATIVE"] | None = None


class XaiVoice(Model):
    """The voices of xAI."""

    type: Literal["xai"]
    language: str | None = None


class SonioxVoice(Model):
    """Soniox."""

    type: Literal["soniox"]
    reduce_silence: bool | None = None
    speed: float | None = Field(None, ge=0.7, le=1.3)


VoiceSettings: TypeAlias = Annotated[
    Annotated[ElevenLabsVoice, Tag("<elevenlabs>")]
    | Annotated[TelnyxVoice, Tag("<telnyx>")]
    | Annotated[AwsVoice, Tag("<aws>")]
    | Annotated[MinimaxVoice, Tag("<minimax>")]
    | Annotated[AzureVoice, Tag("<azure>")]
    | Annotated[RimeVoice, Tag("<rime>")]
    | Annotated[ResembleVoice, Tag("<resemble>")]
    | Annotated[InworldVoice, Tag("<inworld>")]
    | Annotated[XaiVoice, Tag("<xai>")]
    | Annotated[SonioxVoice, Tag("<soniox>")],
    by_key("type", "elevenlabs", "telnyx", "aws", "minimax", "azure", "rime", "resemble", "inworld", "xai", "soniox"),
]
"""What can be set of a voice, by its provider."""

AssistantVoiceSettings: TypeAlias = Annotated[
    Annotated[ElevenLabsVoice, Tag("<elevenlabs>")]
    | Annotated[TelnyxVoice, Tag("<telnyx>")]
    | Annotated[AwsVoice, Tag("<aws>")]
    | Annotated[AzureVoice, Tag("<azure>")]
    | Annotated[RimeVoice, Tag("<rime>")]
    | Annotated[ResembleVoice, Tag("<resemble>")]
    | Annotated[XaiVoice, Tag("<xai>")]
    | Annotated[SonioxVoice, Tag("<soniox>")],
    by_key("type", "elevenlabs", "telnyx", "aws", "azure", "rime", "resemble", "xai", "soniox"),
]
"""The same for the voice of an AI assistant, which has fewer providers."""


class BackgroundMedia(Model):
    """One of Telnyx's own noises; `silence` is none."""

    type: Literal["predefined_media"]
    value: Literal["silence", "office"]
    volume: float | None = Field(None, ge=0.1, le=1)


class BackgroundUrl(Model):
    """An MP3 file that is played over and over."""

    type: Literal["media_url"]
    value: str


class BackgroundName(Model):
    """A file of Telnyx's media storage that is played over and over."""

    type: Literal["media_name"]
    value: str


BackgroundAudio: TypeAlias = Annotated[
    Annotated[BackgroundMedia, Tag("<predefined_media>")]
    | Annotated[BackgroundUrl, Tag("<media_url>")]
    | Annotated[BackgroundName, Tag("<media_name>")],
    by_key("type", "predefined_media", "media_url", "media_name"),
]


class AssistantVoice(Model):
    """A voice and its settings in one, for one call of a stored assistant."""

    voice: str
    api_key_ref: str | None = None
    background_audio: BackgroundAudio | None = None
    expressive_mode: bool | None = None
    language_boost: LanguageBoost | None = None
    similarity_boost: float | None = None
    speed: float | None = None
    style: float | None = None
    temperature: float | None = None
    use_speaker_boost: bool | None = None
    voice_speed: float | None = Field(None, ge=0.6, le=1.5)
