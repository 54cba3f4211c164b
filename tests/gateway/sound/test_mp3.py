"""MP3 files as LAME writes them through FFmpeg."""

import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio_codecs import Samples
from gateway.errors import PlaybackError
from gateway.sound.mp3 import Mp3Reader, is_mp3
from gateway.sound.octets import open_octets

av = pytest.importorskip("av")

from audio_codecs import encode_mp3  # noqa: E402 - PyAV is there


def tone(seconds: float, rate: int) -> Samples:
    time = np.arange(round(seconds * rate)) / rate
    return (8000 * np.sin(2 * np.pi * 440 * time)).astype(np.int16)


def read(file: bytes) -> tuple[list[Samples], int]:
    reader = Mp3Reader(open_octets(file))
    pieces = []
    while len(piece := reader.read()):
        pieces.append(piece)
    return pieces, reader.sample_rate


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100])
def test_a_file_is_read_a_second_at_a_time_to_its_true_length(rate: int) -> None:
    samples = tone(3.3, rate)
    file = encode_mp3(samples, rate)
    assert is_mp3(file[:4])
    pieces, heard_rate = read(file)
    heard = np.concatenate(pieces)
    assert heard_rate == rate
    assert abs(len(heard) - len(samples)) <= 1152
    assert all(rate <= len(piece) <= rate + 1152 for piece in pieces[:-1])
    middle = slice(rate // 2, rate)
    assert np.corrcoef(heard[middle], samples[middle])[0, 1] > 0.99


@pytest.mark.parametrize(
    "head", [b"ID3\x04", b"\xff\xfb\x90\x00", b"\xff\xf3\x40\x00", b"\xff\xe3\x18\xc4"], ids=["tag", "1", "2", "2.5"]
)
def test_mp3_is_known_by_its_beginning(head: bytes) -> None:
    assert is_mp3(head)


@pytest.mark.parametrize("head", [b"", b"\xff", b"RIFF", b"\xff\xf1\x50\x80", b"OggS"], ids=repr)
def test_what_begins_otherwise_is_no_mp3(head: bytes) -> None:
    assert not is_mp3(head)


def test_damaged_frames_are_left_out() -> None:
    file = bytearray(encode_mp3(tone(5.0, 16_000), 16_000))
    file[5000:5200] = bytes(200)
    pieces, _ = read(bytes(file))
    assert 4.0 <= sum(map(len, pieces)) / 16_000 <= 5.2


@given(st.binary(max_size=300))
def test_no_octets_whatever_raise_anything_else(tail: bytes) -> None:
    for file in (tail, b"\xff\xfb\x90\x00" + tail, b"ID3\x04\0\0\0\0\0\x10" + tail):
        try:
            read(file)
        except PlaybackError:
            continue


def test_without_pyav_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    modules: Any = sys.modules
    monkeypatch.setitem(modules, "av", None)
    with pytest.raises(PlaybackError, match=r"telnyx-media-gateway\[codecs\]"):
        Mp3Reader(open_octets(b"\xff\xfb\x90\x00"))
