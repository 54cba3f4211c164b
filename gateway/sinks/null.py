"""The sink that keeps nothing: to have a stream taken and counted, and for measurements."""

from gateway.media.frame import AudioFrame
from gateway.sinks.base import ALL_TRACKS, StreamInfo

__all__ = ["NullSink"]


class NullSink:
    """Hears all and forgets it."""

    tracks = ALL_TRACKS

    def __init__(self, info: StreamInfo) -> None:
        del info

    def __str__(self) -> str:
        return "Null"

    def write(self, frame: AudioFrame) -> None:
        """Take one frame."""
