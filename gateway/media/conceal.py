"""Sound for the packets that did not come: the last pitch period again and again, fading to silence in 60 ms.

A short hole in a vowel is hardly heard when it is filled with more of the vowel; after some 60 ms any continuation
is a guess, so silence it is. The idea is that of ITU-T G.711 Appendix I (1999), without its changes to good samples:
what was received stays as it was received.
"""

from collections import deque
from typing import Final

import numpy as np
import numpy.typing as npt

from audio_codecs import Samples

__all__ = ["Concealer"]

_FADE: Final = 0.060  # seconds from full level to silence
_SHORTEST_PERIOD: Final = 0.005  # 200 Hz; a higher voice repeats two or three of its periods
_LONGEST_PERIOD: Final = 0.015  # 66 Hz
_COMPARED: Final = 0.020  # seconds that are compared with their past, where there are so many
_HISTORY: Final = _COMPARED + _LONGEST_PERIOD
_SEARCH_RATE: Final = 8000  # Hz; higher rates are thinned out to about this for the search alone
_FRAMES: Final = 4  # kept; enough for the history with frames of 10 ms and more


class Concealer:
    """Makes up the missing sound of one track.

    Args:
        sample_rate: In Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        self._recent: deque[Samples] = deque(maxlen=_FRAMES)
        self._history = round(_HISTORY * sample_rate)
        self._fade = round(_FADE * sample_rate)
        self._sample_rate = sample_rate
        self._period: npt.NDArray[np.float32] | None = None
        self._concealed = 0  # samples made up since the last good one

    def heard(self, samples: Samples) -> None:
        """Note good sound, int16 of shape (n,); a reference is kept, so nobody may write to it any more."""
        if len(samples) > self._history:
            samples = samples[-self._history :].copy()  # a view would keep the whole of a huge frame alive
        elif not len(samples):
            return
        self._recent.append(samples)
        self._concealed = 0

    def conceal(self, n: int) -> Samples:
        """Make up the next samples.

        Returns:
            int16, shape (n,): goes on from the last call or from what was heard last; silence where 60 ms are over
            or nothing was heard yet.
        """
        samples = np.zeros(n, np.int16)
        done = self._concealed
        count = min(n, self._fade - done)
        self._concealed = min(done + n, self._fade)
        if count <= 0 or not self._recent:
            return samples
        if done == 0 or self._period is None:
            self._period = self._last_period()
        step = np.arange(done, done + count)
        gain = (1 - (step + 1) / self._fade).astype(np.float32)
        samples[:count] = np.rint(self._period[step % len(self._period)] * gain)
        return samples

    def _last_period(self) -> npt.NDArray[np.float32]:
        """The last pitch period, float32, shape (period,), its end smoothed so that it can follow itself."""
        history = np.concatenate(self._recent)[-self._history :].astype(np.float32)
        period = _pitch_period(history, self._sample_rate)
        template = history[-period:].copy()
        overlap = min(period // 4, len(history) - period)
        if overlap:
            rising = (np.arange(1, overlap + 1) / (overlap + 1)).astype(np.float32)
            before = history[-period - overlap : -period]
            template[-overlap:] += (before - template[-overlap:]) * rising
        return template


def _pitch_period(history: npt.NDArray[np.float32], sample_rate: int) -> int:
    """The lag, in samples, at which the end of the history resembles its past most: normalised cross-correlation."""
    stride = max(1, sample_rate // _SEARCH_RATE)
    thinned = history[::-1][::stride][::-1]
    rate = sample_rate / stride
    shortest, longest = round(_SHORTEST_PERIOD * rate), round(_LONGEST_PERIOD * rate)
    compared = min(len(thinned) - longest, round(_COMPARED * rate))
    if compared < shortest:
        return min(len(history), round(_LONGEST_PERIOD * sample_rate))  # too little was heard to compare
    past = thinned[-compared - longest : -shortest]
    candidates = np.lib.stride_tricks.sliding_window_view(past, compared)  # from the longest lag to the shortest
    energy = np.einsum("ij,ij->i", candidates, candidates)
    likeness = (candidates @ thinned[-compared:]) / np.sqrt(energy + 1)
    return int(longest - int(np.argmax(likeness))) * stride
