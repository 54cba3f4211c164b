"""Keys in both directions: those that were pressed, in their true order, and those to be sent.

Telnyx says of its `dtmf` messages that they may overtake each other and that `occurred_at` tells the true order. So a
key waits for a moment before it is told, as long as a gap in the sound would (`GATEWAY_REORDER_MS`): a key that was
pressed before it and comes within that time is told first. No key waits longer than that, whatever comes behind it, and
one that does not say when it was pressed does not wait at all. A tone takes 40 ms at least and so does the pause
behind it, so this holds where one message was up to 140 ms slower than the next.
"""

from bisect import insort
from datetime import UTC, datetime
from typing import Final

import numpy as np

from audio_codecs import Samples
from gateway.errors import PlaybackError, RemoteProtocolError
from gateway.items import Dtmf
from gateway.media.tones import DIGITS, make_tones
from gateway.protocol import messages

__all__ = ["KeyBuffer", "ToneReader"]

_MAX_WAITING: Final = 32
_MAX_DIGITS: Final = 200
_DURATIONS_MS: Final = range(50, 501)
_NOTHING: Final[Samples] = np.zeros(0, np.int16)


class KeyBuffer:
    """Puts the keys of one call in order. Times are seconds on one monotonic clock.

    Args:
        window: Seconds that a key waits.

    Attributes:
        keys: How many were pressed.
        keys_late: How many of them came too late to be told in their place; they were told all the same.
    """

    def __init__(self, window: float) -> None:
        self.keys = 0
        self.keys_late = 0
        self._window = window
        self._waiting: list[tuple[datetime, int, float, Dtmf]] = []  # when it was pressed, number, until when it waits
        self._last: datetime | None = None

    def push(self, message: messages.Dtmf, *, now: float) -> list[Dtmf]:
        """Take a key.

        Returns:
            The keys to be told now.

        Raises:
            RemoteProtocolError: There is no such key.
        """
        digit = message.dtmf.digit.upper()
        if len(digit) != 1 or digit not in DIGITS:
            raise RemoteProtocolError(f"dtmf.digit has {len(digit)} characters or is no key, want one of {DIGITS}")
        self.keys += 1
        occurred_at = _parse(message.occurred_at)
        key = Dtmf(digit, occurred_at)
        if occurred_at is None:
            return [*self.flush(), key]
        if self._last is not None and occurred_at < self._last:
            self.keys_late += 1
            return [key]
        insort(self._waiting, (occurred_at, self.keys, now + self._window, key))
        return self._tell(1) if len(self._waiting) > _MAX_WAITING else []

    def deadline(self) -> float | None:
        """When to call `pop`; None while no key waits."""
        return min((until for _, _, until, _ in self._waiting), default=None)

    def pop(self, *, now: float) -> list[Dtmf]:
        """Tell the keys that have waited long enough, and those that were pressed before them."""
        due = [number for number, (_, _, until, _) in enumerate(self._waiting, 1) if until <= now]
        return self._tell(due[-1]) if due else []

    def flush(self) -> list[Dtmf]:
        """Tell all that wait."""
        return self._tell(len(self._waiting))

    def _tell(self, count: int) -> list[Dtmf]:
        told = self._waiting[:count]
        del self._waiting[:count]
        if told:
            self._last = told[-1][0]
        return [key for _, _, _, key in told]


def _parse(occurred_at: str | None) -> datetime | None:
    try:
        parsed = datetime.fromisoformat(occurred_at) if occurred_at else None
    except ValueError:
        return None
    return parsed.replace(tzinfo=UTC) if parsed is not None and parsed.tzinfo is None else parsed


class ToneReader:
    """The tones of some keys, as a source to be played, one key at a time.

    Args:
        digits: `0` to `9`, `A` to `D`, `*`, `#`; `w` waits half a second, `W` a second; up to 200.
        sample_rate: In Hz.
        duration_ms: Of each tone, 50 to 500.
        gap_ms: Of the silence behind each tone, 50 to 500.

    Raises:
        PlaybackError: There is no such key, or a time is out of range.
    """

    def __init__(self, digits: str, sample_rate: int, *, duration_ms: int, gap_ms: int) -> None:
        if not 0 < len(digits) <= _MAX_DIGITS:
            raise PlaybackError(f"{len(digits)} keys, want 1 to {_MAX_DIGITS}")
        if not set(digits) <= {*DIGITS, "w", "W"}:
            raise PlaybackError("keys are 0 to 9, A to D, *, #, and w and W to wait")
        for what, value in (("duration_ms", duration_ms), ("gap_ms", gap_ms)):
            if value not in _DURATIONS_MS:
                raise PlaybackError(f"{what} is {value}, want {_DURATIONS_MS[0]} to {_DURATIONS_MS[-1]}")
        self.sample_rate = sample_rate
        self._tones = make_tones(digits, sample_rate, duration=duration_ms / 1000, gap=gap_ms / 1000)

    def read(self) -> Samples:
        """The next key; empty behind the last one."""
        return next(self._tones, _NOTHING)
