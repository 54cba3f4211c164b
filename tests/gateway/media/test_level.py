import json

import numpy as np
import pytest

from audio_codecs import Samples, decode_alaw, decode_ulaw
from gateway.media.level import LevelMeter


def sine(level_dbfs: float, seconds: float = 1.0, *, rate: int = 8000, hertz: float = 1000.0) -> Samples:
    """A tone whose RMS is so far below 32768."""
    amplitude = 32768 * np.sqrt(2) * 10 ** (level_dbfs / 20)
    wave: Samples = np.rint(amplitude * np.sin(2 * np.pi * hertz / rate * np.arange(round(seconds * rate)))).astype(
        np.int16
    )
    return wave


def measured(*sounds: Samples, rate: int = 8000, frame: int = 160) -> dict[str, float | None]:
    """What a meter says of sounds that came frame by frame."""
    meter = LevelMeter(rate)
    whole = np.concatenate(sounds)
    for at in range(0, len(whole), frame):
        meter.hear(whole[at : at + frame])
    described: dict[str, float | None] = meter.describe()
    return described


@pytest.mark.parametrize("level", [-4.0, -10.0, -26.0, -49.0])
@pytest.mark.parametrize("rate", [8000, 16_000, 48_000])
def test_the_level_of_a_tone_is_its_rms_below_full_scale(level: float, rate: int) -> None:
    described = measured(sine(level, rate=rate), rate=rate, frame=rate // 50)
    assert described["level_dbfs"] == pytest.approx(level, abs=0.11)
    assert described["peak_dbfs"] == pytest.approx(level + 3.0, abs=0.1)
    assert (described["silence_share"], described["clipped_share"]) == (0, 0)


def test_full_scale_is_that_of_a_square_wave() -> None:
    square = np.tile(np.repeat(np.array([32767, -32768], np.int16), 4), 1000)
    described = measured(square)
    assert (described["level_dbfs"], described["peak_dbfs"], described["clipped_share"]) == (0.0, 0.0, 1.0)


def test_silence_does_not_count_into_the_level() -> None:
    described = measured(sine(-20.0), np.zeros(24_000, np.int16))
    assert (described["level_dbfs"], described["silence_share"]) == (-20.0, 0.75)


def test_a_quiet_line_is_silence_and_has_no_level() -> None:
    described = measured(sine(-51.0))
    assert (described["level_dbfs"], described["silence_share"]) == (None, 1.0)
    assert described["peak_dbfs"] == pytest.approx(-48.0, abs=0.1)


@pytest.mark.parametrize(
    "loudest", [decode_ulaw(b"\x80"), decode_ulaw(b"\x00"), decode_alaw(b"\xaa"), decode_alaw(b"\x2a")]
)
def test_the_loudest_codes_of_g711_are_clipped(loudest: Samples) -> None:
    sound = sine(-20.0).copy()
    sound[100:180] = loudest[0]
    assert measured(sound)["clipped_share"] == 0.01


def test_the_codes_below_the_loudest_are_not() -> None:
    almost = [decode_ulaw(b"\x81")[0], decode_ulaw(b"\x01")[0]]
    assert measured(np.array(almost * 800, np.int16))["clipped_share"] == 0


def test_frames_of_any_length_are_measured() -> None:
    assert measured(sine(-20.0), frame=37)["level_dbfs"] == pytest.approx(-20.0, abs=0.1)


def test_describing_changes_nothing() -> None:
    meter = LevelMeter(8000)
    for at in range(0, 8000, 160):
        meter.hear(sine(-20.0)[at : at + 160])
        if at % 800 == 0:
            meter.describe()
    assert meter.describe() == meter.describe() == measured(sine(-20.0))


def test_nothing_heard_is_nothing_measured() -> None:
    nothing = {"level_dbfs": None, "peak_dbfs": None, "clipped_share": None, "silence_share": None}
    assert LevelMeter(8000).describe() == nothing
    assert measured(np.zeros(100, np.int16)) == nothing | {"clipped_share": 0, "silence_share": 1.0}
    assert json.loads(json.dumps(measured(sine(-20.0)))) == measured(sine(-20.0))
