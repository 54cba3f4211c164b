"""One recording on the disk: its folder, its file, its sidecar. Lives in the writer thread."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from gateway.sinks.base import StreamInfo
from gateway.sinks.recorder.channel import Channel, Placed
from gateway.sinks.recorder.sidecar import PlayedPieces, write_sidecar
from gateway.sinks.recorder.wav import Segment, WavFile

__all__ = ["Piece", "Recording", "Sound"]

Piece: TypeAlias = "tuple[int, memoryview[int]]"
"""Gapless sound: the position of its first sample, in samples of its track, and int16 in the machine's byte order."""


class Sound(NamedTuple):
    """What one recording has to write at one turn."""

    inbound: list[Piece]
    played: list[Piece]
    frames: int  # how many frames the pieces were


class Recording:
    """The files of one recording.

    `create`, `flush` and `finish` run in the writer thread, in this order, and never raise: what goes wrong is a
    problem, and with the first one the recording stops. The attributes are read, and `stop` and `fail` are called, from
    the event loop as well: single assignments, in no need of a lock.

    Args:
        folder: Must not exist yet. Made with mode 0700.
        info: The stream.

    Attributes:
        folder: As given.
        info: As given.
        stopped: Why it takes no more sound; None while it does.
        busy: A turn was handed to the writer thread and is not done.
        problems: What went wrong, in words.
    """

    def __init__(self, folder: Path, info: StreamInfo) -> None:
        self.folder = folder
        self.info = info
        self.stopped: str | None = None
        self.busy = False
        self.problems: list[str] = []
        self._broken = False
        self._frames_taken = 0
        self._frames_written = 0
        self._wav: WavFile | None = None
        self._sample_rate = max(info.inbound_sample_rate, info.played_sample_rate)
        self._inbound = Channel(info.inbound_sample_rate, self._sample_rate)
        self._played = Channel(info.played_sample_rate, self._sample_rate)
        self._played_pieces = PlayedPieces()

    @property
    def duration(self) -> float:
        """How long the file plays, in seconds."""
        return 0.0 if self._wav is None else self._wav.samples / self._sample_rate

    @property
    def frames_dropped(self) -> int:
        """Frames that came and are not in the file; of a turn that failed, all."""
        return self._frames_taken - self._frames_written

    def fail(self, problem: str) -> None:
        """Note a problem and take no more sound; what has come is still written, if that is possible."""
        self.problems.append(problem)
        self.stop(problem)

    def stop(self, reason: str) -> None:
        """Take no more sound; the first reason stays."""
        self.stopped = self.stopped or reason

    def create(self) -> None:
        """Make the folder, a file that plays nothing, and a first sidecar."""
        with self._noting_problems("cannot begin"):
            self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.folder.mkdir(mode=0o700)
            self._wav = WavFile(self.folder / "recording.wav", self._sample_rate)
            self._write_sidecar(self._wav, complete=False, report={})

    def flush(self, sound: Sound) -> None:
        """Write what was heard since the last turn."""
        self._frames_taken += sound.frames
        if self._wav is not None and not self._broken:
            with self._noting_problems("cannot write"):
                self._store(self._wav, _place(self._inbound, sound.inbound), _place(self._played, sound.played))
                self._frames_written += sound.frames
        self.busy = False

    def finish(self, sound: Sound, report: Mapping[str, Any]) -> None:
        """Write the rest and the final sidecar, and close the file."""
        self.flush(sound)
        if self._wav is None:
            return
        if not self._broken:
            with self._noting_problems("cannot write"):
                self._store(self._wav, self._inbound.finish(), self._played.finish())
        with self._noting_problems("cannot close"):
            self._wav.close()
        with self._noting_problems("cannot write the sidecar"):
            self._write_sidecar(self._wav, complete=not self.problems, report=report)

    def _store(self, wav: WavFile, inbound: Iterable[Placed], played: Iterable[Placed]) -> None:
        left = [Segment(0, *placed) for placed in inbound]
        right = [Segment(1, *placed) for placed in played]
        wav.write(left + right)
        for _, position, samples in right:
            self._played_pieces.add(position, len(samples))

    def _write_sidecar(self, wav: WavFile, *, complete: bool, report: Mapping[str, Any]) -> None:
        """Say what is known; `complete` means that the stream has ended and all of its sound is in the file."""
        info = self.info
        values = {
            "complete": complete,
            "file": "recording.wav",
            "call_control_id": info.call_control_id,
            "stream_id": info.stream_id,
            "call_session_id": info.call_session_id,
            "started_at": info.started_at,
            "channels": ["inbound", "played"],
            "inbound_encoding": info.inbound_encoding,
            "inbound_sample_rate": info.inbound_sample_rate,
            "played_encoding": info.played_encoding,
            "played_sample_rate": info.played_sample_rate,
            "sample_rate": self._sample_rate,
            "samples": wav.samples,
            "duration": self.duration,
            "bytes": wav.size,
            "frames_dropped": self.frames_dropped,
            "played_pieces": self._played_pieces.pieces,
            "played_pieces_truncated": self._played_pieces.truncated,
            "problems": self.problems,
            "report": report,
        }
        write_sidecar(self.folder / "recording.json", values)

    @contextmanager
    def _noting_problems(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it is, it must cost this recording and no other
            self._broken = True
            self.fail(f"{what}: {error}")


def _place(channel: Channel, pieces: Iterable[Piece]) -> Iterator[Placed]:
    for position, octets in pieces:
        yield from channel.place(position, np.frombuffer(octets, np.int16))
