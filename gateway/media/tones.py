"""Keys as tones: DTMF, made as samples.

Each key is two sines at once, one of a low group and one of a high group. The levels are those that networks are built
to receive (ITU-T Q.24: above -24 dBm0, the groups not more than 5 dB apart) with room on a line that loses some: -8 and
-6 dBm0, the high group stronger, as it is the one that lines dampen more. The two add up to 3 dB below full scale.

Source: ITU-T Q.23 (frequencies, within 1.5 %), Q.24 (levels, durations: receivers want 40 ms of tone and 40 ms of
pause at least); G.711 (full scale is +3.17 dBm0); Telnyx's `send_dtmf` (alphabet, `w` and `W`).
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

import numpy as np

from audio_codecs import Samples

__all__ = ["DIGITS", "make_tones"]

DIGITS: Final = "123A456B789C*0#D"
"""Every key, row by row."""

_LOW: Final = (697, 770, 852, 941)
_HIGH: Final = (1209, 1336, 1477, 1633)
_PAUSES: Final = {"w": 0.5, "W": 1.0}  # seconds
_FULL_SCALE_DBM0: Final = 3.17
_LOW_DBM0: Final = -8.0
_HIGH_DBM0: Final = -6.0
_RAMP: Final = 0.002  # seconds that a tone takes to swell and to fade, so that it does not click


def make_tones(digits: str, sample_rate: int, *, duration: float, gap: float) -> Iterator[Samples]:
    """Make the sound of keys pressed one after another.

    Args:
        digits: `0` to `9`, `A` to `D`, `*`, `#`; `w` waits half a second, `W` a second.
        sample_rate: In Hz.
        duration: Seconds of each tone.
        gap: Seconds of silence behind each tone.

    Yields:
        int16, shape (n,), one for each character.
    """
    silence = np.zeros(round(gap * sample_rate), np.int16)
    for digit in digits:
        if digit in _PAUSES:
            yield np.zeros(round(_PAUSES[digit] * sample_rate), np.int16)
        else:
            yield np.concatenate((_tone(digit, sample_rate, duration), silence))


@lru_cache(maxsize=64)
def _tone(digit: str, sample_rate: int, duration: float) -> Samples:
    row, column = divmod(DIGITS.index(digit), 4)
    time = np.arange(round(duration * sample_rate)) / sample_rate
    wave = _amplitude(_LOW_DBM0) * np.sin(2 * np.pi * _LOW[row] * time)
    wave += _amplitude(_HIGH_DBM0) * np.sin(2 * np.pi * _HIGH[column] * time)
    swell = np.clip(np.minimum(time, duration - time) / _RAMP, 0, 1)
    tone: Samples = np.rint(32767 * swell * wave).astype(np.int16)
    return tone


def _amplitude(dbm0: float) -> float:
    return float(10 ** ((dbm0 - _FULL_SCALE_DBM0) / 20))
