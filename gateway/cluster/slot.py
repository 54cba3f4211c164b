"""Which of the workers a process is, and what all of them know."""

import secrets
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

__all__ = ["WorkerSlot"]


@dataclass(frozen=True, slots=True)
class WorkerSlot:
    """The place of one worker among those of a gateway.

    Attributes:
        index: Which one it is, from 0.
        count: How many there are.
        folder: Has the Unix sockets by which they talk; nobody else may enter it.
        admission_key: Signs the tokens of the media sockets, the same for all.
    """

    index: int
    count: int
    folder: Path
    admission_key: bytes

    @classmethod
    def alone(cls) -> Self:
        """The place of a process that is the only one, and talks to no other."""
        return cls(0, 1, Path(), secrets.token_bytes(32))

    def share(self, limit: int) -> int:
        """What each worker may have of something that is limited for all."""
        return -(-limit // self.count)

    def http_path(self, index: int) -> Path:
        """Where a worker takes HTTP requests of the others."""
        return self.folder / f"{index}.http"

    def media_path(self, index: int) -> Path:
        """Where a worker takes media sockets of the others."""
        return self.folder / f"{index}.media"

    def registrar(self, call_control_id: str) -> int:
        """Who knows the owner of a call, and is it where nobody else said so."""
        return zlib.crc32(call_control_id.encode("utf-8", "surrogatepass")) % self.count
