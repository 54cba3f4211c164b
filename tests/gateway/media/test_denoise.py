"""Noise suppression in figures: decibels, delay and length."""

import numpy as np
import pytest

from audio_codecs import Samples
from gateway.media.denoise import Denoiser

pytest.importorskip("webrtc_noise_gain")


def hiss(count: int) -> Samples:
    return np.random.default_rng(1).normal(0, 600, count).astype(np.int16)


def level(samples: Samples) -> float:
    return float(20 * np.log10(np.std(samples.astype(np.float64)) + 1e-9))


def denoised(samples: Samples, rate: int, frame: int, **options: int) -> Samples:
    denoiser = Denoiser(rate, **options)
    return np.concatenate([denoiser.process(samples[at : at + frame]) for at in range(0, len(samples), frame)])


@pytest.mark.parametrize(
    ("rate", "strength", "least"),
    [(8000, 1, 5), (8000, 2, 10), (8000, 3, 15), (8000, 4, 18), (16_000, 3, 15), (48_000, 3, 15)],
)
def test_white_noise_is_taken_away_by_so_many_decibels(rate: int, strength: int, least: float) -> None:
    noise = hiss(3 * rate)
    cleaned = denoised(noise, rate, rate // 50, level=strength)
    taken = level(noise[2 * rate :]) - level(cleaned[2 * rate :])
    assert least < taken < (least + 9 if rate < 48_000 else 40)  # above 8 kHz nothing is left


@pytest.mark.parametrize("frame", [160, 80, 240, 37, 1])
def test_as_much_comes_out_as_goes_in(frame: int) -> None:
    denoiser = Denoiser(8000)
    for _ in range(200):
        assert len(denoiser.process(hiss(frame))) == frame
    assert len(denoiser.process(hiss(0))) == 0


@pytest.mark.parametrize(("rate", "latest"), [(8000, 0.016), (16_000, 0.010), (48_000, 0.016)])
def test_what_is_heard_is_late_by_the_delay_alone(rate: int, latest: float) -> None:
    time = np.arange(3 * rate) / rate
    said = (8000 * np.sin(2 * np.pi * 300 * time) * (np.sin(2 * np.pi * 2.5 * time) > 0)).astype(np.int16)
    heard = denoised(said, rate, rate // 50)
    envelope_said, envelope_heard = np.abs(said.astype(float)), np.abs(heard.astype(float))
    shifts = np.arange(0, round(0.03 * rate), rate // 1000)
    middle = slice(rate, 2 * rate)
    match = [float(envelope_said[middle] @ np.roll(envelope_heard, -shift)[middle]) for shift in shifts]
    assert 0.003 < shifts[int(np.argmax(match))] / rate <= latest


def test_a_level_is_one_to_four() -> None:
    with pytest.raises(ValueError, match="the level is 0, want 1 to 4"):
        Denoiser(8000, level=0)
