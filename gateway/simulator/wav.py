"""WAV files in memory: what a caller says comes in as one, what was heard goes out as one."""

import io
import wave

import numpy as np

from audio_codecs import Samples

__all__ = ["read_wav", "write_wav"]


def read_wav(octets: bytes, *, sample_rate: int) -> Samples:
    """Read a mono, 16-bit file of this rate.

    Args:
        octets: The whole file. Hostile input is expected.
        sample_rate: In Hz.

    Returns:
        int16, shape (n,), n > 0.

    Raises:
        ValueError: It is none; says what it is.
    """
    try:
        with wave.open(io.BytesIO(octets), "rb") as file:
            found = (file.getnchannels(), 8 * file.getsampwidth(), file.getframerate())
            sound = file.readframes(file.getnframes()) if found == (1, 16, sample_rate) else b""
    except (wave.Error, EOFError, RuntimeError) as error:  # RuntimeError: a chunk is said to be longer than the file
        raise ValueError(f"not a WAV file of linear PCM: {str(error) or 'it ends too soon'}") from error
    if found != (1, 16, sample_rate):
        channels, bits, rate = found
        raise ValueError(f"channels, bits and Hz are {channels}, {bits} and {rate}, want 1, 16 and {sample_rate}")
    if len(sound) < 2:
        raise ValueError("the WAV file holds no sound")
    return np.frombuffer(sound[: len(sound) // 2 * 2], "<i2").astype(np.int16)


def write_wav(samples: Samples, *, sample_rate: int) -> bytes:
    """Make a mono, 16-bit WAV file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return buffer.getvalue()
