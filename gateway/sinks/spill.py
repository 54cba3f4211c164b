"""A queue of frames on disk, for the sink that may be late but must get everything.

The event loop never touches the disk: frames are collected in chunks of a second, and one thread writes and reads the
chunks in the order it is told to. The files have no name, so that nothing is left of them after a crash, and nobody
else can open them.
"""

import os
import tempfile
from collections import deque
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import IO, Final

import msgspec

from gateway.media.frame import AudioFrame
from gateway.sinks.packing import PackedFrame, pack, unpack
from gateway.sinks.thread import WorkerThread

__all__ = ["Spill"]

_CHUNK: Final = 50  # frames; a second of one track
_UNWRITTEN: Final = 10  # chunks that may wait in memory for a slow disk
_FILES: Final = 4  # that the space is divided into: what was read is given back file by file


class Spill:
    """Frames in order, the newest in memory, the others on disk.

    Args:
        folder: Where the files lie, made if need be; the system's for temporary files if None.
        max_bytes: How much may wait on disk; then, or while the disk does not take them, the newest are dropped.

    Attributes:
        newest: Those in memory, the newest last.
        waiting: Frames that wait.
        dropped: Frames that there was no room for, or that the disk did not take or give back; what the disk loses is
            known when its turn comes.
    """

    def __init__(self, folder: Path | None, max_bytes: int) -> None:
        self.newest: list[AudioFrame] = []
        self.waiting = 0
        self.dropped = 0
        self._files = _Files(folder, max_bytes)
        self._thread: WorkerThread | None = None
        self._chunks: deque[_Chunk] = deque()

    def put(self, frame: AudioFrame) -> None:
        """Add a frame."""
        if len(self.newest) == _CHUNK:
            if len(self._chunks) >= _UNWRITTEN and not self._chunks[-_UNWRITTEN].tried:
                self.dropped += 1
                return
            self._write(self.newest)
            self.newest = []
        self.newest.append(frame)
        self.waiting += 1

    async def take(self) -> Sequence[AudioFrame]:
        """The oldest frames, a second or so; none when there are none."""
        while self._chunks:
            assert self._thread is not None
            chunk = self._chunks.popleft()
            frames: Sequence[AudioFrame] = ()
            try:
                frames = await self._thread.run(partial(self._files.read, chunk))
            finally:
                self.waiting -= chunk.frames
                self.dropped += chunk.frames - len(frames)
            if frames:
                return frames
        frames, self.newest = self.newest, []
        self.waiting -= len(frames)
        return frames

    def close(self) -> None:
        """Give the disk's space back; nothing may be put or taken any more."""
        if self._thread is not None:
            self._thread.submit(self._files.close)
            self._thread.stop()

    def _write(self, frames: list[AudioFrame]) -> None:
        if self._thread is None:
            self._thread = WorkerThread("spill")
        chunk = _Chunk(len(frames))
        self._chunks.append(chunk)
        self._thread.submit(partial(self._files.write, chunk, frames))


class _Chunk:
    """So many frames, and where they lie: nowhere if they could not be written."""

    __slots__ = ("file", "frames", "length", "offset", "tried")

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self.tried = False
        self.file: _File | None = None
        self.offset = self.length = 0


class _File:
    """A file without a name, which is closed when all that is in it was read."""

    __slots__ = ("file", "size", "unread")

    def __init__(self, folder: Path | None) -> None:
        if folder is not None:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.file: IO[bytes] = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - closed by `_Files`
        self.size = 0
        self.unread = 0


class _Files:
    """Where the chunks lie. Lives in the thread."""

    def __init__(self, folder: Path | None, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._files: deque[_File] = deque()
        self._decoder = msgspec.msgpack.Decoder(list[PackedFrame])

    def write(self, chunk: _Chunk, frames: Sequence[AudioFrame]) -> None:
        try:
            octets = msgspec.msgpack.encode(pack(frames))
            if sum(file.size for file in self._files) + len(octets) > self._max_bytes:
                return
            if not self._files or self._files[-1].size >= self._max_bytes // _FILES:
                self._files.append(_File(self._folder))
            file = self._files[-1]
            if os.pwrite(file.file.fileno(), octets, file.size) != len(octets):
                return  # the disk is full; the next chunk overwrites the part
            chunk.file, chunk.offset, chunk.length = file, file.size, len(octets)
            file.size += len(octets)
            file.unread += 1
        finally:
            chunk.tried = True

    def read(self, chunk: _Chunk) -> Sequence[AudioFrame]:
        file = chunk.file
        if file is None:
            return ()
        try:
            return unpack(self._decoder.decode(os.pread(file.file.fileno(), chunk.length, chunk.offset)))
        finally:
            file.unread -= 1
            if not file.unread:
                file.file.close()
                self._files.remove(file)

    def close(self) -> None:
        while self._files:
            self._files.pop().file.close()
