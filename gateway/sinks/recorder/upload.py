"""Final recordings on their way to an object store. What waits outlives the process: a file in its folder says so.

The file is there before the recording is final, and goes when the recording is known to be in the store, so there is no
moment at which a crash could lose it. The sidecar goes last: where it is in the store, all of the recording is.

Workers share the folder, and one that starts finds what waits for others: who uploads a recording claims its sound.
"""

import asyncio
import hashlib
import heapq
import os
import random
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

import msgspec
from structlog.typing import FilteringBoundLogger

from gateway.errors import StoreError
from gateway.sinks.recorder.sidecar import SIDECAR, read_sidecar, write_sidecar
from gateway.sinks.recorder.wav import claim

__all__ = ["MARKER", "UploadQueue", "mark"]

MARKER: Final = "upload.json"
_AT_ONCE: Final = 2  # recordings
_TYPES: Final = {
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".opus": "audio/ogg",
    ".mp3": "audio/mpeg",
    ".json": "application/json",
}


class _Store(Protocol):
    """Where recordings go; `ObjectStore` is one."""

    async def put(self, path: Path, key: str, *, sha256: str, content_type: str) -> str:
        """Put a file there and make sure that it is; its URL. Raises StoreError."""


class _Marker(msgspec.Struct):
    """What is known of the attempts so far."""

    attempts: int = 0
    not_before: float = 0.0  # Unix time
    error: str | None = None


class UploadQueue:
    """Uploads recordings, two at a time, as long as it takes.

    Args:
        folder: Of all recordings.
        store: Where they go.
        log: Gets a line for each recording, and for each attempt that failed.
        first_wait: Seconds between the first two attempts; each further wait is twice as long, give or take a half.
        longest_wait: Seconds.
        clock: Unix time.

    Attributes:
        stored: How many are in the store.
        failures: How many attempts failed.
    """

    def __init__(
        self,
        folder: Path,
        store: _Store,
        *,
        log: FilteringBoundLogger,
        first_wait: float = 1.0,
        longest_wait: float = 600.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.stored = 0
        self.failures = 0
        self._folder = folder
        self._store = store
        self._log = log
        self._first_wait = first_wait
        self._longest_wait = longest_wait
        self._clock = clock
        self._waiting: list[tuple[float, Path]] = []  # a heap; an entry counts if it is the one that is known
        self._known: dict[Path, float | None] = {}  # whose turn is when; None: it is at work
        self._changed = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._tasks = [asyncio.create_task(self._find_left(), name="uploads left")]
        self._tasks += [asyncio.create_task(self._work(), name=f"upload {number}") for number in range(_AT_ONCE)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    def ready(self, folder: Path) -> None:
        """A recording that was marked is final and may be claimed; from any thread."""
        with suppress(RuntimeError):  # the loop is gone: the next process finds the mark
            self._loop.call_soon_threadsafe(self._push, folder, 0.0)

    def describe(self) -> dict[str, int]:
        """Counters as JSON-ready values."""
        return {
            "uploads_waiting": len(self._known),
            "uploads_stored": self.stored,
            "uploads_failed_attempts": self.failures,
        }

    def _push(self, folder: Path, when: float) -> None:
        if self._known.get(folder, when) is not None:
            self._known[folder] = when
            heapq.heappush(self._waiting, (when, folder))
            self._changed.set()

    async def _find_left(self) -> None:
        """Take up what a former process had to leave."""
        for folder in await asyncio.to_thread(_marked, self._folder):
            if folder not in self._known:
                self._push(folder, (await asyncio.to_thread(_read_marker, folder)).not_before)

    async def _work(self) -> None:
        while True:
            folder = await self._next()
            self._known[folder] = None
            try:
                again = await self._upload(folder)
            except Exception as error:  # noqa: BLE001 - whatever it is, it must cost this attempt and no other
                again = await self._failed(folder, f"{type(error).__name__}: {error}")
            del self._known[folder]
            if again is not None:
                self._push(folder, again)

    async def _next(self) -> Path:
        """Wait for the recording whose turn comes first."""
        while True:
            while self._waiting and self._known.get(self._waiting[0][1]) != self._waiting[0][0]:
                heapq.heappop(self._waiting)  # it was put off, or called earlier
            wait = self._waiting[0][0] - self._clock() if self._waiting else None
            if wait is not None and wait <= 0:
                return heapq.heappop(self._waiting)[1]
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._changed.wait()

    async def _upload(self, folder: Path) -> float | None:
        """Store one; None, or when to look again, where others are at it."""
        values = await asyncio.to_thread(read_sidecar, folder)
        if values.get("state") != "final":
            raise StoreError("the recording is not final yet")
        file = folder / str(values["file"])
        try:
            claimed = await asyncio.to_thread(claim, file, new=False)
        except BlockingIOError:  # by who completes it, a moment longer; or by another worker, which may die of it
            return self._clock() + self._first_wait
        try:
            if await asyncio.to_thread((folder / MARKER).exists):  # else another worker was faster
                await self._store_both(folder, file, values)
        finally:
            os.close(claimed)
        return None

    async def _store_both(self, folder: Path, file: Path, values: dict[str, Any]) -> None:
        url = await self._put(file, values["sha256"])
        values["stored"] = {"url": url, "at": self._clock()}
        await asyncio.to_thread(write_sidecar, folder, values, sync=True)
        digest = hashlib.sha256(await asyncio.to_thread((folder / SIDECAR).read_bytes)).hexdigest()
        await self._put(folder / SIDECAR, digest)
        await asyncio.to_thread((folder / MARKER).unlink)
        self.stored += 1
        self._log.info("recording stored", recording=folder.name, url=url, octets=values["bytes"])

    async def _put(self, path: Path, sha256: str) -> str:
        content_type = _TYPES.get(path.suffix, "application/octet-stream")
        return await self._store.put(path, f"{path.parent.name}/{path.name}", sha256=sha256, content_type=content_type)

    async def _failed(self, folder: Path, error: str) -> float | None:
        """Note it; when the next attempt is to be made, None for never."""
        self.failures += 1
        if not await asyncio.to_thread(folder.is_dir):
            self._log.error("recording is gone before it was stored", recording=folder.name)
            return None
        marker = await asyncio.to_thread(_read_marker, folder)
        marker.attempts += 1
        wait = min(self._longest_wait, self._first_wait * 2 ** min(marker.attempts - 1, 60))
        wait *= random.uniform(0.5, 1.5)  # noqa: S311 - many recordings are not to come back at the same moment
        marker.not_before, marker.error = self._clock() + wait, error[:500]
        with suppress(OSError):  # a full disk: it waits in memory, and after a restart it comes at once
            await asyncio.to_thread(_write_marker, folder, marker)
        log = self._log.bind(recording=folder.name, attempts=marker.attempts)
        log.warning("recording not stored yet", error=marker.error, again_in=round(wait, 1))
        return marker.not_before


def mark(folder: Path) -> None:
    """Have the next queue upload a recording.

    Raises:
        OSError: The disk refused.
    """
    if not (folder / MARKER).exists():
        _write_marker(folder, _Marker())


def _marked(folder: Path) -> list[Path]:
    return sorted(marker.parent for marker in folder.glob(f"*/{MARKER}"))


def _read_marker(folder: Path) -> _Marker:
    try:
        return msgspec.json.decode((folder / MARKER).read_bytes(), type=_Marker)
    except (OSError, msgspec.DecodeError):
        return _Marker()


def _write_marker(folder: Path, marker: Any) -> None:
    part = folder / f"{MARKER}.part"
    part.write_bytes(msgspec.json.encode(marker))
    part.replace(folder / MARKER)
