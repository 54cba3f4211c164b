"""One recording on the disk, while sound comes: its folder, its file, its sidecar. Lives in the writer thread."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from gateway.media.frame import FrameTrack
from gateway.sinks.base import StreamInfo
from gateway.sinks.recorder.channel import Channel
from gateway.sinks.recorder.encoding import FileFormat, Heard, Rows
from gateway.sinks.recorder.options import RecordingOptions
from gateway.sinks.recorder.seal import SealedFile, SealKey
from gateway.sinks.recorder.sidecar import PlayedPieces, write_sidecar
from gateway.sinks.recorder.silence import BLOCK_SECONDS, loud_blocks
from gateway.sinks.recorder.wav import SoundFile, WavFile
from gateway.sinks.recorder.window import BlockPool, Stretch

__all__ = ["Late", "Recording", "Sound"]


class Late(NamedTuple):
    """Sound that has no place in the window: that has moved on, or goes at another rate.

    Attributes:
        track: Whose it is.
        position: Of the first sample, at the track's own rate.
        sound: Samples or units, as they wait in the window, shape (n,).
    """

    track: FrameTrack
    position: int
    sound: Any


class Sound(NamedTuple):
    """What one recording has to write at one turn.

    Attributes:
        stretches: What goes to the file as it stands.
        late: What has to find its place; of each track in the order of the positions.
        frames: How many frames all of that was.
    """

    stretches: list[Stretch]
    late: list[Late]
    frames: int


_RECORDING_FORMAT: Final = 2  # of the sidecar


class Recording:
    """The files of one recording.

    `create`, `flush` and `finish` run in the writer thread, in this order, and never raise: what goes wrong is a
    problem, and with the first one the recording stops. The attributes are read and set from the event loop as well:
    single assignments, in no need of a lock.

    Args:
        folder: Must not exist yet. Made with mode 0700.
        info: The stream.
        options: What is asked for.
        key: Seals the sound, if given.

    Attributes:
        folder: As given.
        info: As given.
        options: As given.
        sound: What the file holds.
        sample_rate: Of the file: the higher one of the two tracks'.
        tracks: Their rates in Hz: `inbound`, and what the application played; in a forked call, which has none of that,
            what the person on the leg hears.
        one_rate: Whether both are the same.
        origin: Position of the file's first sample, at its rate; None before there is one.
        pieces: Where the second track's sound stands.
        pauses: Positions and lengths at the file's rate.
        ended: Why it takes no more sound though all is well; None while it does.
        problems: What went wrong, in words.
        busy: A turn was handed to the writer thread and is not done.
        syncing: The same for `sync`.
        written: All that came is in the file, and the sidecar says so.
    """

    def __init__(
        self,
        folder: Path,
        info: StreamInfo,
        options: RecordingOptions | None = None,
        *,
        key: SealKey | None = None,
    ) -> None:
        self.folder = folder
        self.info = info
        self.options = options or RecordingOptions()
        right: FrameTrack = "played" if info.played_encoding else "outbound"
        self.tracks: dict[FrameTrack, int] = {"inbound": info.inbound_sample_rate, right: info.played_sample_rate}
        self.sample_rate = max(self.tracks.values())
        self.one_rate = info.inbound_sample_rate == info.played_sample_rate
        self.sound = FileFormat.of(self.options, inbound_encoding=info.inbound_encoding, sample_rate=self.sample_rate)
        self.origin: int | None = None
        self.pieces = PlayedPieces()
        self.pauses: list[list[int]] = []
        self.ended: str | None = None
        self.problems: list[str] = []
        self.busy = False
        self.syncing = False
        self.written = False
        self.file_name = self.options.file_stem(info.started_at) + (".wav" if key is None else ".wav.sealed")
        self._key = key
        self._file: SoundFile | None = None
        self._broken = False
        self._frames_taken = 0
        self._frames_written = 0
        self._loud_until: int | None = None  # in samples of the file
        self._channels = {
            track: (column, Channel(rate, self.sample_rate)) for column, (track, rate) in enumerate(self.tracks.items())
        }

    @property
    def last(self) -> int | None:
        """Position of the end that `max_length` puts; None if there is none."""
        length = self.options.max_length
        return self.origin + length * self.sample_rate if length and self.origin is not None else None

    @property
    def duration(self) -> float:
        """How long the file plays, in seconds."""
        return 0.0 if self._file is None else self._file.samples / self.sample_rate

    @property
    def silent_too_long(self) -> bool:
        """Whether it is to end by `timeout_secs`."""
        if self._loud_until is None or self._file is None:
            return False
        return self._file.samples - self._loud_until >= self.options.timeout_secs * self.sample_rate

    @property
    def frames_dropped(self) -> int:
        """Frames that came and are not in the file; of a turn that failed, all."""
        return self._frames_taken - self._frames_written

    def fail(self, problem: str) -> None:
        """Note a problem and take no more sound; what has come is still written, if that is possible."""
        self.problems.append(problem)

    def create(self) -> None:
        """Make the folder, a file that plays nothing, and a first sidecar."""
        with self._noting_problems("cannot begin"):
            self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.folder.mkdir(mode=0o700)
            new = self.folder / "recording.new"  # nobody repairs it before it is ours
            self._file = WavFile(new, self.sound) if self._key is None else SealedFile(new, self.sound, self._key)
            self._write_sidecar("recording")
            new.rename(self.folder / self.file_name)

    def flush(self, sound: Sound, pool: BlockPool) -> None:
        """Write what was heard since the last turn."""
        self._frames_taken += sound.frames
        try:
            if self._file is not None and not self._broken:
                self._store(self._file, sound)
                self._frames_written += sound.frames
        except Exception as error:  # noqa: BLE001 - as in `_noting_problems`
            self._note("cannot write", error)
        finally:
            for stretch in sound.stretches:
                pool.give_back(stretch.block, stretch.length)
            self.busy = False

    def finish(self, sound: Sound, pool: BlockPool, report: Mapping[str, Any]) -> None:
        """Write the rest, and a sidecar that says that this is all."""
        self.flush(sound, pool)
        if self._file is None:
            return
        if not self._broken:
            with self._noting_problems("cannot write"):
                for column, channel in self._channels.values():
                    for position, samples in channel.finish():
                        self._add(self._file, column, position, samples)
        with self._noting_problems("cannot finish"):
            self._file.finish()
        with self._noting_problems("cannot write the sidecar"):
            self._write_sidecar("finishing", report)
            self.written = True

    def become(self, values: Mapping[str, Any]) -> None:
        """Take over what changed as it was completed."""
        self.file_name = values["file"]
        self.problems = list(values["problems"])

    def sync(self) -> None:
        """Wait until all that was written would outlive a power cut."""
        if self._file is not None:
            with self._noting_problems("cannot write"):
                self._file.sync()
        self.syncing = False

    def release(self) -> None:
        """Let others touch the file."""
        if self._file is not None:
            self._file.close()

    def _store(self, file: SoundFile, sound: Sound) -> None:
        origin = self.origin or 0
        for stretch in sound.stretches:
            heard = stretch.heard
            file.write(stretch.position - origin, heard)
            if self.options.timeout_secs:
                self._listen(stretch.position - origin, heard)
        for piece in _joined(sound.late) if sound.late else ():
            column, channel = self._channels[piece.track]
            for position, samples in channel.place(piece.position, piece.sound):
                self._add(file, column, position, samples)

    def _add(self, file: SoundFile, column: int, position: int, sound: Rows) -> None:
        start = position - (self.origin or 0)
        sound = sound[max(0, -start) :]  # what was heard before the recording began
        if len(sound):
            file.add(max(0, start), column, sound)
            if self.options.timeout_secs:
                self._listen(max(0, start), sound[:, np.newaxis])

    def _listen(self, position: int, heard: Heard) -> None:
        """Note where anything was to be heard last."""
        samples = self.sound.encoding.decode(heard) if self.sound.waits_encoded else heard
        loud = loud_blocks(samples, self.sample_rate)
        if any(loud):
            blocks = len(loud) - loud[::-1].index(True)
            until = position + round(blocks * BLOCK_SECONDS * self.sample_rate)
            self._loud_until = max(self._loud_until or 0, until)

    def _write_sidecar(self, state: str, report: Mapping[str, Any] | None = None) -> None:
        info, origin = self.info, self.origin or 0
        (_, left_rate), (right, right_rate) = self.tracks.items()
        layout = self.sound.layout
        names = ["inbound", right]
        samples = 0 if self._file is None else self._file.samples
        values = {
            "state": state,
            "format": _RECORDING_FORMAT,
            "complete": state != "recording" and not self.problems,
            "file": self.file_name,
            "call_control_id": info.call_control_id,
            "stream_id": info.stream_id,
            "call_session_id": info.call_session_id,
            "started_at": info.started_at,
            "options": self.options.model_dump(mode="json"),
            "channels": ["+".join(names)] if layout.mixed else [names[track] for track in layout.tracks],
            "encoding": self.sound.encoding.name,
            "inbound_encoding": info.inbound_encoding,
            "inbound_sample_rate": left_rate,
            "played_encoding": info.played_encoding,
            "played_sample_rate": right_rate,
            "sample_rate": self.sample_rate,
            "origin": origin,
            "samples": samples,
            "duration": samples / self.sample_rate,
            "ended": self.ended,
            "frames_dropped": self.frames_dropped,
            "pauses": [[position - origin, length] for position, length in self.pauses],
            "played_pieces": self.pieces.placed(sample_rate=right_rate, file_rate=self.sample_rate, origin=origin),
            "played_pieces_truncated": self.pieces.truncated,
            "problems": self.problems,
            "report": report or {},
        }
        write_sidecar(self.folder, values)

    @contextmanager
    def _noting_problems(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it is, it must cost this recording and no other
            self._note(what, error)

    def _note(self, what: str, error: Exception) -> None:
        self._broken = True
        self.fail(f"{what}: {error}")


def _joined(late: Iterable[Late]) -> Iterator[Late]:
    """The same sound in few pieces: those that follow each other are one."""
    for track, pieces in groupby(sorted(late, key=lambda piece: piece.track), key=lambda piece: piece.track):
        start = end = 0
        parts: list[Any] = []
        for piece in pieces:
            if parts and piece.position != end:
                yield Late(track, start, np.concatenate(parts))
                parts = []
            if not parts:
                start = end = piece.position
            parts.append(piece.sound)
            end += len(piece.sound)
        yield Late(track, start, np.concatenate(parts))
