"""The octets of a file or of a `bytes`, a stretch at a time."""

import os
import stat
from pathlib import Path
from typing import Protocol

from gateway.errors import PlaybackError

__all__ = ["Octets", "open_octets"]


class Octets(Protocol):
    """Octets by their place, as a stretch of a file."""

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` octets from `offset` on; fewer at the end.

        Raises:
            PlaybackError: They cannot be read.
        """


def open_octets(source: str | os.PathLike[str] | bytes) -> Octets:
    """The octets of a file by its path, or those of a `bytes`."""
    return _Memory(source) if isinstance(source, bytes) else _File(Path(source))


class _Memory:
    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def read(self, offset: int, size: int) -> bytes:
        return self._octets[offset : offset + size]


class _File:
    """Opened for each stretch, about once a second: a play that is dropped leaves nothing open."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, offset: int, size: int) -> bytes:
        try:
            # Not to wait for whoever may write into a pipe, which is then refused.
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise PlaybackError(f"{self._path} is not a file")
                return os.pread(descriptor, size, offset)
            finally:
                os.close(descriptor)
        except (OSError, ValueError) as error:  # a path with a zero in it is a ValueError
            raise PlaybackError(f"cannot read {self._path}: {error}") from error
