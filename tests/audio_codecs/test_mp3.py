import io

import numpy as np
import pytest

from audio_codecs import CodecError, decode_mp3, encode_mp3, open_codec
from audio_codecs.mp3 import MP3_RATES
from tests.audio_codecs.vectors import read, rms, samples, snr

SPEECH = samples("speech_8000.wav")


@pytest.mark.parametrize(("name", "rate"), [("mp3_8000", 8000), ("mp3_44100", 44100)])
def test_decoding_gives_another_programs_samples(name: str, rate: int) -> None:
    heard, sample_rate = decode_mp3(read(f"{name}.mp3"))
    expected = samples(f"{name}_decoded.s16le")
    assert (sample_rate, len(heard)) == (rate, len(expected))
    assert heard.dtype == np.int16
    assert np.abs(heard.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("rate", MP3_RATES)
@pytest.mark.parametrize("seconds", [0.02, 0.5, 1.0])
def test_a_file_holds_as_many_samples_as_went_in_and_in_their_place(rate: int, seconds: float) -> None:
    sound = np.rint(6000 * np.sin(2 * np.pi * 300 * np.arange(round(seconds * rate)) / rate)).astype(np.int16)
    heard, sample_rate = decode_mp3(encode_mp3(sound, rate))
    assert (sample_rate, len(heard)) == (rate, len(sound))
    if seconds > 0.1:
        assert snr(heard, sound) > 20


def test_speech_stays_what_it_was() -> None:
    codec = open_codec("MP3", 8000)
    assert snr(codec.decode(codec.encode(SPEECH)), SPEECH) > 12


def test_each_file_stands_for_itself() -> None:
    codec = open_codec("MP3", 8000)
    assert codec.encode(SPEECH) == codec.encode(SPEECH) == encode_mp3(SPEECH, 8000)


def test_files_that_follow_each_other_in_one_are_heard_both() -> None:
    heard, _ = decode_mp3(read("mp3_8000.mp3") * 2)
    assert len(heard) > 1.8 * len(SPEECH)


def test_a_damaged_frame_costs_itself() -> None:
    file = bytearray(read("mp3_8000.mp3"))
    file[1200:1210] = b"\xff" * 10
    heard, _ = decode_mp3(bytes(file))
    assert len(heard) > 0.7 * len(SPEECH)
    assert rms(heard) > 0.5 * rms(SPEECH)


def test_a_file_longer_than_allowed_is_refused() -> None:
    file = encode_mp3(np.zeros(16_000, np.int16), 8000)
    assert len(decode_mp3(file, max_seconds=2.1)[0]) == 16_000
    with pytest.raises(CodecError, match=r"longer than 1\.5 s"):
        decode_mp3(file, max_seconds=1.5)


def test_a_file_of_another_rate_is_no_payload_of_this_stream() -> None:
    with pytest.raises(CodecError, match="has 44100 Hz, want 8000"):
        open_codec("MP3", 8000).decode(read("mp3_44100.mp3"))


def test_a_rate_that_mp3_does_not_have_is_refused() -> None:
    with pytest.raises(CodecError, match="MP3 at 9000 Hz"):
        encode_mp3(SPEECH, 9000)


PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"
CONCAT = b"ffconcat version 1.0\nfile /etc/hostname\n"
WAV = io.BytesIO(b"RIFF\x24\x00\x00\x00WAVEfmt ").getvalue() + bytes(200)


@pytest.mark.parametrize("file", [b"", b"x", b"ID3", PLAYLIST, CONCAT, WAV, bytes(10_000), b"\xff" * 10_000])
def test_what_is_no_mp3_is_a_codec_error(file: bytes) -> None:
    with pytest.raises(CodecError, match="MP3"):
        decode_mp3(file)
