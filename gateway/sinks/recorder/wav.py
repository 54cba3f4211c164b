"""The file of a recording while it grows: a WAV that can be played at any moment.

One write takes what was heard since the last one: the samples, and nothing else, as each further call of the system
costs the event loop a turn of the interpreter's lock. So the header is right only in the end; until then it says that
the sound goes on to the end of the file.
"""

import fcntl
import os
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from gateway.sinks.recorder.encoding import FileFormat, Heard, Rows
from gateway.sinks.recorder.riff import read_header, wav_header

__all__ = ["SoundFile", "WavFile", "claim"]

_PIECE: Final = 1 << 18  # octets of silence written at once


class SoundFile(Protocol):
    """A file of sound while it is recorded.

    Attributes:
        samples: How long it is.
    """

    samples: int

    def write(self, position: int, heard: Heard) -> None:
        """Put what was heard at a position, over what stands there. What was never written is silence.

        Raises:
            OSError: The disk refused.
        """

    def add(self, position: int, track: int, sound: Rows) -> None:
        """Put sound of one track, shape (n,), where that track is silent so far.

        Raises:
            OSError: The disk refused.
        """

    def finish(self) -> None:
        """Make the file final.

        Raises:
            OSError: The disk refused.
        """

    def sync(self) -> None:
        """Wait until everything that was written would outlive a power cut.

        Raises:
            OSError: The disk refused.
        """

    def close(self) -> None:
        """Let the file go, for others to touch."""


class WavFile:
    """A `SoundFile` that anybody can play.

    Args:
        path: Its place. Made with mode 0600, as a recording is private.
        sound: What it holds.
        repair: The file is there, left behind by a process that is gone; it keeps the sound that is in it.

    Raises:
        OSError: It cannot be made; BlockingIOError if another process writes it.
        FileExistsError: There is a file, and none to be repaired.
    """

    def __init__(self, path: Path, sound: FileFormat, *, repair: bool = False) -> None:
        self.samples = 0
        self._sound = sound
        self._offset = len(wav_header(sound, None))
        self._descriptor = claim(path, new=not repair)
        try:
            if repair:
                self.samples = read_header(path).data_bytes // sound.frame_bytes
            else:
                self._write_at(0, wav_header(sound, None))
        except OSError:
            os.close(self._descriptor)
            raise

    @property
    def size(self) -> int:
        """Length of the file once it is finished, in octets."""
        data_bytes = self.samples * self._sound.frame_bytes
        return self._offset + data_bytes + data_bytes % 2

    def write(self, position: int, heard: Heard) -> None:
        """See `SoundFile`."""
        self.put(position, self._sound.rows(heard))

    def put(self, position: int, rows: Rows) -> None:
        """Put rows of the file at a position, over what stands there.

        Raises:
            OSError: The disk refused.
        """
        self._fill_to(position)
        self._write_at(self._place(position), rows.data)
        end = position + len(rows)
        if end > self.samples:
            self.samples = end

    def add(self, position: int, track: int, sound: Rows) -> None:
        """See `SoundFile`."""
        self.put(position, self._sound.merged(self.read(position, len(sound)), track, sound))

    def read(self, position: int, length: int) -> Rows:
        """Rows as they stand there, silence where nothing was written yet.

        Raises:
            OSError: The disk refused.
        """
        rows = self._sound.silence(length)
        standing = min(length, self.samples - position)
        if standing > 0:
            octets = os.pread(self._descriptor, standing * self._sound.frame_bytes, self._place(position))
            rows[:standing] = np.frombuffer(octets, rows.dtype).reshape(-1, rows.shape[1])
        return rows

    def finish(self) -> None:
        """See `SoundFile`. What a refused write has left behind the sound is cut off."""
        data_bytes = self.samples * self._sound.frame_bytes
        os.ftruncate(self._descriptor, self.size)  # chunks have an even length
        self._write_at(0, wav_header(self._sound, data_bytes))

    def sync(self) -> None:
        """See `SoundFile`."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """See `SoundFile`."""
        os.close(self._descriptor)

    def _fill_to(self, position: int) -> None:
        """Let the file be silent up to here: by itself it is, but only where silence is zero."""
        if position <= self.samples or not self._sound.encoding.silence:
            return
        piece = self._sound.silence(_PIECE)
        while (length := min(position - self.samples, _PIECE)) > 0:
            self.put(self.samples, piece[:length])

    def _place(self, position: int) -> int:
        return self._offset + position * self._sound.frame_bytes

    def _write_at(self, offset: int, octets: "bytes | memoryview[int]") -> None:
        """Write all of it: a disk that fills up takes a part first, and says why at the next attempt."""
        written = os.pwrite(self._descriptor, octets, offset)
        if written == memoryview(octets).nbytes:
            return
        rest = memoryview(octets).cast("B")
        while rest := rest[written:]:
            offset += written
            written = os.pwrite(self._descriptor, rest, offset)


def claim(path: Path, *, new: bool) -> int:
    """Open a file that no other process may touch until it is closed, or this process is gone; its descriptor.

    Raises:
        OSError: It cannot be opened; BlockingIOError if another process has it.
        FileExistsError: It is to be new, and is there.
    """
    flags = os.O_RDWR | os.O_CLOEXEC | ((os.O_CREAT | os.O_EXCL) if new else 0)
    descriptor = os.open(path, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
