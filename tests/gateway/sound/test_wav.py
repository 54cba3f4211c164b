"""WAV files as FFmpeg writes them, and files as nobody should."""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio_codecs import Samples, decode_alaw, decode_ulaw, encode_alaw, encode_ulaw
from gateway.errors import PlaybackError
from gateway.sound.octets import open_octets
from gateway.sound.wav import WavReader
from tests.fakes import noise

SPEECH = Path(__file__).parents[3] / "examples" / "speech" / "booking.wav"


def chunk(name: bytes, body: bytes, size: int | None = None) -> bytes:
    return name + struct.pack("<I", len(body) if size is None else size) + body + b"\0" * (len(body) % 2)


def wav(
    data: bytes,
    *,
    tag: int = 1,
    channels: int = 1,
    rate: int = 8000,
    bits: int = 16,
    block: int | None = None,
    size: int | None = None,
    more: bytes = b"",
) -> bytes:
    """A WAV file by hand."""
    block = channels * bits // 8 if block is None else block
    body = struct.pack("<HHIIHH", tag, channels, rate, (rate * block) % 2**32, block, bits) + more
    return b"RIFF\0\0\0\0WAVE" + chunk(b"fmt ", body) + chunk(b"data", data, size)


def written_by_ffmpeg(codec: str, samples: Any, rate: int, layout: str = "mono", container: str = "wav") -> bytes:
    """Encode int16 samples, shape (n, channels), with FFmpeg."""
    av = pytest.importorskip("av")
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate)
        stream.layout = layout
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples).reshape(1, -1), format="s16", layout=layout)
        frame.sample_rate = rate
        for packet in (*stream.encode(frame), *stream.encode(None)):
            output.mux(packet)
    return file.getvalue()


def read(file: bytes) -> tuple[Samples, int]:
    reader = WavReader(open_octets(file))
    pieces = []
    while len(piece := reader.read()):
        assert len(piece) <= reader.sample_rate
        pieces.append(piece)
    return np.concatenate(pieces or [np.zeros(0, np.int16)]), reader.sample_rate


@pytest.mark.parametrize(
    ("codec", "step"),
    [("pcm_u8", 256), ("pcm_s16le", 0), ("pcm_s24le", 0), ("pcm_s32le", 0), ("pcm_f32le", 0), ("pcm_f64le", 0)],
)
@pytest.mark.parametrize("rate", [8000, 11_025, 44_100])
def test_what_ffmpeg_writes_is_read_to_the_sample(codec: str, step: int, rate: int) -> None:
    samples = noise(3 * rate // 2)
    heard, heard_rate = read(written_by_ffmpeg(codec, samples, rate))
    assert heard_rate == rate
    assert len(heard) == len(samples)
    assert np.abs(heard.astype(int) - samples).max() <= step


@pytest.mark.parametrize(
    ("codec", "through"),
    [
        ("pcm_mulaw", lambda samples: decode_ulaw(encode_ulaw(samples))),
        ("pcm_alaw", lambda samples: decode_alaw(encode_alaw(samples))),
    ],
)
def test_g711_in_wav_is_read(codec: str, through: Any) -> None:
    samples = noise(8000)
    heard, _ = read(written_by_ffmpeg(codec, samples, 8000))
    # The two encoders choose neighbouring levels at the borders between them.
    assert np.mean(heard != through(samples)) < 0.05
    assert np.abs(heard.astype(int) - samples).max() <= 1024


@pytest.mark.parametrize(("layout", "channels"), [("stereo", 2), ("5.1", 6)])
def test_channels_are_mixed_to_one(layout: str, channels: int) -> None:
    samples = np.stack([noise(8000, seed=number) for number in range(channels)], axis=1)
    heard, _ = read(written_by_ffmpeg("pcm_s16le", samples, 16_000, layout))
    assert np.abs(heard - samples.mean(axis=1)).max() <= 0.5


def test_a_format_by_guid_is_read_as_well() -> None:
    guid = struct.pack("<HHIH", 22, 16, 4, 3) + bytes.fromhex("000000001000800000aa00389b71")
    values = np.array([0.5, -0.25, 2.0, -2.0, np.nan], "<f4")
    heard, _ = read(wav(values.tobytes(), tag=0xFFFE, bits=32, more=guid))
    assert heard.tolist() == [16_384, -8192, 32_767, -32_768, 0]


def test_the_recorded_sentence_is_read() -> None:
    reader = WavReader(open_octets(SPEECH))
    assert reader.sample_rate == 8000
    assert len(reader.read()) == 8000


def test_chunks_that_are_not_ours_are_passed_over() -> None:
    file = wav(noise(100).tobytes())
    file = file[:12] + chunk(b"LIST", b"odd") + chunk(b"junk", bytes(1000)) + file[12:] + chunk(b"cue ", bytes(4))
    heard, _ = read(file)
    assert np.array_equal(heard, noise(100))


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 10**9])
def test_a_file_without_a_true_length_ends_where_it_ends(size: int) -> None:
    heard, _ = read(wav(noise(20_000).tobytes(), size=size))
    assert np.array_equal(heard, noise(20_000))


def test_half_a_sample_at_the_end_is_left_out() -> None:
    heard, _ = read(wav(noise(100).tobytes())[:-1])
    assert np.array_equal(heard, noise(100)[:99])


def test_a_file_without_samples_has_no_sound() -> None:
    heard, _ = read(wav(b""))
    assert len(heard) == 0


@pytest.mark.parametrize(
    ("file", "complaint"),
    [
        (b"", "not a WAV file"),
        (b"RIFX\0\0\0\0WAVE", "not a WAV file"),
        (b"RIFF\0\0\0\0AVI ", "not a WAV file"),
        (b"RIFF\0\0\0\0WAVE", "no sound"),
        (b"RIFF\0\0\0\0WAVE" + 200 * chunk(b"junk", b""), "no sound"),
        (b"RIFF\0\0\0\0WAVE" + chunk(b"data", b"1234"), "no format before its sound"),
        (b"RIFF\0\0\0\0WAVE" + chunk(b"fmt ", b"12") + chunk(b"data", b"1234"), "no format before its sound"),
        (wav(b"", channels=0, block=0), "0 channels"),
        (wav(b"", channels=9), "9 channels, want 1 to 8"),
        (wav(b"", rate=100), "100 Hz, want 4000 to 192000"),
        (wav(b"", rate=2**31), "Hz"),
        (wav(b"", tag=2, bits=4), "format 2 with 4 bits"),
        (wav(b"", tag=1, bits=12), "format 1 with 12 bits"),
        (wav(b"", tag=0xFFFE, more=bytes(24)), "format 65534"),
        (wav(b"", block=3), "3 octets for 1 samples of 16 bits"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_reason(file: bytes, complaint: str) -> None:
    with pytest.raises(PlaybackError, match=complaint):
        WavReader(open_octets(file))


@given(st.binary(max_size=200))
def test_no_octets_whatever_raise_anything_else(tail: bytes) -> None:
    for file in (tail, b"RIFF\0\0\0\0WAVE" + tail, wav(tail), wav(tail, tag=0xFFFE, more=tail[:24])):
        try:
            read(file)
        except PlaybackError:
            continue
