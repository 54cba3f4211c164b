import weakref

import numpy as np
import pytest

from audio_codecs import Samples
from gateway.media.conceal import Concealer

RATES = pytest.mark.parametrize("rate", [8000, 16000, 22050, 24000, 48000])


def tone(frequency: float, rate: int, seconds: float, *, amplitude: float = 10_000) -> Samples:
    """A voice-like sound: a tone and its first two overtones."""
    phase = 2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate
    wave = np.sin(phase) + 0.5 * np.sin(2 * phase + 1) + 0.25 * np.sin(3 * phase + 2)
    return np.rint(amplitude * wave).astype(np.int16)


def hear(concealer: Concealer, samples: Samples, frame: int) -> None:
    for at in range(0, len(samples), frame):
        concealer.heard(samples[at : at + frame])


@RATES
def test_silence_is_made_up_where_nothing_was_heard(rate: int) -> None:
    samples = Concealer(rate).conceal(rate // 50)
    assert samples.dtype == np.int16
    assert samples.shape == (rate // 50,)
    assert not samples.any()


@RATES
@pytest.mark.parametrize("frequency", [80, 100, 125, 160, 200, 250, 400])
def test_a_periodic_sound_goes_on_and_fades(rate: int, frequency: int) -> None:
    sound = tone(frequency, rate, 0.2)
    concealer, heard, missing = Concealer(rate), round(0.1 * rate), round(0.02 * rate)
    hear(concealer, sound[:heard], missing)
    gain = 1 - np.arange(1, missing + 1) / round(0.06 * rate)
    expected = sound[heard : heard + missing] * gain
    error = concealer.conceal(missing) - expected
    assert np.sqrt(np.mean(error**2)) < 0.2 * np.sqrt(np.mean(expected**2))


@RATES
def test_the_sound_fades_to_silence_within_60_ms_whatever_the_frames(rate: int) -> None:
    sound = tone(150, rate, 0.1)
    pieces, whole = Concealer(rate), Concealer(rate)
    hear(pieces, sound, rate // 50)
    hear(whole, sound, rate // 50)
    made = np.concatenate([pieces.conceal(n) for n in (rate // 100, 1, rate // 50, 0, rate // 10)])
    np.testing.assert_array_equal(made, whole.conceal(len(made)))
    fade = round(0.06 * rate)
    assert made[: fade // 2].any()
    assert not made[fade:].any()
    loudness = [np.abs(part).max() for part in np.array_split(made[:fade], 3)]
    assert loudness == sorted(loudness, reverse=True)


def test_good_sound_ends_the_fade() -> None:
    concealer = Concealer(8000)
    hear(concealer, tone(150, 8000, 0.1), 160)
    concealer.conceal(1600)
    assert not concealer.conceal(160).any()
    fresh = Concealer(8000)
    for one in (concealer, fresh):
        hear(one, tone(190, 8000, 0.1), 160)
    made = concealer.conceal(160)
    assert made.any()
    np.testing.assert_array_equal(made, fresh.conceal(160))


def test_a_loud_click_does_not_pass_for_the_pitch() -> None:
    sound = np.rint(2000 * np.sin(2 * np.pi * 100 * np.arange(960) / 8000)).astype(np.int16)
    heard = sound[:800].copy()
    heard[-270:-254] = 32_000 * np.sign(heard[-158:-142])  # 14 ms before a likeness of it
    concealer = Concealer(8000)
    hear(concealer, heard, 160)
    error = concealer.conceal(80) - sound[800:880] * (1 - np.arange(1, 81) / 480)
    assert np.abs(error).max() < 200


def test_a_huge_frame_is_not_kept_alive() -> None:
    frame = np.ones(500_000, np.int16)
    alive = weakref.ref(frame)
    concealer = Concealer(8000)
    concealer.heard(frame)
    del frame
    assert alive() is None
    assert concealer.conceal(160).any()


@pytest.mark.parametrize("count", [1, 2, 39, 80, 159, 160, 161, 100_000])
@pytest.mark.parametrize("value", [-32768, 0, 32767])
def test_any_history_is_enough_and_full_scale_does_not_wrap(count: int, value: int) -> None:
    concealer = Concealer(8000)
    concealer.heard(np.full(count, value, np.int16))
    made = concealer.conceal(480)
    assert np.abs(made.astype(int)).max() <= abs(value)
    assert np.all(made.astype(int) * np.sign(value) >= 0)
    assert bool(made.any()) is bool(value)


def test_noise_at_full_scale_does_not_wrap() -> None:
    noise = np.random.default_rng(7).choice(np.array([-32768, 32767], np.int16), 1600)
    concealer = Concealer(8000)
    hear(concealer, noise, 160)
    made = concealer.conceal(480).astype(int)
    assert np.all(np.abs(made) <= np.ceil(32768 * (1 - np.arange(1, 481) / 480)))


def test_empty_sound_changes_nothing() -> None:
    sound = tone(150, 8000, 0.1)
    one, other = Concealer(8000), Concealer(8000)
    hear(one, sound, 160)
    hear(other, sound, 160)
    other.heard(sound[:0])
    np.testing.assert_array_equal(one.conceal(160), other.conceal(160))
    nothing = Concealer(8000)
    nothing.heard(sound[:0])
    assert not nothing.conceal(160).any()


def test_the_frames_that_were_heard_stay_as_they_are() -> None:
    sound = tone(150, 8000, 0.02)
    before = sound.copy()
    concealer = Concealer(8000)
    concealer.heard(sound)
    concealer.conceal(480)[:] = 1
    np.testing.assert_array_equal(sound, before)
