"""Another sampling rate: a polyphase FIR filter that keeps its state between frames.

Going from one rate to another by the ratio L/M means: put L-1 zeros after each sample, low-pass, keep every M-th.
Most of that would be multiplying zeros, so the low-pass is stored as L short filters, one for each place an output
sample can have between two input samples, and an output is one dot product of such a filter with the last inputs.

The low-pass is a Kaiser-windowed sinc of 2 * 24 * max(L, M) + 1 taps, flat within 0.04 dB up to 0.85 of the lower
Nyquist frequency. It is symmetric, so every frequency is delayed alike: by 24 samples of the lower rate.
"""

from functools import lru_cache
from math import gcd
from typing import Final

import numpy as np
import numpy.typing as npt

from audio_codecs import Samples

__all__ = ["Resampler"]

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.intp]

_LOBES: Final = 24  # zero crossings of the sinc on each side
_BETA: Final = 8.0  # of the Kaiser window: side lobes about -80 dB
_CUTOFF: Final = 0.94  # of the lower Nyquist frequency
_BLOCK: Final = 960  # inputs that are worked on at once: 20 ms at 48 kHz
_RATES: Final = range(4000, 192_001)
_MAX_RATIO: Final = 1000  # L and M above this would need filters of megabytes


class Resampler:
    """Converts one stream of sound from one rate to another.

    The delay is constant: 24 samples of the lower rate, so 3 ms between 8 kHz and any higher rate, 1.5 ms between 16
    and 48 kHz; none where the rates are equal. N samples in give N * L / M out, frame by frame where that is whole;
    where it is not, the total is never off by a whole sample.

    Args:
        from_rate: Of what is pushed, in Hz.
        to_rate: Of what comes back, in Hz.

    Raises:
        ValueError: A rate is outside 4000 to 192,000 Hz, or their ratio L/M has a term above 1000.
    """

    def __init__(self, from_rate: int, to_rate: int) -> None:
        if from_rate not in _RATES or to_rate not in _RATES:
            raise ValueError(f"rates are {from_rate} and {to_rate} Hz, want 4000 to 192000")
        divisor = gcd(from_rate, to_rate)
        self.from_rate = from_rate
        self.to_rate = to_rate
        self._up, self._down = to_rate // divisor, from_rate // divisor
        if max(self._up, self._down) > _MAX_RATIO:
            raise ValueError(f"{from_rate} to {to_rate} Hz is {self._up}/{self._down}, want terms up to {_MAX_RATIO}")
        self._taps = _filters(self._up, self._down).shape[1]
        self.reset()

    def __str__(self) -> str:
        return f"Resample({self.from_rate}->{self.to_rate})"

    def reset(self) -> None:
        """Forget what was pushed, as before another utterance."""
        self._past: Floats = np.zeros(self._taps - 1, np.float32)
        self._offset = 0  # of the next output from the next input, in 1/L of an input

    def flush(self) -> Samples:
        """Give what the delay still holds back: the utterance is over."""
        held = self.push(np.zeros(-(-_LOBES * max(self._up, self._down) // self._up), np.int16))
        self.reset()
        return held if self._up != self._down else held[:0]

    def push(self, samples: Samples) -> Samples:
        """Convert the next samples.

        Args:
            samples: int16, shape (n,).

        Returns:
            int16, shape (about n * to_rate / from_rate,); the argument itself where the rates are equal.
        """
        if self._up == self._down or not len(samples):
            return samples
        if len(samples) <= _BLOCK:
            return self._convert(samples)
        return np.concatenate([self._convert(samples[at : at + _BLOCK]) for at in range(0, len(samples), _BLOCK)])

    def _convert(self, samples: Samples) -> Samples:
        starts, filters = _plan(self._up, self._down, self._offset, len(samples))
        self._offset += len(starts) * self._down - len(samples) * self._up
        inputs = np.concatenate((self._past, samples), dtype=np.float32)
        self._past = inputs[len(samples) :]
        windows = np.lib.stride_tricks.sliding_window_view(inputs, self._taps)[starts]
        outputs = np.einsum("kt,kt->k", windows, filters)
        converted: Samples = np.clip(np.rint(outputs), -32768, 32767).astype(np.int16)
        return converted


@lru_cache(maxsize=64)
def _filters(up: int, down: int) -> Floats:
    """The low-pass as one filter for each phase.

    Returns:
        float32, shape (up, taps), read-only; the tap of the oldest input first.
    """
    half = _LOBES * max(up, down)
    time = np.arange(-half, half + 1) / max(up, down)
    prototype = _CUTOFF * np.sinc(_CUTOFF * time) * np.kaiser(2 * half + 1, _BETA)
    prototype *= up / prototype.sum()
    prototype.resize(-(-len(prototype) // up) * up)
    filters = np.ascontiguousarray(prototype.reshape(-1, up).T[:, ::-1], np.float32)
    filters.flags.writeable = False
    return filters


@lru_cache(maxsize=32)
def _plan(up: int, down: int, offset: int, count: int) -> tuple[Integers, Floats]:
    """Which inputs and which filter make each output of one block; frames of one call mostly share one plan.

    Args:
        up: L.
        down: M.
        offset: Of the first output from the block's first input, in 1/L of an input.
        count: Inputs in the block.

    Returns:
        The first input of each output's window, counted from the oldest input kept, shape (k,); the filters,
        float32, shape (k, taps).
    """
    outputs = max(0, -(-(count * up - offset) // down))
    places = offset + down * np.arange(outputs)
    return places // up, _filters(up, down)[places % up]
