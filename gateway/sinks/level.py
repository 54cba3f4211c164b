"""The level meter as a sink: how loud each side of a call is, in its record and, if wanted, in the log.

What a level is, and how it is measured: `gateway/media/level.py`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from structlog.typing import FilteringBoundLogger

from gateway.media.frame import AudioFrame
from gateway.media.level import LevelMeter
from gateway.sinks.base import BOTH_SIDES, SinkFactory, StreamInfo
from gateway.sinks.url import SinkConfig

__all__ = ["LevelSink", "level"]


class LevelSink:
    """Measures the caller and the application.

    Args:
        interval: Seconds of sound between two lines in the log; 0 for none.
        log: The stream's.
    """

    __slots__ = ("_caller", "_interval", "_log", "_meters", "_next")

    tracks = BOTH_SIDES

    def __init__(self, *, interval: float, log: FilteringBoundLogger) -> None:
        self._interval = interval
        self._log = log
        self._meters: dict[str, LevelMeter] = {}
        self._caller: LevelMeter | None = None  # one of them, the one that is asked for most
        self._next = interval  # seconds on the stream's time line

    def __str__(self) -> str:
        return "Level"

    def write(self, frame: AudioFrame) -> None:
        """Take one frame."""
        meter = self._caller if frame.track == "inbound" else self._meters.get(frame.track)
        if meter is None:
            meter = self._meters[frame.track] = LevelMeter(frame.sample_rate)
            self._caller = self._meters.get("inbound")
        meter.hear(frame.samples)
        if self._interval and frame.timestamp >= self._next * frame.sample_rate:
            self._next = frame.timestamp / frame.sample_rate + self._interval
            self._log.info("sound levels", **self.describe())

    def describe(self) -> dict[str, Any]:
        """For each track what a `LevelMeter` tells, as JSON-ready values."""
        return {track: meter.describe() for track, meter in self._meters.items()}


def level(config: SinkConfig) -> SinkFactory:
    """`level:`, or `level:?interval=10` for a line in the log every ten seconds.

    Raises:
        ValueError: The settings say something else.
    """
    config.only("interval")
    interval = config.number("interval", 0.0, least=0.0)

    @asynccontextmanager
    async def open_it(info: StreamInfo) -> AsyncIterator[LevelSink]:
        yield LevelSink(interval=interval, log=config.log.bind(stream_id=info.stream_id[:64]))

    return open_it
