"""WAV files of callers."""

import contextlib
import io
import wave

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.simulator.wav import read_wav, write_wav

SAMPLES = np.array([0, 1, -1, 32767, -32768], np.int16)


def make(channels: int, width: int, rate: int, frames: bytes) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(frames)
    return buffer.getvalue()


def test_what_is_written_can_be_read() -> None:
    np.testing.assert_array_equal(read_wav(write_wav(SAMPLES, sample_rate=8000), sample_rate=8000), SAMPLES)


def test_samples_are_little_endian_in_the_file() -> None:
    assert write_wav(SAMPLES, sample_rate=8000)[44:] == bytes.fromhex("00000100ffffff7f0080")


@pytest.mark.parametrize(
    ("octets", "complaint"),
    [
        (make(2, 2, 8000, bytes(8)), "are 2, 16 and 8000, want 1, 16 and 8000"),
        (make(1, 1, 8000, bytes(8)), "are 1, 8 and 8000"),
        (make(1, 2, 16000, bytes(8)), "are 1, 16 and 16000"),
        (make(1, 2, 8000, b""), "no sound"),
        (b"", "not a WAV file of linear PCM: it ends too soon"),
        (b"RIFF....MP3 ", "not a WAV file of linear PCM"),
    ],
)
def test_another_format_is_refused_and_named(octets: bytes, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        read_wav(octets, sample_rate=8000)


@given(st.binary(max_size=200), st.integers(0, 54))
def test_any_octets_are_a_sound_or_a_value_error(tail: bytes, keep: int) -> None:
    octets = write_wav(SAMPLES, sample_rate=8000)[:keep] + tail
    with contextlib.suppress(ValueError):
        assert len(read_wav(octets, sample_rate=8000)) > 0
