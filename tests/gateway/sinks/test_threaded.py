"""Sinks that block, in a thread of their own."""

import asyncio
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import pytest
from structlog.testing import capture_logs

from gateway.media.frame import AudioFrame
from gateway.sinks.base import INBOUND, StreamInfo
from gateway.sinks.delivery import Restart
from tests.fakes import ListSink
from tests.gateway.sinks.streams import Sinks, delivered, frames, numbers, until


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


class Blocking:
    """Blocks at each frame until it is let; tells the threads that it was called in."""

    tracks = INBOUND

    def __init__(self) -> None:
        self.frames: list[AudioFrame] = []
        self.threads: set[threading.Thread] = set()
        self.life: list[str] = []
        self.free = threading.Event()
        self.begun = 0

    def source(self, info: StreamInfo) -> Self:
        del info
        self._note("made")
        return self

    def __enter__(self) -> Self:
        self._note("entered")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._note("left")

    def write(self, frame: AudioFrame) -> None:
        self.begun += 1
        self.threads.add(threading.current_thread())
        self.free.wait(20)
        self.frames.append(frame)

    def _note(self, what: str) -> None:
        self.life.append(what)
        self.threads.add(threading.current_thread())


def sinks_with(sink: Blocking, **delivery: Any) -> Sinks:
    return Sinks({"sink": delivered(sink.source, by="thread", linger=0, **delivery)})


async def test_a_sink_that_blocks_does_so_in_its_own_thread_from_its_making_to_its_end() -> None:
    sink = Blocking()
    sink.free.set()
    sinks = sinks_with(sink)
    sinks.write(*frames(0, 3))
    async with sinks.running():
        sinks.write(*frames(3, 50))
        await until(lambda: len(sink.frames) == 50)
    assert numbers(sink.frames) == list(range(50))
    assert sink.life == ["made", "entered", "left"]
    assert threading.main_thread() not in sink.threads
    assert len(sink.threads) == 1
    await until(lambda: not any(thread.is_alive() for thread in sink.threads))
    told = sinks.told("sink")
    assert (told["state"], told["frames"], told["frames_dropped"]) == ("closed", 50, 0)
    assert told["delivery"] == "Buffered(250, drop_oldest) -> thread"


async def test_while_it_blocks_the_loop_runs_and_its_oldest_frames_give_way() -> None:
    sink, other = Blocking(), ListSink()
    sinks = sinks_with(sink, frames=5)
    sinks.fan_out.add("other", other.factory)
    async with sinks.running():
        sinks.write(frames(0, 1)[0])
        await until(lambda: sink.begun == 1)
        begun = time.monotonic()
        sinks.write(*frames(1, 101))
        assert time.monotonic() - begun < 1
        assert len(other.frames) == 101
        sink.free.set()
    assert numbers(sink.frames) == [0, 96, 97, 98, 99, 100]
    assert (sinks.told("sink")["frames"], sinks.told("sink")["frames_dropped"]) == (6, 95)


async def test_a_thread_that_does_not_come_back_does_not_hold_the_call_and_takes_no_more_frames() -> None:
    sink = Blocking()
    sinks = sinks_with(sink, close_timeout=0.03)
    async with asyncio.timeout(5), sinks.running():
        sinks.write(*frames(0, 10))
        await until(lambda: sink.begun == 1)
    told = sinks.told("sink")
    assert (told["state"], told["error"]) == ("failed", "TimeoutError: not closed after 0.03 s")
    assert (told["frames"], told["frames_dropped"]) == (0, 10)
    sink.free.set()
    await until(lambda: sink.life[-1] == "left")  # closed when it could be
    assert sink.begun == 1


@pytest.mark.parametrize("error", [ValueError("enough"), SystemExit(3)])
async def test_what_it_raises_is_its_own_and_it_is_restarted_if_it_says_so(error: BaseException) -> None:
    class Failing(Blocking):
        def write(self, frame: AudioFrame) -> None:
            if frame.timestamp == 160 * 3 and len(self.life) == 2:
                raise error
            super().write(frame)

    sink = Failing()
    sink.free.set()
    sinks = sinks_with(sink, restart=Restart(first=0.01))
    async with sinks.running():
        sinks.write(*frames(0, 8))
        await until(lambda: len(sink.frames) == 7)
    assert numbers(sink.frames) == [0, 1, 2, 4, 5, 6, 7]
    assert sink.life == ["made", "entered", "left"] * 2
    told = sinks.told("sink")
    assert (told["frames"], told["frames_dropped"], told["restarts"]) == (7, 1, 1)
    assert str(error) in told["error"]


async def test_a_sink_that_takes_too_long_to_make_is_closed_when_it_is_made_after_all() -> None:
    made = threading.Event()
    life: list[str] = []

    class Slow(Blocking):
        def source(self, info: StreamInfo) -> Self:
            made.wait(20)
            self.life = life
            return super().source(info)

    sinks = sinks_with(Slow(), open_timeout=0.02)
    async with asyncio.timeout(5), sinks.running():
        await until(lambda: sinks.told("sink")["state"] == "failed")
    assert sinks.told("sink")["error"] == "TimeoutError: not open after 0.02 s"
    made.set()
    await until(lambda: life == ["made", "entered", "left"])


async def test_a_sink_for_the_event_loop_is_refused() -> None:
    sinks = Sinks({"sink": delivered(ListSink().factory, by="thread")})
    async with sinks.running():
        await until(lambda: sinks.told("sink")["state"] == "failed")
    assert "opened by `async with`" in sinks.told("sink")["error"]


async def test_spill_and_thread_together_lose_nothing() -> None:
    sink = Blocking()
    sinks = sinks_with(sink, frames=20, full="spill")
    async with sinks.running():
        sinks.write(*frames(0, 400))
        await until(lambda: sink.begun == 1)
        sink.free.set()
        sinks.write(*frames(400, 700))
        await asyncio.sleep(0.02)
        sinks.write(*frames(700, 1000))
    assert numbers(sink.frames) == list(range(1000))
    assert (sinks.told("sink")["frames"], sinks.told("sink")["frames_dropped"]) == (1000, 0)
