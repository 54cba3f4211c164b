"""The queue: everything is stored in the end, whatever fails in between; nothing is taken for stored that is not."""

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import structlog
from structlog.testing import capture_logs

from gateway.errors import StoreError
from gateway.sinks.recorder.complete import Completion
from gateway.sinks.recorder.upload import MARKER, UploadQueue, mark
from gateway.sinks.recorder.wav import claim
from tests.gateway.sinks.recorder.recordings import noise, sidecar
from tests.gateway.sinks.recorder.test_recording import POOL, begun, rows


class Shelf:
    """A store in memory that refuses the first attempts."""

    def __init__(self, *, refuse: int = 0) -> None:
        self.refuse = refuse
        self.objects: dict[str, tuple[bytes, str]] = {}
        self.puts = self.at_once = self.most_at_once = 0

    async def put(self, path: Path, key: str, *, sha256: str, content_type: str) -> str:
        self.puts += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.005)  # long enough for another to begin
        self.at_once -= 1
        if self.refuse:
            self.refuse -= 1
            raise StoreError("503 Slow Down")
        octets = path.read_bytes()
        assert hashlib.sha256(octets).hexdigest() == sha256
        self.objects[key] = octets, content_type
        return f"shelf:{key}"


def final(folder: Path, *, mark: bool = True) -> Path:
    """A recording that is final, and marked as the completing thread does it."""
    recording = begun(folder)
    recording.finish(rows(0, noise(800)), POOL, {})
    recording.release()
    Completion(before_final=lambda place: (place / MARKER).touch() if mark else None).complete(folder)
    return folder


@asynccontextmanager
async def queue(folder: Path, store: Any, **options: Any) -> AsyncIterator[UploadQueue]:
    fields: dict[str, Any] = {"first_wait": 0.001, "longest_wait": 0.002} | options
    async with asyncio.timeout(10), UploadQueue(folder, store, log=structlog.get_logger(), **fields) as uploads:
        yield uploads


def give(uploads: UploadQueue, folder: Path) -> None:
    """What the completing thread does."""
    mark(folder)
    uploads.ready(folder)


async def stored(uploads: UploadQueue, count: int) -> None:
    while uploads.stored < count:  # noqa: ASYNC110 - it has no event for this
        await asyncio.sleep(0.002)


async def test_a_recording_is_stored_with_its_sidecar_and_says_so(tmp_path: Path) -> None:
    folder, shelf = final(tmp_path / "one", mark=False), Shelf()
    async with queue(tmp_path, shelf, clock=lambda: 1000.0) as uploads:
        give(uploads, folder)
        assert (folder / MARKER).exists()
        await stored(uploads, 1)
        assert uploads.describe() == {"uploads_waiting": 0, "uploads_stored": 1, "uploads_failed_attempts": 0}
    sound = (folder / "recording.wav").read_bytes()
    assert shelf.objects["one/recording.wav"] == (sound, "audio/wav")
    text, content_type = shelf.objects["one/recording.json"]
    assert content_type == "application/json"
    assert json.loads(text) == sidecar(folder)
    assert sidecar(folder)["stored"] == {"url": "shelf:one/recording.wav", "at": 1000.0}
    assert sidecar(folder)["state"] == "final"
    assert sorted(path.name for path in folder.iterdir()) == ["recording.json", "recording.wav"]


async def test_what_fails_is_tried_again_until_it_is_there(tmp_path: Path) -> None:
    folder, shelf = final(tmp_path / "one", mark=False), Shelf(refuse=5)
    with capture_logs() as lines:
        async with queue(tmp_path, shelf) as uploads:
            give(uploads, folder)
            await stored(uploads, 1)
            assert uploads.failures == 5
    assert set(shelf.objects) == {"one/recording.wav", "one/recording.json"}
    refused = [line for line in lines if line["event"] == "recording not stored yet"]
    assert [line["attempts"] for line in refused] == [1, 2, 3, 4, 5]
    assert refused[0]["error"] == "StoreError: 503 Slow Down"


