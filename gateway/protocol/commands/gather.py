"""The commands that collect keys."""

from typing import Annotated, ClassVar, TypeAlias

from pydantic import Field

from gateway.protocol.commands.base import Command, Count, Model, Text3000
from gateway.protocol.commands.playback import Speech

__all__ = ["Gather", "GatherStop", "GatherUsingAudio", "GatherUsingSpeak"]

Milliseconds: TypeAlias = Annotated[int, Field(ge=1, le=120_000)]
DigitCount: TypeAlias = Annotated[int, Field(ge=1, le=128)]


class GatherOptions(Model):
    """Which keys are collected, how many, and for how long."""

    minimum_digits: DigitCount = 1
    maximum_digits: DigitCount = 128
    valid_digits: str = Field("0123456789#*", pattern="^[0-9*#]*$")
    terminating_digit: str = Field("#", pattern="^[0-9*#]?$")  # empty is none
    inter_digit_timeout_millis: Milliseconds = 5000
    timeout_millis: Count = 60_000  # in all; after a prompt, from its end


class Prompted(GatherOptions):
    """Asked again where nothing valid came."""

    maximum_tries: DigitCount = 3


class Gather(Command, GatherOptions):
    """Collect keys, without a word."""

    action = "gather"

    gather_id: str | None = Field(None, min_length=1, max_length=40)  # documented to come back in `call.gather.ended`
    initial_timeout_millis: Milliseconds = 5000


class GatherUsingAudio(Command, Prompted):
    """Play a file and collect keys."""

    action = "gather_using_audio"
    exclusive: ClassVar = (("audio_url", "media_name"), ("invalid_audio_url", "invalid_media_name"))

    audio_url: str | None = None
    media_name: str | None = None
    invalid_audio_url: str | None = None  # played when what came is not valid
    invalid_media_name: str | None = None


class GatherUsingSpeak(Command, Prompted, Speech):
    """Speak a text and collect keys."""

    action = "gather_using_speak"

    invalid_payload: Text3000 | None = None  # spoken when what came is not valid


class GatherStop(Command):
    """End collecting; what came is told."""

    action = "gather_stop"
