"""What is left to do with a recording when all of its sound is in its file: trim, format, checksum.

All of it can be done again: a process that is killed half-way leaves a recording that the next one completes.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from gateway.errors import RecordingError
from gateway.sinks.recorder.options import RecordingOptions
from gateway.sinks.recorder.sidecar import read_sidecar, write_sidecar

__all__ = ["Completion", "Convert", "wants_conversion"]


class Convert(Protocol):
    """Makes a recording's last file from the one that was written while it ran."""

    def __call__(self, folder: Path, values: dict[str, Any]) -> dict[str, Any]:
        """Make it, and leave the old one in its place.

        Args:
            folder: Of the recording.
            values: Its sidecar.

        Returns:
            What changes in the sidecar; `file` at the least.

        Raises:
            RecordingError: It cannot be made.
        """


def _tell_nobody(folder: Path) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Completion:
    """Brings recordings to their end.

    Attributes:
        convert: Trims a recording and makes the format that is wanted; without it, it stays as it was written.
        before_final: Told of a recording's folder just before it becomes final.
        after_final: And after that, by whoever completed it, as soon as nothing of it is claimed any more.
    """

    convert: Convert | None = None
    before_final: Callable[[Path], None] = _tell_nobody
    after_final: Callable[[Path], None] = _tell_nobody

    def complete(self, folder: Path) -> dict[str, Any]:
        """Bring one to its end whose sound is all in its file; its final sidecar.

        Raises:
            OSError: The disk refused.
        """
        values = read_sidecar(folder)
        recorded = folder / values["file"]
        options = RecordingOptions.model_validate(values.get("options", {}))
        if self.convert is not None and wants_conversion(options):
            try:
                values |= self.convert(folder, values)
            except RecordingError as error:
                values["problems"] = [*values["problems"], f"cannot convert: {error}"]  # the sound itself is there
        file = folder / values["file"]
        with file.open("rb") as opened:
            values["sha256"] = hashlib.file_digest(opened, "sha256").hexdigest()
        values["bytes"] = file.stat().st_size
        values["state"] = "final"
        self.before_final(folder)
        write_sidecar(folder, values, sync=True)
        if file != recorded:
            recorded.unlink()
        return values


def wants_conversion(options: RecordingOptions) -> bool:
    """Whether the file that is written while a recording runs is not the one that is wanted."""
    return options.format != "wav" or options.trim is not None
