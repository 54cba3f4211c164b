"""What happens in a call, one item after another: what `async for item in call` gives its agent."""

from datetime import datetime
from typing import TypeAlias

import msgspec

from gateway.media.frame import AudioFrame
from gateway.media.playback import PlaybackFinished

__all__ = ["CallItem", "Dtmf", "MarkReached", "PlaybackFinished", "SpeechEnded", "SpeechStarted"]


class Dtmf(msgspec.Struct, frozen=True):
    """The person on the leg pressed a key.

    Attributes:
        digit: One of `0` to `9`, `A` to `D`, `*` and `#`.
        occurred_at: When, by Telnyx's clock; None where Telnyx did not tell.
    """

    digit: str
    occurred_at: datetime | None = None


class MarkReached(msgspec.Struct, frozen=True):
    """All that was said before this mark was played, or `clear` took it away.

    Attributes:
        name: As it was given to `Call.mark`.
    """

    name: str


class SpeechStarted(msgspec.Struct, frozen=True):
    """The person on the leg began to speak; told where the agent has asked for it by `Call.detect_speech`.

    Attributes:
        position: Where on the track's time line, in samples at the inbound rate: some 60 ms before it is told, as a
            click is no speech.
    """

    position: int


class SpeechEnded(msgspec.Struct, frozen=True):
    """The person on the leg fell silent.

    Attributes:
        position: Behind the last sound of it, in samples as above; it is told when the silence has lasted.
    """

    position: int


CallItem: TypeAlias = AudioFrame | Dtmf | MarkReached | PlaybackFinished | SpeechStarted | SpeechEnded
