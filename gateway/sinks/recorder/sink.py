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

    __slots__ = ("_inbound", "_played", "folder", "recording")

    tracks: frozenset[FrameTrack] = frozenset({"inbound", "played"})

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.folder = recording.folder
        self._inbound = _Waiting(recording.info.inbound_sample_rate)
        self._played = _Waiting(recording.info.played_sample_rate)

    def __str__(self) -> str:
        return f"Recorder({self.folder.name})"

    def write(self, frame: AudioFrame) -> None:
        """Take one frame; it is in the file within a second.

        Raises:
            SinkError: The recording has stopped, or the frame is not at the rate the stream was opened with.
        """
        if self.recording.stopped is not None:
            raise SinkError(f"recording {self.folder.name} has stopped: {self.recording.stopped}")
        waiting = self._inbound if frame.track == "inbound" else self._played
        samples: Any = frame.samples  # to numpy's type stubs an array is no buffer before Python 3.12
        filled = waiting.filled
        fill = filled + len(samples)
        if frame.timestamp != waiting.end or fill > waiting.room:
            self._begin(waiting, frame)
            filled, fill = 0, len(samples)
        waiting.samples[filled:fill] = samples
        waiting.filled = fill
        waiting.end += len(samples)
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
        """Begin a new piece: with the first frame after `take`, after each jump, and where the last one is full."""
        if frame.sample_rate != waiting.sample_rate:
            self.recording.fail(f"{frame.track} came at {frame.sample_rate} Hz, not at {waiting.sample_rate} Hz")
            raise SinkError(self.recording.stopped)
        waiting.begin(frame.timestamp, len(frame.samples))


class _Waiting:
    """The sound of one track that waits for its turn: pieces, and the end of the last.

    A piece is a buffer of fixed room: hundreds of them that grow side by side, frame by frame, keep moving in memory.
    Two buffers take turns, as `take` is called when the sound it gave before is written.
    """

    __slots__ = ("_buffer", "_pieces", "_spare", "end", "filled", "frames", "room", "sample_rate", "samples")

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self._pieces: list[Piece] = []
        self._buffer = self._spare = _NOTHING
        self._clear()

    def begin(self, position: int, least: int) -> None:
        self._close_piece()
        self.room = max(self.sample_rate, least)  # a second, a little more than waits between two turns
        if len(self._spare) < self.room:
            self._spare = memoryview(bytearray(2 * self.room)).cast("h")
        self.samples, self._spare = self._spare, _NOTHING
        self.room = len(self.samples)
        self.filled = 0
        self.end = position
        self._pieces.append((position, self.samples))

    def seconds(self) -> float:
        return (sum(len(samples) for _, samples in self._pieces[:-1]) + self.filled) / self.sample_rate

    def take(self) -> list[Piece]:
        self._close_piece()
        pieces = self._pieces
        self._spare, self._buffer = self._buffer, self.samples
        self._clear()
        return pieces

    def _close_piece(self) -> None:
        """Cut the last piece to what is in it."""
        if self._pieces:
            position, samples = self._pieces[-1]
            self._pieces[-1] = (position, samples[: self.filled])

    def _clear(self) -> None:
        self._pieces = []
        self.samples = _NOTHING
        self.room = self.filled = 0
        self.end = -1  # no frame's position, so that the next begins a piece
        self.frames = 0


_NOTHING = memoryview(b"").cast("h")
