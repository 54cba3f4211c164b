"""How loud one track is: level, peak, clipping, silence.

A reduction over 160 samples costs a frame more than everything else that is done with it, so frames are collected
and measured half a second at a time.

Levels are in dBFS, where an RMS of 32768 is 0 dB: a full-scale square wave has 0 dBFS, a full-scale sine -3.01. This
is the scale of ITU-T G.100.1 (dBov) and RFC 6464. Speech at the level that telephone networks are made for has about
-26 on it (ITU-T P.56, G.100.1).
"""

import math
from typing import Any, Final

import numpy as np

from audio_codecs import Samples

__all__ = ["LevelMeter"]

_BLOCK: Final = 0.020  # seconds that are loud or silent as a whole
_SILENCE: Final = 10 ** (-50 / 10) * 32768**2  # mean square of -50 dBFS, well above the noise of a quiet line
_CLIPPED: Final = (
    32_124  # the last code of mu-law (A-law: 32256, linear: 32767); speech at -26 dBFS has no business there
)


class LevelMeter:
    """Measures the sound of one track.

    Args:
        sample_rate: In Hz.

    Attributes:
        pending: Frames that wait to be measured. Who adds one sees to it that `measure` comes in time.
    """

    __slots__ = ("_block", "_clipped", "_loud", "_loud_energy", "_peak", "_samples", "_silent", "pending")

    def __init__(self, sample_rate: int) -> None:
        self.pending: list[Samples] = []
        self._block = round(_BLOCK * sample_rate)
        self._samples = 0
        self._clipped = 0
        self._peak = 0
        self._silent = 0  # blocks
        self._loud = 0  # blocks
        self._loud_energy = 0.0  # sum of the loud blocks' squares

    def measure(self) -> None:
        """Take in the frames that wait; of what does not fill a block of 20 ms, the level is not measured."""
        frames: Any = self.pending  # to numpy's type stubs an array is no buffer before Python 3.12
        samples: Samples = np.frombuffer(b"".join(frames), np.int16)
        self.pending.clear()
        if not len(samples):
            return
        self._samples += len(samples)
        highest, lowest = int(samples[samples.argmax()]), int(samples[samples.argmin()])  # max() takes twice as long
        self._peak = max(self._peak, highest, -lowest)
        if highest >= _CLIPPED or lowest <= -_CLIPPED:
            self._clipped += int(np.count_nonzero((samples >= _CLIPPED) | (samples <= -_CLIPPED)))
        block = self._block
        blocks = samples[: len(samples) // block * block].astype(np.float32).reshape(-1, block)
        silence = _SILENCE * block
        for energy in np.vecdot(blocks, blocks).tolist():
            if energy < silence:
                self._silent += 1
            else:
                self._loud += 1
                self._loud_energy += energy

    def describe(self) -> dict[str, Any]:
        """What was measured so far, as JSON-ready values; None where there was nothing to measure."""
        self.measure()
        blocks = self._loud + self._silent
        return {
            "level_dbfs": _dbfs(self._loud_energy / (self._loud * self._block)) if self._loud else None,
            "peak_dbfs": _dbfs(self._peak**2) if self._peak else None,
            "clipped_share": round(self._clipped / self._samples, 6) if self._samples else None,
            "silence_share": round(self._silent / blocks, 3) if blocks else None,
        }


def _dbfs(mean_square: float) -> float:
    return round(10 * math.log10(mean_square / 32768**2), 1)
