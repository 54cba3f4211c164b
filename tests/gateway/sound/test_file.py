"""Sound as one MP3 file."""

from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from audio_codecs import Samples, decode_mp3, encode_mp3, open_codec
from gateway.errors import PlaybackError
from gateway.sound import file as file_module
from gateway.sound.file import SoundFile, pack, read_file
from gateway.sound.source import Source
from tests.gateway.sound.test_source import tone
from tests.gateway.sound.test_wav import wav

pytest.importorskip("av")


async def packed(source: Source, sample_rate: int | None = None) -> SoundFile:
    (file,) = [file async for file in read_file(source, sample_rate, codec=open_codec("MP3", 8000))]
    return file


async def test_an_mp3_file_goes_as_it_is(tmp_path: Path) -> None:
    octets = encode_mp3(tone(1.0, 16_000), 16_000)
    path = tmp_path / "prompt.mp3"
    path.write_bytes(octets)
    for source in (octets, path):
        file = await packed(source)
        assert file.octets == octets
        assert len(file.samples) % 160 == 0
        assert abs(len(file.samples) - 8000) <= 160 + 1152


async def test_anything_else_is_read_whole_and_encoded() -> None:
    async def produce() -> AsyncIterator[Samples]:
        for piece in np.split(tone(1.5, 8000), 5):
            yield piece

    whole = tone(1.5, 8000)
    for source, sample_rate in ((wav(whole.tobytes()), None), (whole, 8000), (produce(), 8000)):
        file = await packed(source, sample_rate)
        assert np.array_equal(file.samples, whole)
        heard, rate = decode_mp3(file.octets)
        assert rate == 8000
        assert np.corrcoef(heard[2000:10_000], whole[2000:10_000])[0, 1] > 0.95


async def test_nothing_makes_no_file() -> None:
    assert [file async for file in read_file(np.zeros(0, np.int16), 8000, codec=open_codec("MP3", 8000))] == []


async def test_what_is_too_large_or_too_long_or_no_sound_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def endless() -> AsyncIterator[Samples]:
        while True:
            yield np.zeros(80_000, np.int16)

    with pytest.raises(PlaybackError, match=r"not an MP3 file|without sound"):
        await packed(b"\xff\xfb\x90\x00" + bytes(100))
    with pytest.raises(PlaybackError, match="neither"):
        await packed(b"OggS")
    with pytest.raises(PlaybackError, match="longer than 600 s"):
        await packed(endless(), 8000)
    octets = encode_mp3(tone(1.0, 8000), 8000)
    monkeypatch.setattr(file_module, "_MAX_OCTETS", len(octets) - 1)
    with pytest.raises(PlaybackError, match="that fit into one message"):
        await packed(octets)
    with pytest.raises(PlaybackError, match="that fit into one message"):
        await packed(tone(1.0, 8000), 8000)


async def test_sound_that_fails_closes_its_source() -> None:
    closed = []

    async def produce() -> AsyncGenerator[Samples]:
        try:
            yield np.zeros(10, np.int16)
            raise OSError("gone")
        finally:
            closed.append(True)

    with pytest.raises(OSError, match="gone"):
        await anext(pack(produce(), codec=open_codec("MP3", 8000)))
    assert closed == [True]
