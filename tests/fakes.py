"""What several tests put in the place of the world: a clock that is told the time, a wire without a socket, sinks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import structlog

from audio_codecs import Codec, Samples, open_codec
from gateway.agents.base import Agent, AgentFactory
from gateway.call import Call, CallOptions, EndReason
from gateway.media.ear import OWN_MARK
from gateway.media.frame import AudioFrame, FrameTrack
from gateway.media.pacer import Pacer
from gateway.protocol.messages import (
    ApplicationMessage,
    Dtmf,
    Error,
    Mark,
    MarkReached,
    Media,
    MediaFormat,
    Play,
    Start,
    StartBody,
    Track,
    UnknownEvent,
    decode_carrier,
)
from gateway.protocol.stream import CarrierStream, Event, MediaStream
from gateway.sinks.base import INBOUND, SinkFactory, SinkSource, StreamInfo


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


class FakeWire:
    """Both ends of one media stream that has started: the application's `stream`, and the `carrier`.

    `sent` is what the application transmitted, as the carrier reads it.
    """

    def __init__(self, encoding: str = "PCMU", clock_rate: int = 8000) -> None:
        body = StartBody(
            call_control_id="v3:call",
            call_session_id="session",
            media_format=MediaFormat(encoding, clock_rate),
            client_state="c3RhdGU=",
        )
        self.carrier = CarrierStream("STREAM", body)
        self.stream = MediaStream(now=0.0)
        self.sent: list[ApplicationMessage | UnknownEvent] = []
        self.receive(self.carrier.send_connected())
        start = self.receive(self.carrier.send_start())
        assert isinstance(start, Start)
        self.start = start

    def receive(self, text: bytes) -> Event | None:
        return self.stream.receive_message(text, now=0.0)

    def transmit(self, text: bytes) -> None:
        self.sent.append(self.carrier.receive_message(text))

    def payloads(self) -> list[bytes]:
        return [message.media.payload for message in self.sent if isinstance(message, Play)]

    def script(self) -> list[str]:
        """What was sent, in order: `media`, `clear`, or the name of a mark; the gateway's own marks are left out."""
        return [
            message.mark.name if isinstance(message, Mark) else "media" if isinstance(message, Play) else "clear"
            for message in self.sent
            if not (isinstance(message, Mark) and message.mark.name.startswith(OWN_MARK))
        ]


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


class FakeLine(FakeWire):
    """A call without a socket, on a fake clock; the test is the carrier.

    `ended` is what the call told its socket.
    """

    def __init__(
        self,
        *,
        agent: AgentFactory | None = None,
        sinks: Mapping[str, SinkSource] | None = None,
        outbound: Codec | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.ended: list[EndReason] = []
        self.call = Call(
            self.start,
            stream=self.stream,
            inbound=lambda: open_codec("PCMU", 8000),
            outbound=outbound or open_codec("PCMU", 8000),
            options=CallOptions(sinks=sinks or {}, agent=agent, **options),
            transmit=self.transmit,
            on_end=self.ended.append,
            pacer=Pacer(self.clock.call_later, self.clock),
            clock=self.clock,
            log=structlog.get_logger(),
        )

    def say(self, *payloads: bytes, track: Track = "inbound") -> None:
        """Packets of sound, all of them now."""
        for payload in payloads:
            message = decode_carrier(self.carrier.send_media(track, payload, timestamp=0))
            assert isinstance(message, Media)
            self.call.media_received(message, self.clock.now)

    def lose(self, payload: bytes) -> None:
        """A packet that goes astray."""
        self.carrier.send_media("inbound", payload, timestamp=0)

    def tell(self, text: bytes) -> None:
        """Any other message that the carrier's end made."""
        event = self.receive(text)
        assert isinstance(event, Dtmf | MarkReached | Error)
        self.call.event_received(event)

    def press(self, digit: str) -> None:
        self.tell(self.carrier.send_dtmf(digit, occurred_at="2026-11-20T10:00:00.000000Z"))

    def wait(self, seconds: float) -> None:
        """Let the time pass for the call's playout and gaps."""
        self.clock.run_until(self.clock.now + seconds)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the call; it ends at the latest with the block."""
        async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
            tasks.create_task(self.call.run())
            await settle()
            try:
                yield
            finally:
                self.call.end(EndReason.STOP)


def acting(run: Callable[[Call], Awaitable[None]]) -> AgentFactory:
    """Make agents out of what they do."""

    class Acting(Agent):
        async def run(self, call: Call) -> None:
            await run(call)

    return Acting


async def settle() -> None:
    """Let every task come to where it has to wait for something."""
    for _ in range(10):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool], *, timeout: float = 5.0) -> None:
    """Wait for what nobody tells."""
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110 - any condition, so there is no event
            await asyncio.sleep(0.002)


def noise(length: int, seed: int = 1) -> Samples:
    """Samples that no other stretch looks like."""
    return np.random.default_rng(seed).integers(-20_000, 20_000, length, dtype=np.int16)
