"""The commands by which Telnyx itself plays and speaks into a call."""

from typing import Annotated, ClassVar, Literal, Self, TypeAlias

from pydantic import Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from gateway.protocol.commands.base import Base64, Command, Model, by_json_type, wrong
from gateway.protocol.commands.languages import SpeakLanguage
from gateway.protocol.commands.voice import VoiceSettings

__all__ = ["PlaybackStart", "PlaybackStop", "Speak", "Speech"]

Loop: TypeAlias = Annotated[
    Annotated[int, Field(ge=1, le=100), Tag("<number>")]
    | Annotated[str, Field(pattern="^(?:infinity|[1-9][0-9]?|100)$"), Tag("<text>")],
    by_json_type("1 to 100, or infinity"),
]
TargetLegs: TypeAlias = Literal["self", "opposite", "both"]
Stop: TypeAlias = Literal["current", "all"]


class PlaybackStart(Command):
    """Play a file, behind what plays already."""

    action = "playback_start"
    exclusive: ClassVar = (("audio_url", "media_name", "playback_content"),)

    audio_url: str | None = None
    media_name: str | None = None
    playback_content: Base64 | None = Field(None, repr=False)
    audio_type: Literal["mp3", "wav"] = "mp3"
    cache_audio: bool = True
    loop: Loop = 1
    overlay: bool = False  # on top of what plays already
    stop: Stop | None = None  # what to stop first
    target_legs: TargetLegs = "self"

    @model_validator(mode="after")
    def _overlay_is_for_one_leg(self) -> Self:
        if self.overlay and self.target_legs != "self":
            reason = PydanticCustomError("literal_error", "Input should be 'self' with overlay")
            raise wrong(self, "target_legs", reason)
        return self


class PlaybackStop(Command):
    """Stop what plays or speaks. `overlay` for `stop` is only in the text of error 90016."""

    action = "playback_stop"

    overlay: bool = False  # what plays on top
    stop: Literal[Stop, "overlay"] = "all"


class Speech(Model):
    """A text and the voice for it."""

    payload: str = Field(max_length=3000)  # an older page says 5000
    payload_type: Literal["text", "ssml"] = "text"
    voice: str = Field(min_length=1)  # Provider.Model.VoiceId; male or female for the basic service level
    voice_settings: VoiceSettings | None = None
    language: SpeakLanguage | None = None
    service_level: Literal["basic", "premium"] = "premium"

    @model_validator(mode="after")
    def _basic_is_english_text(self) -> Self:
        allowed = {"language": (None, "en-US"), "payload_type": ("text",)} if self.service_level == "basic" else {}
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                reason = PydanticCustomError(
                    "literal_error", "Input should be '{only}' with basic", {"only": values[-1]}
                )
                raise wrong(self, name, reason)
        return self


class Speak(Command, Speech):
    """Speak a text, behind what plays already."""

    action = "speak"

    loop: Loop = 1
    stop: Stop | None = None  # what to stop first
    target_legs: TargetLegs = "self"
