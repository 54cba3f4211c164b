"""Sources of every kind, as a play reads them."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audio_codecs import Samples, encode_mp3
from gateway.errors import PlaybackError
from gateway.sound import source as source_module
from gateway.sound.source import Source, read_source, stream_reader
from tests.fakes import noise
from tests.gateway.sound.test_wav import wav


def tone(seconds: float, rate: int) -> Samples:
    time = np.arange(round(seconds * rate)) / rate
    return (10_000 * np.sin(2 * np.pi * 440 * time)).astype(np.int16)


async def heard(source: Source, sample_rate: int | None = None, *, to_rate: int = 8000) -> Samples:
    return np.concatenate([piece async for piece in read_source(source, sample_rate, to_rate=to_rate)])


async def test_a_file_by_its_path_and_by_its_octets(tmp_path: Path) -> None:
    samples = noise(20_000)
    path = tmp_path / "prompt.bin"  # its name says nothing
    path.write_bytes(wav(samples.tobytes()))
    for source in (path, str(path), path.read_bytes()):
        assert np.array_equal(await heard(source), samples)


async def test_an_mp3_file(tmp_path: Path) -> None:
    pytest.importorskip("av")
    path = tmp_path / "prompt"
    path.write_bytes(encode_mp3(tone(2.0, 16_000), 16_000))
    sound = await heard(path)
    assert abs(len(sound) - 16_000) <= 1152
    assert np.corrcoef(sound[4000:8000], tone(2.0, 8000)[4000 - 24 : 8000 - 24])[0, 1] > 0.98


@pytest.mark.parametrize("rate", [8000, 11_025, 24_000, 48_000])
async def test_an_array_is_converted_and_nothing_of_its_end_is_held_back(rate: int) -> None:
    sound = await heard(tone(2.5, rate) / np.float32(32_768), rate)
    delay = 0 if rate == 8000 else 24
    assert abs(len(sound) - 20_000 - delay) <= 1
    expected = tone(2.5, 8000)
    assert np.abs(sound[delay + 100 : 20_000 - 100].astype(int) - expected[100 : 20_000 - 100 - delay]).max() < 200


async def test_a_generator_is_read_as_it_produces_and_closed_at_its_end() -> None:
    closed = []

    async def produce() -> AsyncIterator[Samples]:
        try:
            for number in range(3):
                yield noise(100, seed=number)
        finally:
            closed.append(True)

    assert np.array_equal(await heard(produce(), 8000), np.concatenate([noise(100, seed=n) for n in range(3)]))
    assert closed == [True]


async def test_a_generator_may_give_chunks_of_any_length_and_is_converted_as_one() -> None:
    samples = tone(3.0, 16_000)

    async def produce() -> AsyncIterator[Samples]:
        for piece in np.split(samples, [1, 500, 501, 30_000]):
            yield piece

    assert np.array_equal(await heard(produce(), 16_000), await heard(samples, 16_000))


async def test_a_generator_that_is_left_is_closed() -> None:
    closed = []

    async def produce() -> AsyncIterator[Samples]:
        try:
            while True:
                yield noise(160)
        finally:
            closed.append(True)

    pieces = read_source(produce(), 8000, to_rate=8000)
    await anext(pieces)
    await pieces.aclose()
    assert closed == [True]


async def test_what_iterates_without_being_a_generator_is_read_too() -> None:
    class Chunks:
        def __init__(self) -> None:
            self.left = 2

        def __aiter__(self) -> "Chunks":
            return self

        async def __anext__(self) -> Samples:
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return noise(10)

    assert len(await heard(Chunks(), 8000)) == 20


@pytest.mark.parametrize(
    ("source", "sample_rate", "complaint"),
    [
        ("prompt.wav", 8000, "tells its own sample rate"),
        (noise(10), None, "give sample_rate"),
        (noise(10), 1, "cannot be played"),
        (noise(10), 8001, "cannot be played"),
        ([1, 2, 3], 8000, "not list"),
        (np.zeros(3, np.int64), 8000, "int64"),
    ],
)
def test_what_cannot_be_played_is_refused_at_once(source: Any, sample_rate: int | None, complaint: str) -> None:
    with pytest.raises(PlaybackError, match=complaint):
        read_source(source, sample_rate, to_rate=8000)


@pytest.mark.parametrize(
    ("source", "complaint"),
    [(b"OggS and more", "neither a WAV nor an MP3 file"), ("/no/such/file", "No such file"), (b"", "neither")],
)
async def test_a_file_that_is_no_sound_is_refused_as_it_is_read(source: Source, complaint: str) -> None:
    pieces = read_source(source, None, to_rate=8000)
    with pytest.raises(PlaybackError, match=complaint):
        await anext(pieces)


async def test_a_chunk_that_is_no_sound_is_refused_as_it_comes() -> None:
    async def produce() -> AsyncIterator[Any]:
        yield noise(10)
        yield b"1234"

    pieces = read_source(produce(), 8000, to_rate=8000)
    await anext(pieces)
    with pytest.raises(PlaybackError, match="not bytes"):
        await anext(pieces)


class SlowReader:
    """Sound that comes from another world, a second each time."""

    sample_rate = 8000

    def __init__(self, gate: threading.Event) -> None:
        self.reads = 0
        self.threads: set[int] = set()
        self._gate = gate

    def read(self) -> Samples:
        self.reads += 1
        self.threads.add(threading.get_ident())
        self._gate.wait(5)
        return noise(8000)


async def test_reading_neither_holds_up_the_event_loop_nor_runs_ahead() -> None:
    gate = threading.Event()
    reader = SlowReader(gate)
    pieces = stream_reader(lambda: reader, to_rate=8000)
    reading = asyncio.ensure_future(anext(pieces))
    for _ in range(10):
        await asyncio.sleep(0.001)  # the loop goes on while the thread waits
    assert not reading.done()
    gate.set()
    await reading
    await asyncio.sleep(0.01)
    assert reader.reads == 1
    assert threading.get_ident() not in reader.threads
    await pieces.aclose()


async def test_a_disk_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module, "_READ_TIMEOUT", 0.01)
    gate = threading.Event()
    pieces = stream_reader(lambda: SlowReader(gate), to_rate=8000)
    with pytest.raises(PlaybackError, match=r"within 0\.01 s"):
        await anext(pieces)
    gate.set()
