"""`recording.json`: what the sound file does not say of itself."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

__all__ = ["PlayedPieces", "write_sidecar"]


class PlayedPieces:
    """Where the application's sound stands in the file: what touches is one piece.

    Args:
        limit: How many pieces are kept; later ones are in the file, but not in the list.
    """

    def __init__(self, *, limit: int = 100_000) -> None:
        self.pieces: list[list[int]] = []
        self.truncated = False
        self._limit = limit

    def add(self, position: int, length: int) -> None:
        """Note a piece, not before the end of the last; both in samples of the file."""
        if not length:
            return
        if self.pieces and sum(self.pieces[-1]) == position:
            self.pieces[-1][1] += length
        elif len(self.pieces) < self._limit:
            self.pieces.append([position, length])
        else:
            self.truncated = True


def write_sidecar(path: Path, values: Mapping[str, Any]) -> None:
    """Write values as JSON, one line for each, so that a reader sees the old file or the new one, never a part.

    Raises:
        OSError: The disk refused.
        TypeError: A value is nothing that JSON can say.
    """
    lines = [f"  {_json(key)}: {_json(value)}" for key, value in values.items()]
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    part = path.with_suffix(".part")
    try:
        with open(part, "w", encoding="utf-8", opener=_private) as file:
            file.write(text)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
