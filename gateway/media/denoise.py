"""Noise suppression of one stream of sound: WebRTC's, by the package `webrtc-noise-gain` (extra `denoise`).

It works on 10 ms at 16 kHz, so other rates are converted before and after. What comes out is as long as what went in,
and later by the delay: about 9 ms of the suppression, and 6 ms of the conversions where there are any. Of frames that
are not whole 10 ms, up to 10 ms more are held back.

Source: the levels are those of WebRTC's `NoiseSuppression::Config`; measured on white noise, they take away 6, 12, 18
and 21 dB.
"""

from typing import Final

import numpy as np

from audio_codecs import Samples
from gateway.media.resample import Resampler

__all__ = ["LEVELS", "Denoiser"]

LEVELS: Final = range(1, 5)

_RATE: Final = 16_000
_BLOCK: Final = 160  # samples: 10 ms


class Denoiser:
    """Takes the noise out of one stream of sound.

    Args:
        sample_rate: Of what comes and goes, in Hz.
        level: 1 to 4: how much.

    Raises:
        ImportError: The extra `denoise` is not installed.
        ValueError: There is no such level.
    """

    def __init__(self, sample_rate: int, *, level: int = 3) -> None:
        from webrtc_noise_gain import AudioProcessor  # loaded by those who want it

        if level not in LEVELS:
            raise ValueError(f"the level is {level}, want {LEVELS[0]} to {LEVELS[-1]}")
        self._processor = AudioProcessor(0, level)
        self._up = Resampler(sample_rate, _RATE)
        self._down = Resampler(_RATE, sample_rate)
        self._waiting: Samples = np.zeros(0, np.int16)  # less than a block, at 16 kHz
        self._ready: Samples = np.zeros(0, np.int16)

    def process(self, samples: Samples) -> Samples:
        """Take the next samples, int16 of shape (n,), and give as many."""
        waiting = np.concatenate((self._waiting, self._up.push(samples)))
        whole = len(waiting) // _BLOCK * _BLOCK
        self._waiting = waiting[whole:]
        parts = [self._ready]
        for at in range(0, whole, _BLOCK):
            cleaned = self._processor.Process10ms(waiting[at : at + _BLOCK].tobytes())
            parts.append(self._down.push(np.frombuffer(cleaned.audio, np.int16)))
        ready = np.concatenate(parts)
        if (short := len(samples) - len(ready)) > 0:  # once, at a block that is not whole: from then on it is enough
            ready = np.concatenate((np.zeros(short, np.int16), ready))
        self._ready = ready[len(samples) :]
        return ready[: len(samples)]
