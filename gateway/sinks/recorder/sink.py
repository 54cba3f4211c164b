"""Takes the frames of one stream, a hundred times a second: an append, nothing else."""

from typing import Any

from gateway.errors import SinkError
from gateway.media.frame import AudioFrame, FrameTrack
from gateway.sinks.recorder.recording import Piece, Recording, Sound

__all__ = ["RecorderSink"]


class RecorderSink:
    """The recorder's ear in one stream.

    Attributes:
        tracks: `inbound`, to the left channel, and `played`, to the right.
        recording: Where the sound goes.
        folder: Where the recording lies, or will in a moment: the writer thread makes it.
    """

    tracks: frozenset[FrameTrack] = frozenset({"inbound", "played"})

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.folder = recording.folder
        self._inbound = _Waiting(recording.info.inbound_sample_rate)
        self._played = _Waiting(recording.info.played_sample_rate)
        self._waiting: dict[FrameTrack, _Waiting] = {"inbound": self._inbound, "played": self._played}

    def __str__(self) -> str:
        return f"Recorder({self.folder.name})"

    def write(self, frame: AudioFrame) -> None:
        """Take one frame; it is in the file within a second.

        Raises:
            SinkError: The recording has stopped, or the frame is not at the rate the stream was opened with.
        """
        if self.recording.stopped is not None:
            raise SinkError(f"recording {self.folder.name} has stopped: {self.recording.stopped}")
        waiting = self._waiting[frame.track]
        octets = frame.samples.tobytes()
        if frame.timestamp != waiting.end:
            self._begin(waiting, frame)
        waiting.octets += octets
        waiting.end += len(octets) >> 1
        waiting.frames += 1

    def describe(self) -> dict[str, Any]:
        """Where the recording lies, and what went wrong with it, as JSON-ready values."""
        return {"recording": self.folder.name, "problems": list(self.recording.problems)}

    def take(self) -> Sound:
        """All sound that waits; none is left."""
        frames = self._inbound.frames + self._played.frames
        return Sound(self._inbound.take(), self._played.take(), frames)

    def seconds_waiting(self) -> float:
        """How much sound waits, of the track with more of it."""
        return max(self._inbound.seconds(), self._played.seconds())

    def _begin(self, waiting: "_Waiting", frame: AudioFrame) -> None:
        """Begin a new piece: with the first frame after `take`, and with each after a jump."""
        if frame.sample_rate != waiting.sample_rate:
            self.recording.fail(f"{frame.track} came at {frame.sample_rate} Hz, not at {waiting.sample_rate} Hz")
            raise SinkError(self.recording.stopped)
        waiting.begin(frame.timestamp)


class _Waiting:
    """The sound of one track that waits for its turn: pieces, and the end of the last."""

    __slots__ = ("_pieces", "end", "frames", "octets", "sample_rate")

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self._pieces: list[Piece] = []
        self._clear()

    def begin(self, position: int) -> None:
        self.octets = bytearray()
        self.end = position
        self._pieces.append((position, self.octets))

    def seconds(self) -> float:
        return sum(len(octets) for _, octets in self._pieces) / (2 * self.sample_rate)

    def take(self) -> list[Piece]:
        pieces = self._pieces
        self._clear()
        return pieces

    def _clear(self) -> None:
        self._pieces = []
        self.octets = bytearray()
        self.end = -1  # no frame's position, so that the next begins a piece
        self.frames = 0
