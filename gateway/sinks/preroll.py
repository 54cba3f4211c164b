"""The last seconds of a call, for sinks that join late."""

from collections import deque
from typing import Final

from gateway.media.frame import AudioFrame

__all__ = ["Preroll"]

_MAX_FRAMES_PER_SECOND: Final = 300  # three tracks in frames of 10 ms; of shorter ones, less is kept


class Preroll:
    """Keeps the newest frames of all tracks, in the order they came.

    The tracks share one time line, so how old a frame is follows from its timestamp.

    Args:
        seconds: How much is kept.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._present = 0.0
        self._frames: deque[AudioFrame] = deque(maxlen=max(1, round(seconds * _MAX_FRAMES_PER_SECOND)))

    def write(self, frame: AudioFrame) -> None:
        """Add a frame, and forget what is too old."""
        frames = self._frames
        frames.append(frame)
        self._present = max(self._present, _end(frame))
        while _end(frames[0]) <= self._present - self._seconds:
            frames.popleft()

    def last(self, seconds: float) -> list[AudioFrame]:
        """What was heard in the last so many seconds, in whole frames, as far as it is kept."""
        return [frame for frame in self._frames if _end(frame) > self._present - seconds]


def _end(frame: AudioFrame) -> float:
    return (frame.timestamp + len(frame.samples)) / frame.sample_rate
