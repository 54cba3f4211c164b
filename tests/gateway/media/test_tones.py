"""Tones as a receiver hears them: by the strength of each frequency."""

import numpy as np
import pytest

from audio_codecs import Samples, decode_ulaw, encode_ulaw
from gateway.media.tones import DIGITS, make_tones

LOW, HIGH = (697, 770, 852, 941), (1209, 1336, 1477, 1633)
KEYS = ("123A", "456B", "789C", "*0#D")


def dbm0(samples: Samples, frequency: float, rate: int) -> float:
    """The level of one frequency; a sine of full scale has +3.17 dBm0."""
    window = np.hanning(len(samples))
    wave = np.exp(-2j * np.pi * frequency * np.arange(len(samples)) / rate)
    amplitude = 2 * abs(np.sum(samples * window * wave)) / np.sum(window) / 32_767
    return float(20 * np.log10(amplitude + 1e-9) + 3.17)


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 48_000])
@pytest.mark.parametrize("digit", DIGITS)
def test_each_key_has_its_two_frequencies_at_their_levels_and_no_other(digit: str, rate: int) -> None:
    (sound,) = make_tones(digit, rate, duration=0.1, gap=0.05)
    tone = sound[: round(0.1 * rate)]
    row = next(number for number, keys in enumerate(KEYS) if digit in keys)
    column = KEYS[row].index(digit)
    assert [dbm0(tone, LOW[row], rate), dbm0(tone, HIGH[column], rate)] == pytest.approx([-8, -6], abs=0.3)
    others = [frequency for frequency in LOW + HIGH if frequency not in (LOW[row], HIGH[column])]
    assert max(dbm0(tone, frequency, rate) for frequency in others) < -30
    assert not sound[round(0.1 * rate) :].any()


def test_the_keys_of_a_receiver_by_the_book_are_the_keys_that_were_sent() -> None:
    """Goertzel's way, through the codec: strongest of each group, both above -25 dBm0 and within 5 dB."""
    heard = ""
    sound = np.concatenate(list(make_tones(DIGITS, 8000, duration=0.05, gap=0.05)))
    sound = decode_ulaw(encode_ulaw(sound))
    for at in range(0, len(sound), 800):
        block = sound[at + 40 : at + 360]
        low, high = ([dbm0(block, frequency, 8000) for frequency in group] for group in (LOW, HIGH))
        assert min(max(low), max(high)) > -25
        assert abs(max(low) - max(high)) < 5
        heard += KEYS[int(np.argmax(low))][int(np.argmax(high))]
    assert heard == DIGITS


def test_lengths_are_to_the_sample() -> None:
    lengths = [len(sound) for sound in make_tones("1wW#", 8000, duration=0.25, gap=0.1)]
    assert lengths == [2800, 4000, 8000, 2800]


def test_a_tone_is_not_clipped_and_does_not_click() -> None:
    for digit in DIGITS:
        (sound,) = make_tones(digit, 48_000, duration=0.1, gap=0.05)
        assert np.abs(sound).max() < 0.75 * 32_767
        assert abs(int(sound[0])) < 100
        assert abs(int(sound[4799])) < 500
