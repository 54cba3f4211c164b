"""Comfort noise: what a G.711 or G.722 sender describes in a few octets when its speaker pauses.

The first octet is the noise's level below overload in dB, each further one a reflection coefficient of its spectrum.
In RTP such a packet has a payload type of its own, 13; on a media stream there is only its length to know it by. More
than twelve coefficients are not in use, and as sound so few octets would be 1.6 ms, a fraction of the shortest packet.

Source: RFC 3389.
"""

from collections.abc import Iterable
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from audio_codecs.samples import Samples

__all__ = ["COMFORT_NOISE_OCTETS", "ComfortNoise"]

COMFORT_NOISE_OCTETS: Final = 13
"""In the longest payload that is taken for comfort noise."""

_OVERLOAD: Final = 32_767  # RMS of 0 dBov: a square wave of full scale (RFC 3389 section 3.1)
_COEFFICIENT_STEP: Final = 258 / 32_768
_COEFFICIENT_ZERO: Final = 127
_LARGEST_COEFFICIENT: Final = 0.99  # a filter with 1 or more would not be stable


class ComfortNoise:
    """Makes noise as it is described; the same noise each time, from a seed."""

    @cached_property
    def _random(self) -> np.random.Generator:
        """Made when there is noise to be made, as most calls have none and it is twice the size of their codecs."""
        return np.random.default_rng(3389)

    def decode(self, payload: bytes, n: int) -> Samples:
        """Make the noise that a payload describes.

        Args:
            payload: The level; and the spectrum, if that is not flat. Not empty.
            n: How many samples; at least one.

        Returns:
            int16, shape (n,).
        """
        level = _OVERLOAD * 10 ** (-(payload[0] & 127) / 20)
        spectrum = np.fft.rfft(self._random.standard_normal(n)) / np.abs(np.fft.rfft(_inverse_filter(payload[1:]), n))
        noise = np.fft.irfft(spectrum, n)
        noise *= level / max(1e-9, float(np.sqrt(np.mean(noise**2))))
        samples: Samples = np.clip(np.rint(noise), -32768, 32767).astype(np.int16)
        return samples


def _inverse_filter(coefficients: Iterable[int]) -> npt.NDArray[np.float64]:
    """From the quantised reflection coefficients to the taps of the filter that would make the noise white again."""
    taps = np.ones(1)
    for number in coefficients:
        k = np.clip((number - _COEFFICIENT_ZERO) * _COEFFICIENT_STEP, -_LARGEST_COEFFICIENT, _LARGEST_COEFFICIENT)
        taps = np.append(taps, 0.0)
        taps = taps + k * taps[::-1]
    return taps
