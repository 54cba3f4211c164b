"""What the tests of the sinks share: a stream, its frames, and its sinks at work."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import structlog

from audio_codecs import Samples
from gateway.media.frame import AudioFrame, FrameTrack
from gateway.sinks.base import ALL_TRACKS, INBOUND, SinkSource, StreamInfo
from gateway.sinks.delivery import Declared, Delivery
from gateway.sinks.events import SinkEvent
from gateway.sinks.fanout import FanOut
from gateway.sinks.services import SinkServices
from tests.fakes import ListSink

FRAME = 160


def stream_info(**fields: Any) -> StreamInfo:
    """A stream of PCMU both ways."""
    values: dict[str, Any] = {
        "call_control_id": "v3:call",
        "stream_id": "stream-1",
        "call_session_id": None,
        "inbound_encoding": "PCMU",
        "inbound_sample_rate": 8000,
        "played_encoding": "PCMU",
        "played_sample_rate": 8000,
        "client_state": None,
        "custom_parameters": {},
        "started_at": 1_795_169_700.0,
        "report": dict,
    }
    return StreamInfo(**values | fields)


def frame(number: int, track: FrameTrack = "inbound") -> AudioFrame:
    """The n-th 20 ms of a track; its samples say which."""
    return AudioFrame(track, np.full(FRAME, number, np.int16), 8000, FRAME * number, b"payload")


def frames(first: int, end: int, track: FrameTrack = "inbound") -> list[AudioFrame]:
    """Those from the first to the one before the end."""
    return [frame(number, track) for number in range(first, end)]


def numbers(heard: list[AudioFrame]) -> list[int]:
    """Which frames they are, by their samples."""
    return [int(one.samples[0]) for one in heard]


def cut(
    sound: Samples, track: FrameTrack = "inbound", *, start: int = 0, sample_rate: int = 8000
) -> Iterator[AudioFrame]:
    """Sound as frames of 20 ms."""
    length = sample_rate // 50
    for at in range(0, len(sound), length):
        yield AudioFrame(track, sound[at : at + length], sample_rate, start + at)


def delivered(source: SinkSource, **fields: Any) -> Declared:
    """The same source with this delivery."""
    return Declared(source, Delivery(**fields))


class Sinks:
    """The sinks of one stream, at work; `events` is what happened to them."""

    def __init__(self, sources: dict[str, SinkSource], **options: Any) -> None:
        self.events: list[SinkEvent] = []
        services = {name: options.pop(name) for name in list(options) if name in SinkServices.__dataclass_fields__}
        self.fan_out = FanOut(
            sources,
            services=SinkServices(**services),
            log=structlog.get_logger(),
            on_event=self.events.append,
            **options,
        )

    def write(self, *frames: AudioFrame) -> None:
        for one in frames:
            self.fan_out.write(one)

    def told(self, name: str) -> dict[str, Any]:
        """What the report says of one sink."""
        described: dict[str, Any] = self.fan_out.describe()[name]
        return described

    @asynccontextmanager
    async def running(self, info: StreamInfo | None = None) -> AsyncIterator["Sinks"]:
        """Run them until the end of the block."""
        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            self.fan_out.run(tasks, info or stream_info())
            await asyncio.sleep(0.01)
            try:
                yield self
            finally:
                self.fan_out.release()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for another task, thread or process."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - a thread sets no asyncio.Event
            await asyncio.sleep(0.002)


class FailingSink(ListSink):
    """Raises when it has taken so many frames; a new life begins where the last one ended."""

    def __init__(self, at: int, error: Exception | None = None) -> None:
        super().__init__()
        self.at = at
        self.error = error or ValueError("enough")

    def write(self, frame: AudioFrame) -> None:
        if len(self.frames) == self.at:
            self.at = -1
            raise self.error
        super().write(frame)


__all__ = [
    "ALL_TRACKS",
    "FRAME",
    "INBOUND",
    "FailingSink",
    "Sinks",
    "cut",
    "delivered",
    "frame",
    "frames",
    "numbers",
    "stream_info",
    "until",
]
