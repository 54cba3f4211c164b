"""`recording.json`: what the sound file does not say of itself, and how far a recording has come.

A recording is `recording` while sound comes, `finishing` when all of it is there, and `final` when nobody will touch it
any more: trimmed, in its format, with its checksum.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

__all__ = ["SIDECAR", "PlayedPieces", "is_final", "read_sidecar", "write_sidecar"]

SIDECAR: Final = "recording.json"
_MAX_BYTES: Final = 64 * 2**20
_FINAL: Final = b'{\n  "state": "final",'


class PlayedPieces:
    """Where the application's sound stands: what touches is one piece.

    Args:
        limit: How many pieces are kept; later ones are in the file, but not in the list.
    """

    def __init__(self, *, limit: int = 100_000) -> None:
        self.pieces: list[list[int]] = []
        self.truncated = False
        self._limit = limit

    def add(self, position: int, length: int) -> None:
        """Note a piece, not before the end of the last; both in samples of the track."""
        if self.pieces:
            last = self.pieces[-1]
            if last[0] + last[1] == position:
                last[1] += length
                return
        if not length:
            return
        if len(self.pieces) < self._limit:
            self.pieces.append([position, length])
        else:
            self.truncated = True

    def placed(self, *, sample_rate: int, file_rate: int, origin: int) -> list[list[int]]:
        """The pieces as they stand in the file.

        Args:
            sample_rate: Of the track, in Hz.
            file_rate: Of the file, in Hz.
            origin: Position of the file's first sample, at the file's rate.
        """
        placed = []
        for position, length in self.pieces:
            start = max(0, position * file_rate // sample_rate - origin)
            end = (position + length) * file_rate // sample_rate - origin
            if end > start:
                placed.append([start, end - start])
        return placed


def write_sidecar(folder: Path, values: Mapping[str, Any], *, sync: bool = False) -> None:
    """Write values as JSON, one line for each, so that a reader sees the old file or the new one, never a part.

    Args:
        folder: Of the recording.
        values: Their first is `state`.
        sync: Wait until it would outlive a power cut.

    Raises:
        OSError: The disk refused.
        TypeError: A value is nothing that JSON can say.
    """
    lines = [f"  {_json(key)}: {_json(value)}" for key, value in values.items()]
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    path = folder / SIDECAR
    part = path.with_suffix(".part")
    try:
        with open(part, "w", encoding="utf-8", opener=_private) as file:
            file.write(text)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    if sync:
        _sync_folder(folder)


def read_sidecar(folder: Path) -> dict[str, Any]:
    """What was written last; empty if there is nothing, or nothing that can be read.

    Raises:
        OSError: The disk refused.
    """
    try:
        with (folder / SIDECAR).open("rb") as file:
            values = msgspec.json.decode(file.read(_MAX_BYTES))
    except (FileNotFoundError, msgspec.DecodeError):
        return {}
    return values if isinstance(values, dict) else {}


def is_final(folder: Path) -> bool:
    """Whether nobody will touch the recording any more; by a look at the sidecar's first line."""
    try:
        with (folder / SIDECAR).open("rb") as file:
            return file.read(len(_FINAL)) == _FINAL
    except OSError:
        return False


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
