"""The byte order of 16-bit sound, told from the sound itself.

Sound goes from sample to sample in steps that are small beside its level, as most of its power lies at low
frequencies. Read in the wrong order, the octet that changes wildly is the high one: the steps are those of noise near
full scale. So the order whose steps are smaller by far is the right one.

Where one order gives no sample beyond 8 bits, nothing is told: quiet sound in one order is sound of 8 bits, scaled up,
in the other. That covers silence. Nor do tones near full scale and high up tell anything, as their steps are as large
as noise's; the detector goes on listening then.
"""

import sys
from typing import Final, Literal, TypeAlias

import numpy as np

from audio_codecs.samples import Samples

__all__ = ["ByteOrder", "ByteOrderDetector"]

ByteOrder: TypeAlias = Literal["little", "big"]

_NATIVE: Final[ByteOrder] = sys.byteorder
_SWAPPED: Final[ByteOrder] = "big" if _NATIVE == "little" else "little"
_SOUND: Final = 256  # peak of a piece from which on it is sound: -42 dBFS
_RAILS: Final = np.array([32767, -32768, -129, 128], np.int16)
"""Full scale in either order. What is clipped stays there for long: no steps in one order, tiny ones in the other."""
_SOON: Final = 0.040  # seconds of sound that are enough where it is
_CLEAR: Final = 8.0  # times smaller
_WINDOW: Final = 0.200  # seconds of sound after which
_LIKELY: Final = 3.0  # times smaller is enough; if it is not that, all begins anew


class ByteOrderDetector:
    """Listens to one stream until it knows.

    Args:
        sample_rate: In Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        self._soon = round(_SOON * sample_rate)
        self._window = round(_WINDOW * sample_rate)
        self._begin()

    def _begin(self) -> None:
        self._heard = 0  # samples of sound
        self._steps_native = self._steps_swapped = 1.0

    def listen(self, samples: Samples) -> ByteOrder | None:
        """Take the next piece.

        Args:
            samples: Octets from the wire taken in the machine's own byte order, int16, shape (n,).

        Returns:
            The order on the wire; None where it is not told yet.
        """
        if len(samples) < 2 or min(_peak(samples), _peak(samples.byteswap())) < _SOUND:
            return None
        samples = samples[~np.isin(samples, _RAILS)]
        self._heard += len(samples)
        self._steps_native += _steps(samples)
        self._steps_swapped += _steps(samples.byteswap())
        ratio = self._steps_swapped / self._steps_native
        if self._heard >= self._soon and max(ratio, 1 / ratio) >= _CLEAR:
            return _NATIVE if ratio > 1 else _SWAPPED
        if self._heard >= self._window:
            if max(ratio, 1 / ratio) >= _LIKELY:
                return _NATIVE if ratio > 1 else _SWAPPED
            self._begin()
        return None


def _peak(samples: Samples) -> int:
    return max(int(samples.max()), -int(samples.min()))


def _steps(samples: Samples) -> float:
    """All steps from sample to sample, added up."""
    return float(np.abs(np.diff(samples.astype(np.int32))).sum())
