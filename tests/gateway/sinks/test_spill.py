"""Frames on disk: in order, within their bound, and nothing left behind."""

import asyncio
import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from gateway.media.frame import AudioFrame
from gateway.sinks.spill import Spill
from tests.gateway.sinks.streams import frame, frames, numbers, until


async def taken(spill: Spill) -> list[AudioFrame]:
    """All there is."""
    heard: list[AudioFrame] = []
    while batch := await spill.take():
        heard += batch
    return heard


def put(spill: Spill, first: int, end: int) -> None:
    for one in frames(first, end):
        spill.put(one)


async def test_frames_come_back_as_they_were(tmp_path: Path) -> None:
    spill = Spill(tmp_path, 2**20)
    sound = np.arange(-160, 160, dtype=np.int16)
    sent = [AudioFrame("played", sound, 16_000, 320 * n, bytes([n]), concealed=n % 2 == 1) for n in range(120)]
    for one in sent:
        spill.put(one)
    back = await taken(spill)
    assert len(back) == 120
    for one, other in zip(sent, back, strict=True):
        assert np.array_equal(one.samples, other.samples)
        assert other.samples.dtype == np.int16
        assert (one.track, one.sample_rate, one.timestamp, one.payload, one.concealed) == (
            other.track,
            other.sample_rate,
            other.timestamp,
            other.payload,
            other.concealed,
        )
    assert (spill.waiting, spill.dropped) == (0, 0)
    spill.close()


async def test_reading_and_writing_take_turns_in_order(tmp_path: Path) -> None:
    spill = Spill(tmp_path, 2**20)
    heard: list[AudioFrame] = []
    for begin in range(0, 1000, 100):
        put(spill, begin, begin + 100)
        heard += await spill.take()
    heard += await taken(spill)
    assert numbers(heard) == list(range(1000))
    spill.close()


async def test_beyond_its_bound_the_newest_are_dropped_and_counted(tmp_path: Path) -> None:
    spill = Spill(tmp_path, 100_000)  # a chunk of 50 frames takes some 18 kB
    for begin in range(0, 1000, 50):
        put(spill, begin, begin + 50)
        await asyncio.sleep(0.002)
    heard = numbers(await taken(spill))
    assert heard[:250] == list(range(250))
    assert heard[-50:] == list(range(950, 1000))  # the last second had not been sent to the disk yet
    assert len(heard) + spill.dropped == 1000
    assert len(heard) < 400
    put(spill, 0, 100)
    assert len(await taken(spill)) == 100  # there is room again
    spill.close()


async def test_nothing_of_it_has_a_name_and_the_space_is_given_back(tmp_path: Path) -> None:
    folder = tmp_path / "spill"
    spill = Spill(folder, 200_000)
    put(spill, 0, 400)
    await spill.take()
    assert list(folder.iterdir()) == []
    assert folder.stat().st_mode & 0o777 == 0o700
    assert open_files(folder) > 0
    await taken(spill)
    assert open_files(folder) == 0
    put(spill, 0, 400)
    spill.close()
    await until(lambda: open_files(folder) == 0)


def open_files(folder: Path) -> int:
    """How many files of this folder the process has open, with or without a name."""
    count = 0
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            count += str(link.readlink()).startswith(str(folder))
    return count


async def test_a_folder_that_cannot_be_used_costs_the_frames_and_they_are_counted(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    spill = Spill(tmp_path / "file", 2**20)
    put(spill, 0, 130)
    assert numbers(await taken(spill)) == list(range(100, 130))
    assert (spill.waiting, spill.dropped) == (0, 100)
    spill.close()


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """A disk that is full."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


async def test_a_full_disk_costs_the_newest_frames_and_they_are_counted(tmp_path: Path) -> None:
    spill = Spill(tmp_path, 2**20)
    with no_file_beyond(50_000):
        put(spill, 0, 500)
        heard = numbers(await taken(spill))
    assert heard[:100] == list(range(100))
    assert heard[100:] == list(range(450, 500))
    assert spill.dropped == 350
    spill.close()


async def test_a_disk_that_does_not_answer_does_not_fill_the_memory(tmp_path: Path) -> None:
    spill = Spill(tmp_path, 2**30)
    answers = threading.Event()
    put(spill, 0, 51)  # starts the thread
    thread = spill._thread
    assert thread is not None
    thread.submit(lambda: answers.wait(10))
    put(spill, 51, 5000)
    assert spill.waiting <= 650
    assert spill.waiting + spill.dropped == 5000
    answers.set()
    assert len(await taken(spill)) == 5000 - spill.dropped
    spill.close()


async def test_a_reader_that_gives_up_loses_what_was_on_its_way_and_it_is_counted(tmp_path: Path) -> None:
    spill = Spill(tmp_path, 2**20)
    answers = threading.Event()
    put(spill, 0, 120)
    thread = spill._thread
    assert thread is not None
    thread.submit(lambda: answers.wait(10))
    reading = asyncio.ensure_future(spill.take())
    await asyncio.sleep(0.01)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    answers.set()
    assert numbers(await taken(spill)) == list(range(50, 120))
    assert spill.dropped == 50
    spill.put(frame(1))
    spill.close()