async def test_what_waits_outlives_the_process_and_keeps_its_turn(tmp_path: Path) -> None:
    folder, shelf = final(tmp_path / "one", mark=False), Shelf(refuse=1000)
    async with queue(tmp_path, shelf, first_wait=500.0, longest_wait=500.0, clock=lambda: 1000.0) as uploads:
        give(uploads, folder)
        while not uploads.failures:  # noqa: ASYNC110 - as in `stored`
            await asyncio.sleep(0.002)
        await asyncio.sleep(0.02)
    marker = json.loads((folder / MARKER).read_bytes())
    assert (marker["attempts"], marker["error"]) == (1, "StoreError: 503 Slow Down")
    assert 1250 <= marker["not_before"] <= 1750
    shelf.refuse = 0
    async with queue(tmp_path, shelf, clock=lambda: 1200.0) as uploads:
        while not uploads.describe()["uploads_waiting"]:  # noqa: ASYNC110 - as in `stored`
            await asyncio.sleep(0.002)
        await asyncio.sleep(0.02)
        assert uploads.stored == 0  # its time has not come
    async with queue(tmp_path, shelf, clock=lambda: 1800.0) as uploads:
        await stored(uploads, 1)
    assert not (folder / MARKER).exists()


async def test_a_recording_that_is_not_final_waits(tmp_path: Path) -> None:
    recording = begun(tmp_path / "one")
    recording.finish(rows(0, noise(800)), POOL, {})
    recording.release()
    shelf = Shelf()
    async with queue(tmp_path, shelf) as uploads:
        give(uploads, recording.folder)
        while uploads.failures < 3:  # noqa: ASYNC110 - as in `stored`
            await asyncio.sleep(0.002)
        assert not shelf.objects
        Completion().complete(recording.folder)
        uploads.ready(recording.folder)
        await stored(uploads, 1)
    assert set(shelf.objects) == {"one/recording.wav", "one/recording.json"}


async def test_a_recording_that_is_claimed_is_not_forgotten(tmp_path: Path) -> None:
    folder = final(tmp_path / "one")
    claimed = claim(folder / "recording.wav", new=False)  # by who completes it, a moment longer, or by another worker
    shelf = Shelf()
    async with queue(tmp_path, shelf) as uploads:
        give(uploads, folder)
        await asyncio.sleep(0.05)
        assert uploads.describe() == {"uploads_waiting": 1, "uploads_stored": 0, "uploads_failed_attempts": 0}
        os.close(claimed)
        await stored(uploads, 1)
    assert set(shelf.objects) == {"one/recording.wav", "one/recording.json"}


async def test_many_are_stored_two_at_a_time(tmp_path: Path) -> None:
    for number in range(20):
        final(tmp_path / str(number))
    shelf = Shelf()
    async with queue(tmp_path, shelf) as uploads:
        await stored(uploads, 20)
    assert len(shelf.objects) == 40
    assert shelf.most_at_once == 2


async def test_what_several_workers_find_is_stored_once(tmp_path: Path) -> None:
    for number in range(8):
        final(tmp_path / str(number))
    shelf = Shelf()
    async with queue(tmp_path, shelf) as one, queue(tmp_path, shelf) as other:
        while one.stored + other.stored < 8:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
        while one.describe()["uploads_waiting"] or other.describe()["uploads_waiting"]:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
        assert one.failures + other.failures == 0
    assert (len(shelf.objects), shelf.puts, one.stored + other.stored) == (16, 16, 8)
    assert not list(tmp_path.glob(f"*/{MARKER}"))


async def test_a_recording_that_is_deleted_is_told_once(tmp_path: Path) -> None:
    folder, shelf = final(tmp_path / "one", mark=False), Shelf()
    with capture_logs() as lines:
        async with queue(tmp_path, shelf) as uploads:
            give(uploads, folder)
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()
            while uploads.describe()["uploads_waiting"] or not uploads.failures:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
    assert [line["event"] for line in lines] == ["recording is gone before it was stored"]
