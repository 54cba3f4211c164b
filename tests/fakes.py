"""What several tests put in the place of the world: a clock that is told the time, timers that follow it, sinks."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np

from audio_codecs import Samples
from gateway.media.frame import AudioFrame, FrameTrack
from gateway.sinks.base import INBOUND, SinkFactory, StreamInfo


class FakeTimer:
    """What `FakeClock.call_later` gives back."""

    def __init__(self, at: float, callback: Callable[[], Any]) -> None:
        self.at = at
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeClock:
    """A monotonic clock that stands still but for `run_until`, and an event loop's `call_later` on it.

    `late` is how many seconds the timers come after their time.
    """

    def __init__(self, now: float = 100.0, *, late: float = 0.0) -> None:
        self.now = now
        self.late = late
        self._timers: list[FakeTimer] = []

    def __call__(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], Any]) -> FakeTimer:
        assert delay >= 0
        timer = FakeTimer(self.now + delay, callback)
        self._timers.append(timer)
        return timer

    @property
    def pending(self) -> list[FakeTimer]:
        """The timers that are armed, the first first."""
        self._timers = [timer for timer in self._timers if not timer.cancelled]
        return sorted(self._timers, key=lambda timer: timer.at)

    def run_until(self, end: float) -> None:
        """Let the time pass, and every timer come that is due by then."""
        while self.pending and self.pending[0].at + self.late <= end:
            timer = self.pending[0]
            self._timers.remove(timer)
            self.now = max(self.now, timer.at + self.late)
            timer.callback()
        self.now = max(self.now, end)


class ListSink:
    """Keeps the frames it is given; `factory` opens it, and `opened` and `closed` tell of its life."""

    def __init__(self, *tracks: FrameTrack) -> None:
        self.tracks: frozenset[FrameTrack] = frozenset(tracks) or INBOUND
        self.frames: list[AudioFrame] = []
        self.opened: list[StreamInfo] = []
        self.closed = 0

    def write(self, frame: AudioFrame) -> None:
        self.frames.append(frame)

    def timestamps(self) -> list[int]:
        return [frame.timestamp for frame in self.frames]

    def sound(self) -> Samples:
        return np.concatenate([frame.samples for frame in self.frames] or [np.zeros(0, np.int16)])

    @property
    def factory(self) -> SinkFactory:
        @asynccontextmanager
        async def open_it(info: StreamInfo) -> AsyncIterator["ListSink"]:
            self.opened.append(info)
            try:
                yield self
            finally:
                self.closed += 1

        return open_it


def noise(length: int, seed: int = 1) -> Samples:
    """Samples that no other stretch looks like."""
    return np.random.default_rng(seed).integers(-20_000, 20_000, length, dtype=np.int16)
