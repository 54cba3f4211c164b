"""What happens in a call, one item after another: what `async for item in call` gives its agent."""

from datetime import datetime
from typing import TypeAlias

import msgspec

from gateway.media.frame import AudioFrame
from gateway.media.playback import PlaybackFinished

__all__ = ["CallItem", "Dtmf", "MarkReached", "PlaybackFinished"]


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


CallItem: TypeAlias = AudioFrame | Dtmf | MarkReached | PlaybackFinished
