"""A call whose other end plays what it is sent, and returns the marks, on the call's own fake clock."""

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np

from audio_codecs import Samples, open_codec
from gateway.protocol.messages import Clear, Mark, Play
from tests.fakes import FakeLine, settle
from tests.gateway.media.far_end import FarEnd


class HeardLine(FakeLine):
    """The wire carries L16, so that what is heard is what was said, to the sample.

    `far` is the other end.
    """

    def __init__(self, *, rate: int = 8000, latency: float = 0.0, **fields: Any) -> None:
        self.far = FarEnd(rate // 50, latency)
        super().__init__(outbound=open_codec("L16", rate), **fields)

    def transmit(self, text: bytes) -> None:
        super().transmit(text)
        match self.sent[-1]:
            case Play(media=body):
                self.far.receive([body.payload], now=self.clock.now)
            case Mark(mark=mark):
                self.far.receive([mark.name], now=self.clock.now)
            case Clear():
                self.far.clear(now=self.clock.now)

    def wait(self, seconds: float) -> None:
        """Let the time pass, here and there."""
        end = self.clock.now + seconds
        while (back := self.far.next_return()) is not None and back <= end:
            super().wait(max(0.0, back - self.clock.now))
            for name in self.far.take_returned(now=self.clock.now):
                self.tell(self.carrier.send_mark(name))
        super().wait(max(0.0, end - self.clock.now))
        self.far.advance(self.clock.now)

    async def live(self, seconds: float) -> None:
        """The same, with a turn for every task every 20 ms."""
        end = self.clock.now + seconds
        while self.clock.now < end - 1e-9:
            self.wait(min(0.02, end - self.clock.now))
            await settle()

    async def live_until(self, condition: Callable[[], object], *, limit: float = 30.0) -> None:
        """The same until something has come about."""
        await live_until(self, condition, limit=limit)

    def heard(self) -> Samples:
        """All that was heard."""
        self.far.advance(self.clock.now)
        return np.concatenate([np.zeros(0, np.int16), *self.far.heard])


async def until(condition: Callable[[], object]) -> None:
    """Wait for what a thread does."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - a thread sets no event of this loop
            await asyncio.sleep(0.001)


async def live_until(line: FakeLine, condition: Callable[[], object], *, limit: float = 30.0) -> None:
    """Let the time pass for a call until something has come about, with some for the threads that read."""
    end = line.clock.now + limit
    while not condition():
        assert line.clock.now < end, f"not within {limit} s"
        line.wait(0.02)
        await asyncio.sleep(0.001)
