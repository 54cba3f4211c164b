"""The detectors on recorded speech: what they find, and what they let pass."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audio_codecs import Samples, decode_ulaw, encode_ulaw
from gateway.errors import ConfigError
from gateway.vad.base import VoiceDetector
from gateway.vad.choose import open_vad
from gateway.vad.silero import SileroVad, load_network
from tests.gateway.sinks.recorder.recordings import read_wav

SPEECH = read_wav(Path(__file__).parents[3] / "examples" / "speech" / "booking.wav")[:, 0]


def network_is_there() -> bool:
    try:
        load_network()
    except ConfigError:
        return False
    return True


DETECTORS = [
    "energy",
    "webrtc",
    pytest.param("silero", marks=pytest.mark.skipif(not network_is_there(), reason="silero is not installed")),
]


def judge(vad: VoiceDetector, samples: Samples) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    starts = range(0, len(samples) - vad.hop + 1, vad.hop)
    return np.array([vad.is_speech(samples[at : at + vad.hop]) for at in starts])


def on_the_telephone(samples: Samples, noise: float) -> Samples:
    noisy = samples + np.random.default_rng(1).normal(0, noise, len(samples))
    return decode_ulaw(encode_ulaw(np.clip(noisy, -32768, 32767).astype(np.int16)))


@pytest.mark.parametrize("noise", [0, 200])
@pytest.mark.parametrize("name", DETECTORS)
def test_speech_is_found_and_silence_is_not_speech(name: str, noise: float) -> None:
    silence = np.zeros(16_000, np.int16)
    samples = on_the_telephone(np.concatenate((silence, SPEECH, silence)), noise)
    vad = open_vad(name, 8000)
    judged = judge(vad, samples)
    begin, end = 16_000 // vad.hop, (16_000 + len(SPEECH) - 4000) // vad.hop
    assert judged[begin:end].mean() > 0.55
    quiet = np.concatenate((judged[5:begin], judged[end + 8000 // vad.hop :]))  # the first tenth of a second teaches
    assert quiet.mean() < 0.05


@pytest.mark.parametrize("name", ["energy", "webrtc"])
def test_it_begins_anew_after_a_reset(name: str) -> None:
    vad = open_vad(name, 8000)
    first = judge(vad, SPEECH[:16_000])
    vad.reset()
    assert np.array_equal(judge(vad, SPEECH[:16_000]), first)


@pytest.mark.parametrize(
    ("name", "rate", "hears"),
    [
        ("webrtc", 8000, 8000),
        ("webrtc:?mode=1", 16_000, 16_000),
        ("webrtc", 24_000, 16_000),
        ("webrtc", 22_050, 16_000),
        ("energy", 22_050, 22_050),
    ],
)
def test_a_detector_takes_the_calls_rate_or_the_next_below(name: str, rate: int, hears: int) -> None:
    vad = open_vad(name, rate)
    assert vad.sample_rate == hears
    assert isinstance(vad.is_speech(np.zeros(vad.hop, np.int16)), bool)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("loud", "there is no such detector"),
        ("", "it has no name"),
        ("webrtc:?mode=4", "mode is '4', want 0 to 3"),
        ("webrtc:?modus=1", "it has no option 'modus'; it has: mode"),
        ("webrtc:file", "it takes nothing behind its name"),
        ("energy:?mode=1", "it has no option 'mode'; it has: none"),
        ("silero:?threshold=2", "threshold is 2, want more than 0 and less than 1"),
        ("silero:?threshold=x", "could not convert"),
        ("silero:/no/such/file.onnx", "cannot be loaded|vad-silero"),
    ],
)
def test_what_is_no_detector_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        open_vad(text, 8000)


def test_without_its_package_webrtc_says_what_to_install_and_auto_does_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "webrtcvad", None)
    with pytest.raises(ConfigError, match=r"pip install 'telnyx-media-gateway\[vad\]'"):
        open_vad("webrtc", 8000)


def test_auto_is_webrtc_where_it_is_installed_and_energy_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(open_vad("auto", 8000)).__name__ == "WebRtcVad"
    monkeypatch.setattr("gateway.vad.choose.find_spec", lambda name: None)
    assert type(open_vad("auto", 8000)).__name__ == "EnergyVad"


class FakeNetwork:
    """Says what it is told to say, and keeps what it was asked."""

    def __init__(self, answer: Callable[[int], float]) -> None:
        self.asked: list[dict[str, Any]] = []
        self._answer = answer

    def run(self, output_names: None, input_feed: dict[str, Any], /) -> Any:
        self.asked.append({name: value.copy() for name, value in input_feed.items()})
        number = len(self.asked)
        return np.array([[self._answer(number)]], np.float32), np.full((2, 1, 128), number, np.float32)


@pytest.mark.parametrize(("rate", "hop", "context"), [(8000, 256, 32), (16_000, 512, 64)])
def test_silero_is_given_the_hop_behind_the_last_samples_and_what_it_remembered(
    rate: int, hop: int, context: int
) -> None:
    network = FakeNetwork(lambda number: 0.4 if number == 1 else 0.6)
    vad = SileroVad(network, rate)
    samples = np.arange(2 * hop, dtype=np.int16)
    assert judge(vad, samples).tolist() == [False, True]
    first, second = network.asked
    assert first["input"].shape == (1, context + hop)
    assert not first["input"][0, :context].any()
    assert np.allclose(first["input"][0, context:], samples[:hop] / 32768)
    assert np.allclose(second["input"][0, :context], samples[hop - context : hop] / 32768)
    assert not first["state"].any()
    assert (second["state"] == 1).all()
    assert second["sr"] == rate
    vad.reset()
    vad.is_speech(samples[:hop])
    assert not network.asked[2]["state"].any()
    assert np.array_equal(network.asked[2]["input"], first["input"])
