import sys

import numpy as np
import pytest

from audio_codecs import CodecError, Samples, Wire, missing_codecs, open_codec
from tests.audio_codecs.vectors import rms

TABLE = [
    # encoding, clock rate, sample rate, octets of 20 ms
    ("PCMU", 8000, 8000, 160),
    ("PCMA", 8000, 8000, 160),
    ("L16", 8000, 8000, 320),
    ("L16", 16000, 16000, 640),
    ("L16", 22050, 22050, 882),
    ("L16", 24000, 24000, 960),
    ("L16", 48000, 48000, 1920),
    ("G722", 8000, 16000, 160),
    ("G722", 16000, 16000, 160),
    ("OPUS", 8000, 8000, None),
    ("OPUS", 16000, 16000, None),
    ("OPUS", 24000, 24000, None),
    ("OPUS", 48000, 48000, None),
    ("AMR-WB", 8000, 16000, 33),
    ("AMR-WB", 16000, 16000, 33),
    ("MP3", 8000, 8000, None),
    ("MP3", 44100, 44100, None),
]
NEED_PYAV = ["G722", "OPUS", "AMR-WB", "MP3"]


def tone(sample_rate: int, seconds: float) -> Samples:
    """400 Hz."""
    wave: Samples = np.rint(8000 * np.sin(2 * np.pi * 400 * np.arange(round(seconds * sample_rate)) / sample_rate))
    return wave.astype(np.int16)


@pytest.mark.parametrize(("encoding", "clock_rate", "sample_rate", "octets"), TABLE)
def test_every_codec_of_the_table_encodes_and_decodes_20_ms_at_a_time(
    encoding: str, clock_rate: int, sample_rate: int, octets: int | None
) -> None:
    try:
        sender = open_codec(encoding, clock_rate, to_send=True)
    except CodecError as error:
        pytest.skip(str(error))
    receiver = open_codec(encoding, clock_rate)
    assert (sender.encoding, sender.sample_rate) == (encoding, sample_rate)
    frame = sample_rate // 50
    sound = tone(sample_rate, 0.4)
    payloads = [sender.encode(sound[at : at + frame]) for at in range(0, 20 * frame, frame)]
    assert octets is None or {len(payload) for payload in payloads} == {octets}
    pieces = [receiver.decode(payload) for payload in payloads]
    assert {(piece.dtype.str[1:], piece.shape) for piece in pieces} == {("i2", (frame,))}
    heard = np.concatenate(pieces[10:])
    assert 0.5 < rms(heard) / (8000 / np.sqrt(2)) < 1.15
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
    assert np.argmax(spectrum) * sample_rate / len(heard) == pytest.approx(400, abs=6)


@pytest.mark.parametrize(
    ("encoding", "clock_rate", "saying"),
    [
        ("PCMU", 16000, "PCMU at 16000 Hz"),
        ("PCMA", 48000, "PCMA at 48000 Hz"),
        ("L16", 44100, "L16 at 44100 Hz"),
        ("L16", 0, "L16 at 0 Hz"),
        ("G722", 48000, "G722 at 48000 Hz"),
        ("OPUS", 44100, "OPUS at 44100 Hz"),
        ("AMR-WB", 48000, "AMR-WB at 48000 Hz"),
        ("MP3", 9000, "MP3 at 9000 Hz"),
        ("pcmu", 8000, "no codec for 'pcmu'"),
        ("G729", 8000, "there are PCMU, PCMA, L16, G722, OPUS, AMR-WB, MP3"),
        ("", 8000, "no codec for ''"),
    ],
)
def test_what_is_not_in_the_table_is_a_codec_error_that_names_it(encoding: str, clock_rate: int, saying: str) -> None:
    with pytest.raises(CodecError, match=saying):
        open_codec(encoding, clock_rate)


def test_a_hostile_name_is_cut_short_in_the_error() -> None:
    with pytest.raises(CodecError) as caught:
        open_codec("x" * 100_000, 8000)
    assert len(str(caught.value)) < 140


@pytest.mark.parametrize("encoding", NEED_PYAV)
def test_without_pyav_a_codec_that_needs_it_says_what_to_install(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)  # what `import av` meets where it is not installed
    with pytest.raises(CodecError, match=rf'^{encoding} needs PyAV.*pip install "telnyx-media-gateway\[codecs\]"'):
        open_codec(encoding, 8000)


@pytest.mark.parametrize("encoding", ["PCMU", "PCMA", "L16"])
def test_without_pyav_the_others_work(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    codec = open_codec(encoding, 8000, to_send=True)
    assert len(codec.decode(codec.encode(tone(8000, 0.02)))) == 160


def test_what_is_missing_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(missing_codecs()) <= {"AMR-WB"}, "the rest is there where these tests run"
    monkeypatch.setitem(sys.modules, "av", None)
    missing = missing_codecs()
    assert list(missing) == NEED_PYAV
    assert all("pip install" in what for what in missing.values())


def test_the_byte_order_is_only_asked_of_l16() -> None:
    samples = np.array([0x0102], np.int16)
    assert open_codec("L16", 8000, wire=Wire("little")).encode(samples) == b"\x02\x01"
    assert open_codec("L16", 8000, wire=Wire("big")).encode(samples) == b"\x01\x02"
    assert open_codec("L16", 8000, wire=Wire("big")).decode(b"\x01\x02").tolist() == [0x0102]
    sound = tone(8000, 0.02)
    assert open_codec("PCMU", 8000, wire=Wire("big")).encode(sound) == open_codec("PCMU", 8000).encode(sound)


@pytest.mark.parametrize("encoding", ["G722", "OPUS", "AMR-WB"])
@pytest.mark.parametrize("count", [1, 100, 319])
def test_half_a_frame_is_a_codec_error_and_does_no_harm(encoding: str, count: int) -> None:
    try:
        codec = open_codec(encoding, 16000, to_send=True)
    except CodecError as error:
        pytest.skip(str(error))
    with pytest.raises(CodecError, match=str(count)):
        codec.encode(np.zeros(count, np.int16))
    assert codec.encode(tone(16000, 0.02))


@pytest.mark.parametrize("encoding", ["PCMU", "PCMA", "L16", "G722", "OPUS", "AMR-WB", "MP3"])
def test_samples_that_are_a_view_with_steps_encode_like_a_copy(encoding: str) -> None:
    try:
        one, other = open_codec(encoding, 8000, to_send=True), open_codec(encoding, 8000)
    except CodecError as error:
        pytest.skip(str(error))
    sound = tone(8000, 0.2)[: 4 * one.sample_rate // 50]
    assert one.encode(sound[::2][: one.sample_rate // 50]) == other.encode(sound[::2][: one.sample_rate // 50].copy())
