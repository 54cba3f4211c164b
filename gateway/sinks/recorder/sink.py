"""Takes the frames of one stream, a hundred times a second: a frame's usual way is one copy into the window.

All that is rare (the first frame, a jump, sound that is told late, two rates, a pause, the end) takes the long way: the
limit of the short one is zero then. Positions are those of the frames; the file begins where the first of them does.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from audio_codecs.g711 import encode_alaw, encode_ulaw
from gateway.errors import SinkError
from gateway.media.frame import AudioFrame, FrameTrack
from gateway.sinks.recorder.recording import Late, Recording, Sound
from gateway.sinks.recorder.window import BlockPool, Stretch, Window

__all__ = ["G711RecorderSink", "RecorderSink"]


class RecorderSink:
    """The recorder's ear in one stream.

    Args:
        recording: Where the sound goes.
        pool: Has the blocks for it.
        on_end: Told once, when the recording ends by `stop` or by itself.

    Attributes:
        tracks: `inbound`, the caller; and `played`, the application, or `outbound` of a forked call.
        recording: As given.
        folder: Where the recording lies, or will in a moment: the writer thread makes it.
        pool: As given.
    """

    __slots__ = (
        "_careful_until",
        "_full",
        "_late",
        "_now",
        "_on_end",
        "_paused",
        "_piece",
        "_refused",
        "_silent_until",
        "_window",
        "folder",
        "pool",
        "recording",
        "tracks",
    )

    def __init__(self, recording: Recording, pool: BlockPool, *, on_end: Callable[["RecorderSink"], None]) -> None:
        self.recording = recording
        self.folder = recording.folder
        self._piece: int | None = None  # where the present piece of the second track began
        self.tracks: frozenset[FrameTrack] = frozenset(recording.tracks)
        self.pool = pool
        self._window = Window(pool, sample_rate=recording.sample_rate, kept=pool.kept if recording.one_rate else 0)
        self._full: list[Stretch] = []
        self._late: list[Late] = []
        self._now = 0  # end of the later track, known on the long way only
        self._paused = False
        self._refused = False
        self._silent_until = 0  # sound from before it was paused
        self._careful_until = 0  # until all of that has been told
        self._on_end = on_end

    def __str__(self) -> str:
        return f"Recorder({self.folder.name})"

    def write(self, frame: AudioFrame) -> None:
        """Take one frame; it is in the file within a second. Does nothing once the recording has ended.

        Raises:
            SinkError: The recording has failed, or the frame is not at the rate the stream was opened with.
        """
        window, samples = self._window, frame.samples
        at = frame.timestamp - window.start
        end = at + len(samples)
        if at < 0 or end > window.limit or frame.sample_rate != window.sample_rate:
            self._write_the_long_way(frame)
            return
        if frame.track == "inbound":
            window.left[at:end] = samples
        else:
            window.right[at:end] = samples
            if frame.timestamp != window.right_end:
                self._begin_piece(frame.timestamp)
            window.right_end = window.start + end
        if end > window.filled:
            window.filled = end
        window.frames += 1

    # --- what can be asked of it ----------------------------------------------------------------------------------

    def pause(self) -> None:
        """Record silence from now on; the time goes on."""
        if not self._paused and self.recording.ended is None:
            self._paused = True
            self._window.limit = 0
            self.recording.pauses.append([self._end(), 0])

    def resume(self) -> None:
        """Record again; what is told only now and was heard in the pause stays silent."""
        if self._paused:
            self._paused = False
            self._silent_until = self._end()
            self._careful_until = self._silent_until + self.recording.sample_rate
            pause = self.recording.pauses[-1]
            pause[1] = self._silent_until - pause[0]

    def stop(self, reason: str = "stop") -> None:
        """End the recording; the call goes on. Does nothing the second time."""
        if self.recording.ended is None:
            self.resume()
            self._begin_piece(None)
            self._window.limit = 0
            self.recording.ended = reason
            self._on_end(self)

    def describe(self) -> dict[str, Any]:
        """Where the recording lies, and how it stands with it, as JSON-ready values."""
        recording = self.recording
        return {
            "recording": self.folder.name,
            "ended": recording.ended,
            "paused": self._paused,
            "problems": list(recording.problems),
        }

    # --- its turns ------------------------------------------------------------------------------------------------

    def take(self) -> Sound:
        """All sound that waits; of what came since the last turn, none is left."""
        window = self._window
        if window.frames:
            self._move_to(window.end)
        sound = Sound(self._full, self._late, window.frames)
        self._full, self._late, window.frames = [], [], 0
        return sound

    def refuse(self) -> bool:
        """The recording has failed: the next frame is told so. Returns whether this is new."""
        new, self._refused, self._window.limit = not self._refused, True, 0
        return new

    def seconds_waiting(self) -> float:
        """How much sound waits; what waits twice, as it is kept from one block to the next, counts once."""
        rates, window = self.recording.tracks, self._window
        lengths = [stretch.length for stretch in self._full] + [window.filled if window.frames else 0]
        rows = lengths[0] + sum(max(0, length - window.kept) for length in lengths[1:])
        return rows / window.sample_rate + sum(len(piece.sound) / rates[piece.track] for piece in self._late)

    # --- the long way ---------------------------------------------------------------------------------------------

    def _write_the_long_way(self, frame: AudioFrame) -> None:
        recording = self.recording
        if recording.problems:
            self._window.limit = 0
            raise SinkError(f"recording {self.folder.name} has failed: {recording.problems[0]}")
        if recording.ended is not None:
            return
        if frame.sample_rate != recording.tracks[frame.track]:
            recording.fail(f"{frame.track} came at {frame.sample_rate} Hz, not at {recording.tracks[frame.track]} Hz")
            raise SinkError(recording.problems[-1])
        if recording.origin is None:
            recording.origin = self._window.start = self._at_file_rate(frame, 0)
        self._window.frames += 1
        self._now = max(self._end(), self._at_file_rate(frame, len(frame.samples)))
        sound = self._wanted(frame)
        if frame.sample_rate != recording.sample_rate:
            self._late.append(Late(frame.track, frame.timestamp, sound))
        else:
            self._place(frame.track, frame.timestamp, sound)
        self._set_limit()
        if recording.last is not None and self._now >= recording.last:
            self.stop("max_length")

    def _wanted(self, frame: AudioFrame) -> Any:
        """What is to be recorded of a frame, as it waits for its turn."""
        recording, sound = self.recording, self._waiting(frame)
        if recording.last is not None:
            sound = sound[: max(0, recording.last * frame.sample_rate // recording.sample_rate - frame.timestamp)]
        silent = self._silent_until * frame.sample_rate // recording.sample_rate - frame.timestamp
        if self._paused or silent > 0:
            sound = np.array(sound)
            sound[: None if self._paused else silent] = recording.sound.waiting[1]
        elif frame.track != "inbound":
            if frame.timestamp != self._window.right_end:
                self._begin_piece(frame.timestamp)
            self._window.right_end = frame.timestamp + len(sound)
        return sound

    def _waiting(self, frame: AudioFrame) -> Any:
        """The frame's sound as it waits for its turn."""
        return frame.samples

    def _place(self, track: FrameTrack, position: int, sound: Any) -> None:
        """Put sound into the window, of which more than one may be needed; what it has left behind is late."""
        window = self._window
        while len(sound):
            at = position - window.start
            if at >= window.room:
                self._move_to(position)
                continue
            part = sound[: -at if at < 0 else window.room - at]
            if at < 0:
                self._late.append(Late(track, position, part))
            else:
                column = window.left if track == "inbound" else window.right
                column[at : at + len(part)] = part
                window.filled = max(window.filled, at + len(part))
            position += len(part)
            sound = sound[len(part) :]

    def _move_to(self, position: int) -> None:
        stretch = self._window.move_to(position)
        if stretch.length:
            self._full.append(stretch)
        else:
            self.pool.give_back(stretch.block, 0)
        if self._window.limit:
            self._set_limit()

    def _set_limit(self) -> None:
        """Let the short way have what needs none of the long one's care."""
        window, last = self._window, self.recording.last
        careful = self._paused or self._now < self._careful_until
        window.limit = 0 if careful else window.room if last is None else min(window.room, last - window.start)

    def _begin_piece(self, position: int | None) -> None:
        """The second track begins to sound, or will not any more; what it did before is one piece."""
        if self._piece is not None:
            self.recording.pieces.add(self._piece, self._window.right_end - self._piece)
        self._piece = position

    def _end(self) -> int:
        """Where the later track ends."""
        return max(self._now, self._window.end)

    def _at_file_rate(self, frame: AudioFrame, offset: int) -> int:
        return (frame.timestamp + offset) * self.recording.sample_rate // frame.sample_rate


