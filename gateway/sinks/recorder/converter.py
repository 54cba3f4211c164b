"""Has recordings converted by a process of its own, one after the other; see `convert_main.py`."""

import importlib.util
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from gateway.errors import RecordingError, SinkError
from gateway.sinks.recorder.complete import wants_conversion
from gateway.sinks.recorder.convert import Done, Job
from gateway.sinks.recorder.options import RecordingOptions

__all__ = ["Converter", "refusal"]

_COMMAND: Final = (sys.executable, "-m", "gateway.sinks.recorder.convert_main")
_LEAST_TIME: Final = 60.0  # seconds for one recording, and as many as it plays


def refusal(options: RecordingOptions, *, sealed: bool) -> str | None:
    """Why a recording cannot be made as it is asked for; None if it can."""
    if sealed and wants_conversion(options):
        return "what is sealed stays a WAV, and untrimmed: it would have to lie open to be converted"
    if options.format != "wav" and importlib.util.find_spec("av") is None:
        return f"format {options.format} wants the extra `codecs`"
    return None


class Converter:
    """A `Convert`, and a context manager that ends its process. For one thread.

    Args:
        command: Runs the process.
        least_time: Seconds that a recording may take, on top of as many as it plays.
    """

    def __init__(self, command: tuple[str, ...] = _COMMAND, *, least_time: float = _LEAST_TIME) -> None:
        self._command = command
        self._least_time = least_time
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def __call__(self, folder: Path, values: dict[str, Any]) -> dict[str, Any]:
        """See `Convert`."""
        options = RecordingOptions.model_validate(values["options"])
        source = folder / values["file"]
        if source.suffix != ".wav":
            raise RecordingError("what is sealed stays as it is")
        target = source.with_suffix(f".{options.format}")
        part = target.with_name(f"{target.name}.part")
        job = Job(source=str(source), target=str(part), format=options.format, trim=options.trim is not None)
        try:
            done = self._do(job, timeout=self._least_time + (values["duration"] or 0))
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return _changed(values, target.name, done)

    def close(self) -> None:
        """End the process, from any thread: what it was at is left to the next gateway."""
        self._closed = True
        self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _do(self, job: Job, *, timeout: float) -> Done:
        if self._closed:
            raise SinkError("the gateway ends, this is left to the next one")
        if self._process is None or self._process.poll() is not None:
            self._end()
            self._process = subprocess.Popen(  # noqa: S603 - our own program, no shell
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for the gateway
            )
        try:
            done = _ask(self._process, job, deadline=time.monotonic() + timeout)
        except (OSError, RecordingError, msgspec.DecodeError) as error:
            self._end()
            if self._closed:
                raise SinkError("the gateway ends, this is left to the next one") from error
            raise RecordingError(f"the converting process failed: {error}") from error
        if done.error is not None:
            raise RecordingError(done.error)
        return done


def _ask(process: subprocess.Popen[bytes], job: Job, *, deadline: float) -> Done:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(msgspec.json.encode(job) + b"\n")
    process.stdin.flush()
    answer = b""
    while not answer.endswith(b"\n"):
        ready, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise RecordingError("it took too long")
        octets = os.read(process.stdout.fileno(), 65_536)
        if not octets:
            raise RecordingError("it has ended")
        answer += octets
    return msgspec.json.decode(answer, type=Done)


def _changed(values: dict[str, Any], file: str, done: Done) -> dict[str, Any]:
    """What of the sidecar is different now. Places in the file are told as they are now."""
    return {
        "file": file,
        "samples": done.samples,
        "duration": done.samples / values["sample_rate"],
        "origin": values.get("origin", 0) + done.start,
        "trimmed": [done.start, values["samples"] - done.start - done.samples],
        **{name: _shifted(values.get(name, []), done) for name in ("pauses", "played_pieces")},
    }


def _shifted(pieces: list[list[int]], done: Done) -> list[list[int]]:
    shifted = []
    for position, length in pieces:
        start = max(0, position - done.start)
        end = min(done.samples, position + length - done.start)
        if end > start:
            shifted.append([start, end - start])
    return shifted
