"""Speech is what is louder than the room: a detector that needs nothing.

The level of the room is followed by its quietest moments: at once downwards, by 6 dB a second upwards. It is fooled by
music, by a dog and by whoever else is in the room; where that matters, install the extra `vad`.
"""

import math
from typing import Final

import numpy as np

from audio_codecs import Samples

__all__ = ["EnergyVad"]

_HOP: Final = 0.02  # seconds
_ABOVE: Final = 12.0  # dB that speech is above the room
_ROOM: Final = (-60.0, -30.0)  # dBFS that a room can have
_RISE: Final = 6.0 * _HOP  # dB for each hop


class EnergyVad:
    """Compares each hop's level with the room's.

    Args:
        sample_rate: In Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.hop = round(sample_rate * _HOP)
        self._room = _ROOM[1]

    def is_speech(self, samples: Samples) -> bool:
        """Judge 20 ms."""
        sound = samples.astype(np.float32)
        level = 10 * math.log10(float(np.dot(sound, sound)) / len(sound) / 32768.0**2 + 1e-10)
        quietest, loudest = _ROOM
        room = max(quietest, min(level, self._room + _RISE, loudest))
        self._room = room
        return level > room + _ABOVE

    def reset(self) -> None:
        """Begin anew: the room is as loud as what comes first."""
        self._room = _ROOM[1]