class G711RecorderSink(RecorderSink):
    """The same for a file that has the octets of G.711 as they came: they wait as they are."""

    __slots__ = ("_compress",)

    def __init__(self, recording: Recording, pool: BlockPool, *, on_end: Callable[[RecorderSink], None]) -> None:
        super().__init__(recording, pool, on_end=on_end)
        self._compress = encode_ulaw if recording.sound.encoding.name == "PCMU" else encode_alaw

    def write(self, frame: AudioFrame) -> None:
        """See `RecorderSink`."""
        window, payload = self._window, frame.payload
        length = len(frame.samples)
        at = frame.timestamp - window.start
        end = at + length
        if at < 0 or end > window.limit or frame.sample_rate != window.sample_rate:
            self._write_the_long_way(frame)
            return
        if len(payload) != length:  # it was made up, or played
            payload = self._compress(frame.samples)
        units = np.frombuffer(payload, np.uint8)
        if frame.track == "inbound":
            window.left[at:end] = units
        else:
            window.right[at:end] = units
            if frame.timestamp != window.right_end:
                self._begin_piece(frame.timestamp)
            window.right_end = window.start + end
        if end > window.filled:
            window.filled = end
        window.frames += 1

    def _waiting(self, frame: AudioFrame) -> Any:
        whole = len(frame.payload) == len(frame.samples)
        return np.frombuffer(frame.payload if whole else self._compress(frame.samples), np.uint8)
