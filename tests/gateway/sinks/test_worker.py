"""Sinks that wait, in a task of their own."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import pytest
from structlog.testing import capture_logs

from gateway.errors import SinkError
from gateway.media.frame import AudioFrame
from gateway.sinks.base import INBOUND, AsyncAudioSink, StreamInfo
from gateway.sinks.budget import LoopBudget
from gateway.sinks.delivery import Restart
from gateway.sinks.events import SinkDropping
from gateway.sinks.worker import stepwise
from tests.fakes import FakeClock, ListSink, settle
from tests.gateway.sinks.streams import Sinks, delivered, frames, numbers, until


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


class Waiting:
    """Takes frames when it is let, and remembers its tasks."""

    tracks = INBOUND

    def __init__(self, *, free: bool = True) -> None:
        self.frames: list[AudioFrame] = []
        self.closed = 0
        self.free = asyncio.Event()
        self.begun = 0
        if free:
            self.free.set()

    async def write(self, frame: AudioFrame) -> None:
        self.begun += 1
        await self.free.wait()
        self.frames.append(frame)

    @asynccontextmanager
    async def factory(self, info: StreamInfo) -> AsyncIterator[AsyncAudioSink]:
        del info
        yield self
        self.closed += 1


async def test_a_sink_that_waits_gets_everything_in_order_and_the_call_does_not_wait() -> None:
    sink = Waiting(free=False)
    sinks = Sinks({"sink": delivered(sink.factory, by="task", linger=0)})
    async with sinks.running():
        sinks.write(*frames(0, 10))
        await until(lambda: sink.begun == 1)
        told = sinks.told("sink")
        assert (told["frames"], told["frames_waiting"], told["lag"]) == (0, 9, pytest.approx(0.18))
        sink.free.set()
        await until(lambda: len(sink.frames) == 10)
    assert numbers(sink.frames) == list(range(10))
    told = sinks.told("sink")
    assert (told["state"], told["frames"], told["frames_dropped"], sink.closed) == ("closed", 10, 0, 1)
    assert told["delivery"] == "Buffered(250, drop_oldest) -> task"


async def test_a_sink_that_is_too_slow_loses_by_its_rule_and_it_is_counted_and_told_once() -> None:
    sink = Waiting(free=False)
    sinks = Sinks({"sink": delivered(sink.factory, by="task", linger=0, frames=5)})
    async with sinks.running():
        sinks.write(frames(0, 1)[0])
        await until(lambda: sink.begun == 1)
        sinks.write(*frames(1, 101))
        sink.free.set()
    assert numbers(sink.frames) == [0, 96, 97, 98, 99, 100]
    told = sinks.told("sink")
    assert (told["frames"], told["frames_dropped"], told["lag_max"]) == (6, 95, 0.1)
    assert sinks.events == [SinkDropping("sink", "drop_oldest")]


async def test_what_waits_as_the_call_ends_is_delivered_and_what_is_not_in_time_is_counted() -> None:
    sink = Waiting(free=False)
    sinks = Sinks({"sink": delivered(sink.factory, by="task", linger=0, close_timeout=0.05)})
    async with sinks.running():
        sinks.write(*frames(0, 10))
        await until(lambda: sink.begun == 1)
    told = sinks.told("sink")
    assert (told["state"], told["frames"], told["frames_dropped"], told["frames_waiting"]) == ("closed", 0, 10, 0)
    assert sink.closed == 1


async def test_a_sink_that_raises_is_restarted_with_what_came_meanwhile() -> None:
    class Failing(Waiting):
        async def write(self, frame: AudioFrame) -> None:
            if len(self.frames) == 3 and self.begun == 3:
                self.begun = 100
                raise ConnectionError("gone")
            await super().write(frame)

    sink = Failing()
    sinks = Sinks({"sink": delivered(sink.factory, by="task", linger=0, restart=Restart(first=0.02))})
    async with sinks.running():
        sinks.write(*frames(0, 6))
        await until(lambda: sinks.told("sink")["state"] == "restarting")
        sinks.write(*frames(6, 8))
        await until(lambda: len(sink.frames) == 7)
    assert numbers(sink.frames) == [0, 1, 2, 4, 5, 6, 7]
    told = sinks.told("sink")
    assert (told["frames"], told["frames_dropped"], told["restarts"]) == (7, 1, 1)


async def test_a_sink_whose_buffer_is_full_can_ask_to_be_stopped() -> None:
    sink = Waiting(free=False)
    sinks = Sinks({"sink": delivered(sink.factory, by="task", linger=0, frames=5, full="stop", close_timeout=0.05)})
    async with sinks.running():
        sinks.write(*frames(0, 10))
        await until(lambda: sink.closed == 1)
    told = sinks.told("sink")
    assert (told["state"], told["frames"], told["frames_dropped"]) == ("failed", 0, 10)
    assert told["error"] == "SinkError: 5 frames wait for it, and it is to stop then"


async def test_a_sink_that_spills_loses_nothing_over_a_restart_however_long_it_takes() -> None:
    class Failing(Waiting):
        async def write(self, frame: AudioFrame) -> None:
            if frame.timestamp == 160 and self.begun == 1:
                self.begun = 2
                raise ConnectionError("gone")
            await super().write(frame)

    sink = Failing()
    delivery = {"frames": 10, "full": "spill", "linger": 0, "restart": Restart(first=0.1)}
    sinks = Sinks({"sink": delivered(sink.factory, by="task", **delivery)})
    async with sinks.running():
        sinks.write(*frames(0, 3))
        await until(lambda: sinks.told("sink")["state"] == "restarting")
        for begin in range(3, 600, 199):
            sinks.write(*frames(begin, begin + 199))
            await asyncio.sleep(0.01)
    assert numbers(sink.frames) == [0, *range(2, 600)]
    assert (sinks.told("sink")["frames"], sinks.told("sink")["frames_dropped"]) == (599, 1)


async def test_a_plain_write_that_says_it_is_a_coroutine_function_is_refused() -> None:
    sinks = Sinks({"sink": delivered(ListSink().factory, by="task", linger=0)})
    async with sinks.running():
        sinks.write(*frames(0, 2))
        await until(lambda: sinks.told("sink")["state"] == "failed")
    assert "no coroutine function" in sinks.told("sink")["error"]


async def test_a_sink_that_does_not_take_its_cancellation_does_not_hold_the_call() -> None:
    class Stubborn(Waiting):
        async def write(self, frame: AudioFrame) -> None:
            while self.begun < 2:
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(3)
                self.begun += 1

    sink = Stubborn()
    sinks = Sinks({"sink": delivered(sink.factory, by="task", linger=0, close_timeout=0.02)})
    async with asyncio.timeout(2), sinks.running():
        sinks.write(*frames(0, 3))
        await settle()
    assert (sinks.told("sink")["frames"], sinks.told("sink")["frames_dropped"], sink.closed) == (0, 3, 1)


# --- step by step --------------------------------------------------------------------------------------------------


def budget(clock: FakeClock) -> LoopBudget:
    return LoopBudget(0.01, clock=clock, on_spent=lambda reason: None)


async def test_only_the_steps_on_the_loop_are_timed_not_the_waits() -> None:
    clock = FakeClock()
    times = budget(clock)

    async def work() -> None:
        clock.now += 0.02
        task = asyncio.ensure_future(other())
        await task
        clock.now += 0.03

    async def other() -> None:
        clock.now += 5

    await stepwise(work(), times)
    assert times.overruns == 2
    assert times.longest == pytest.approx(0.03)


async def test_what_is_awaited_inside_comes_back_results_and_errors() -> None:
    heard: list[object] = []

    async def work() -> None:
        heard.append(await asyncio.sleep(0, "result"))
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        future.set_exception(ValueError("inside"))
        try:
            await future
        except ValueError as error:
            heard.append(str(error))
        raise SinkError("outside")

    with pytest.raises(SinkError, match="outside"):
        await stepwise(work(), budget(FakeClock()))
    assert heard == ["result", "inside"]


async def test_a_cancellation_reaches_the_coroutine() -> None:
    cleaned = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    async def run() -> None:
        await stepwise(work(), budget(FakeClock()))

    task = asyncio.ensure_future(run())
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned == [True]
