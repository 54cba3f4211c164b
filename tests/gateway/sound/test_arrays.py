from typing import Any

import numpy as np
import pytest

from gateway.errors import PlaybackError
from gateway.sound.arrays import ArrayReader, check_array, to_samples
from tests.fakes import noise


def test_mono_int16_is_taken_as_it_is() -> None:
    samples = noise(100)
    assert to_samples(samples) is samples


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floating_point_is_scaled_clipped_and_freed_of_what_is_no_number(dtype: Any) -> None:
    array = np.array([0.0, 0.5, -1.0, 1.0, 7.0, -7.0, np.nan, np.inf, -np.inf], dtype)
    assert to_samples(array).tolist() == [0, 16_384, -32_768, 32_767, 32_767, -32_768, 0, 32_767, -32_768]


def test_int16_comes_back_from_floating_point_to_the_sample() -> None:
    samples = noise(1000)
    assert np.array_equal(to_samples(samples / np.float32(32_768)), samples)


def test_channels_are_mixed_to_one_without_overflow() -> None:
    array = np.array([[32_767, 32_767], [-32_768, -32_768], [100, -50]], np.int16)
    assert to_samples(array).tolist() == [32_767, -32_768, 25]
    assert to_samples(np.array([[1.0, 0.0]])).tolist() == [16_384]


@pytest.mark.parametrize(
    ("array", "complaint"),
    [
        ([1, 2, 3], "numpy array, not list"),
        (b"1234", "numpy array, not bytes"),
        (np.zeros(3, np.int32), "array of int32"),
        (np.zeros(3, np.uint8), "array of uint8"),
        (np.zeros(3, np.complex64), "array of complex64"),
        (np.zeros((), np.int16), r"shape \(\)"),
        (np.zeros((3, 9), np.int16), r"shape \(3, 9\)"),
        (np.zeros((3, 0), np.int16), r"shape \(3, 0\)"),
        (np.zeros((1, 2, 3), np.float32), r"shape \(1, 2, 3\)"),
    ],
)
def test_what_is_no_sound_is_refused(array: object, complaint: str) -> None:
    with pytest.raises(PlaybackError, match=complaint):
        check_array(array)


def test_an_array_is_read_a_second_at_a_time() -> None:
    samples = noise(20_000)
    reader = ArrayReader(samples, 8000)
    pieces = []
    while len(piece := reader.read()):
        pieces.append(piece)
    assert [len(piece) for piece in pieces] == [8000, 8000, 4000]
    assert np.array_equal(np.concatenate(pieces), samples)
