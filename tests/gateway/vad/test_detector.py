"""The sink that tells when somebody speaks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio_codecs import Samples
from gateway import AudioFrame, Call, SpeechEnded, SpeechStarted
from gateway.errors import ConfigError
from gateway.vad.detector import SpeechDetector
from tests.fakes import FakeLine, acting, settle


class Loudness:
    """Takes everything for speech that is not silence."""

    def __init__(self, sample_rate: int = 8000, hop: int = 160) -> None:
        self.sample_rate = sample_rate
        self.hop = hop
        self.hops = 0
        self.resets = 0

    def is_speech(self, samples: Samples) -> bool:
        assert len(samples) == self.hop
        self.hops += 1
        return bool(samples.any())

    def reset(self) -> None:
        self.resets += 1


def sound(*lengths: int) -> Samples:
    """Silence and sound in turns, in samples."""
    return np.concatenate([np.full(length, 1000 * (number % 2), np.int16) for number, length in enumerate(lengths)])


def hear(
    samples: Samples, *, vad: Loudness | None = None, pieces: list[int] | None = None, rate: int = 8000
) -> list[SpeechStarted | SpeechEnded]:
    told: list[SpeechStarted | SpeechEnded] = []
    detector = SpeechDetector(vad or Loudness(), told.append, inbound_sample_rate=rate, silence=0.2)
    at, sizes = 0, iter(pieces or [])
    while at < len(samples):
        length = next(sizes, 160)
        detector.write(AudioFrame("inbound", samples[at : at + length], 8000, at))
        at += length
    return told


def test_beginning_and_end_are_told_in_samples_of_the_call() -> None:
    assert hear(sound(1600, 3200, 3200)) == [SpeechStarted(1600), SpeechEnded(4800)]


@settings(deadline=None)
@given(st.lists(st.integers(1, 700), max_size=40))
def test_how_the_sound_is_cut_into_frames_makes_no_difference(pieces: list[int]) -> None:
    samples = sound(1600, 3200, 3200)
    assert hear(samples, pieces=pieces) == hear(samples)


def test_hops_of_another_length_are_judged_whole() -> None:
    assert hear(sound(2560, 2560, 5120), vad=Loudness(hop=256)) == [SpeechStarted(2560), SpeechEnded(5120)]


def test_positions_count_in_the_rate_of_the_call_and_not_of_the_detector() -> None:
    told: list[SpeechStarted | SpeechEnded] = []
    detector = SpeechDetector(Loudness(16_000, 320), told.append, inbound_sample_rate=24_000, silence=0.2)
    assert detector.delivery.sample_rate == 16_000
    samples = sound(3200, 6400, 6400)
    for at in range(0, len(samples), 320):
        detector.write(AudioFrame("inbound", samples[at : at + 320], 16_000, at))
    assert told == [SpeechStarted(4800), SpeechEnded(14_400)]


def test_a_call_at_the_detectors_own_rate_is_not_converted() -> None:
    assert SpeechDetector(Loudness(), print, inbound_sample_rate=8000).delivery.sample_rate is None


def test_a_long_hole_is_silence_that_nobody_judges() -> None:
    told: list[SpeechStarted | SpeechEnded] = []
    vad = Loudness()
    detector = SpeechDetector(vad, told.append, inbound_sample_rate=8000, silence=0.2)
    detector.write(AudioFrame("inbound", sound(0, 800), 8000, 0))
    hole = np.zeros(8000 * 60 + 7, np.int16)
    detector.write(AudioFrame("inbound", hole, 8000, 800, concealed=True))
    assert told == [SpeechStarted(0), SpeechEnded(800)]
    assert (vad.hops, vad.resets) == (5, 1)
    detector.write(AudioFrame("inbound", sound(0, 1600), 8000, 800 + len(hole)))
    assert told[2:] == [SpeechStarted(800 + 8000 * 60)]  # to the hop
    assert detector.describe() == {"detector": "Loudness", "speech_stretches": 2}


def test_a_sink_that_joins_late_counts_from_the_calls_beginning() -> None:
    told: list[SpeechStarted | SpeechEnded] = []
    detector = SpeechDetector(Loudness(), told.append, inbound_sample_rate=8000)
    detector.write(AudioFrame("inbound", sound(160, 800), 8000, 16_000))
    assert told == [SpeechStarted(16_160)]


@pytest.mark.parametrize("silence", [0.0, 11.0, float("nan")])
def test_a_silence_out_of_range_is_refused(silence: float) -> None:
    with pytest.raises(ValueError, match="silence is"):
        SpeechDetector(Loudness(), print, inbound_sample_rate=8000, silence=silence)


async def test_a_call_that_was_asked_tells_its_agent() -> None:
    told: list[object] = []

    async def listen(call: Call) -> None:
        call.detect_speech("energy", silence=0.2)
        told.extend([item async for item in call if not isinstance(item, AudioFrame)])

    line = FakeLine(agent=acting(listen))
    async with line.running():
        quiet, loud = b"\xff" * 160, bytes([0x10, 0x90] * 80)
        line.say(*[quiet] * 5, *[loud] * 10, *[quiet] * 12)
        await settle()
    assert told == [SpeechStarted(800), SpeechEnded(2400)]


async def test_a_detector_that_there_is_not_is_an_error_of_the_agent() -> None:
    line = FakeLine()
    async with line.running():
        with pytest.raises(ConfigError, match="there is no such detector; there are: auto, webrtc, silero, energy"):
            line.call.detect_speech("magic")
