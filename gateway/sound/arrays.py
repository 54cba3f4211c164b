"""Arrays of sound, however an application has them, as mono int16."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from audio_codecs import Samples
from gateway.errors import PlaybackError

__all__ = ["ArrayReader", "check_array", "to_samples"]

_MAX_CHANNELS: Final = 8

Array = npt.NDArray[Any]


def check_array(array: object) -> Array:
    """See that an array is sound.

    Args:
        array: int16, or floating within -1 to 1; shape (n,), or (n, channels) with up to 8 channels.

    Raises:
        PlaybackError: It is something else.
    """
    if not isinstance(array, np.ndarray):
        raise PlaybackError(f"sound is a numpy array, not {type(array).__name__}")
    if not (array.dtype == np.int16 or np.issubdtype(array.dtype, np.floating)):
        raise PlaybackError(f"an array of {array.dtype} is no sound; want int16, or floating from -1 to 1")
    if not (array.ndim == 1 or (array.ndim == 2 and 1 <= array.shape[1] <= _MAX_CHANNELS)):
        raise PlaybackError(f"an array of shape {array.shape} is no sound; want (n,), or (n, channels), 8 at most")
    return array


def to_samples(array: Array) -> Samples:
    """Make sound mono int16; what is louder than full scale is clipped, what is no number is silence.

    Args:
        array: As `check_array` takes it.

    Returns:
        int16, shape (n,); the argument itself where it is that already.
    """
    whole = array.dtype == np.int16
    if whole and array.ndim == 1:
        return array
    mixed = array.mean(axis=1, dtype=np.float64) if array.ndim == 2 else array.astype(np.float64)
    scaled = mixed if whole else np.nan_to_num(mixed, posinf=1.0, neginf=-1.0) * 32768
    samples: Samples = np.clip(np.rint(scaled), -32768, 32767).astype(np.int16)
    return samples


class ArrayReader:
    """Gives an array a second at a time.

    Args:
        array: As `check_array` takes it. Not to be written to while it is read.
        sample_rate: In Hz.
    """

    def __init__(self, array: Array, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self._array = array
        self._at = 0

    def read(self) -> Samples:
        """The next second; empty at the end."""
        piece = self._array[self._at : self._at + self.sample_rate]
        self._at += len(piece)
        return to_samples(piece)
