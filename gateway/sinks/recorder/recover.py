"""After a crash: what a process that is gone has left is made whole.

A recording belongs to the process that has claimed its file, and a claim ends with the process. So what can be claimed
and is not final was left behind, and nobody needs to know who did that.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from gateway.errors import RecordingError
from gateway.sinks.recorder.complete import Completion
from gateway.sinks.recorder.riff import read_header
from gateway.sinks.recorder.seal import mend
from gateway.sinks.recorder.sidecar import is_final, read_sidecar, write_sidecar
from gateway.sinks.recorder.wav import WavFile, claim

__all__ = ["Recovered", "recover", "unfinished"]

_SEALED: Final = ".sealed"


class Recovered(NamedTuple):
    """What became of a recording that nobody had completed.

    Attributes:
        folder: Of the recording.
        duration: Seconds that it plays; None if it is sealed, or could not be repaired.
        problem: Why it could not be; None if it could.
    """

    folder: Path
    duration: float | None
    problem: str | None


def unfinished(folder: Path) -> Iterator[Path]:
    """The recordings in a folder that are not final, the newest first: those a crash has left are among them."""
    if folder.is_dir():
        for place in sorted(folder.iterdir(), reverse=True):
            if not is_final(place) and place.is_dir():
                yield place


def recover(folder: Path, completion: Completion) -> Recovered | None:
    """Repair a recording whose process is gone, and complete it.

    Args:
        folder: Of the recording.
        completion: Does what is left to do.

    Returns:
        What became of it; None if another process is recording it, or if nothing was recorded.
    """
    try:
        path = _sound_file(folder, read_sidecar(folder))
        if path is None:
            return None
        with _repaired(path) as (samples, sample_rate):
            if is_final(folder):  # meanwhile: it was not left behind, it was being completed
                return None
            values = _described(read_sidecar(folder), path, samples, sample_rate)
            write_sidecar(folder, values)
            values = completion.complete(folder)
        completion.after_final(folder)
        return Recovered(folder, values["duration"], None)
    except BlockingIOError:
        return None
    except (OSError, RecordingError) as error:
        if is_final(folder) or not folder.is_dir():  # another process was faster, and has taken the file away
            return None
        return Recovered(folder, None, str(error))


@contextmanager
def _repaired(path: Path) -> Iterator[tuple[int | None, int | None]]:
    """Claim a file and make it whole; how many samples it has, and its rate, where that can be seen."""
    if path.suffix == _SEALED:
        descriptor = claim(path, new=False)
        try:
            mend(path, descriptor)
            yield None, None
        finally:
            os.close(descriptor)
        return
    sound = read_header(path).sound
    wav = WavFile(path, sound, repair=True)
    try:
        wav.finish()
        yield wav.samples, sound.sample_rate
    finally:
        wav.close()


def _sound_file(folder: Path, values: dict[str, Any]) -> Path | None:
    """The file that was written while it ran."""
    name = values.get("file")
    if isinstance(name, str) and name == Path(name).name and (folder / name).is_file():
        return folder / name
    found = sorted(path for path in folder.iterdir() if path.suffix in (".wav", _SEALED))
    return found[0] if found else None


def _described(values: dict[str, Any], path: Path, samples: int | None, sample_rate: int | None) -> dict[str, Any]:
    """The sidecar of a recording that nobody will add sound to."""
    if values.get("state") == "finishing":
        return values  # all of its sound was there
    problem = "the process ended before the stream did: its last second may be missing"
    repaired = {
        "state": "finishing",
        "complete": False,
        "file": path.name,
        "ended": "crash",
        "sample_rate": sample_rate or values.get("sample_rate"),
        "samples": samples,
        "duration": None if samples is None or not sample_rate else samples / sample_rate,
        "problems": [*values.get("problems", []), problem],
    }
    return {"state": None} | values | repaired  # `state` comes first, see `is_final`
