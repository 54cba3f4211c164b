"""The place of one sink: its life, and its failures, which are its own."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import numpy as np
import pytest
import structlog
from structlog.testing import capture_logs

from gateway.errors import SinkError
from gateway.media.frame import AudioFrame, FrameTrack
from gateway.sinks.base import AudioSink, SinkFactory, StreamInfo
from gateway.sinks.slot import SinkSlot, SinkState
from tests.fakes import ListSink
from tests.gateway.sinks.test_recorder_recording import stream_info

INFO = stream_info()


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


def frame(number: int, track: FrameTrack = "inbound") -> AudioFrame:
    return AudioFrame(track, np.full(160, number, np.int16), 8000, 160 * number)


def make(factory: SinkFactory, **timeouts: float) -> SinkSlot:
    return SinkSlot("test", factory, log=structlog.get_logger(), **timeouts)


class Running:
    """A slot's `run` beside the test, with what it told of changes."""

    def __init__(self, slot: SinkSlot, tasks: asyncio.TaskGroup) -> None:
        self.changes: list[SinkState] = []
        self.task = tasks.create_task(slot.run(INFO, on_change=lambda: self.changes.append(slot.state)))


@asynccontextmanager
async def running(slot: SinkSlot) -> AsyncIterator[Running]:
    """Run the slot until it is released, at the latest at the end of the block."""
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        run = Running(slot, tasks)
        await asyncio.sleep(0)
        yield run
        slot.release()


class Door:
    """A sink that opens and closes when the test lets it."""

    def __init__(self, sink: AudioSink) -> None:
        self.sink = sink
        self.open = asyncio.Event()
        self.close = asyncio.Event()
        self.close.set()

    @asynccontextmanager
    async def factory(self, info: StreamInfo) -> AsyncIterator[AudioSink]:
        del info
        await self.open.wait()
        try:
            yield self.sink
        finally:
            await self.close.wait()


class FailingSink(ListSink):
    """Raises at the frame with this number."""

    def __init__(self, at: int, error: Exception) -> None:
        super().__init__()
        self.at = at
        self.error = error

    def write(self, frame: AudioFrame) -> None:
        if len(self.frames) == self.at:
            raise self.error
        super().write(frame)


# --- a life without trouble ----------------------------------------------------------------------------------------


async def test_a_sink_is_opened_for_the_stream_hears_its_frames_and_is_closed() -> None:
    sink = ListSink()
    slot = make(sink.factory)
    async with running(slot) as run:
        slot.write(frame(1))
        assert (sink.opened, sink.closed) == ([INFO], 0)
    assert (slot.state, slot.error, slot.frames_dropped, sink.closed) == (SinkState.CLOSED, None, 0, 1)
    assert sink.timestamps() == [160]
    assert run.changes == [SinkState.OPEN, SinkState.OPEN]  # as it opened, and before it closed


async def test_frames_from_before_the_sink_is_open_are_handed_over_first() -> None:
    sink = ListSink("inbound", "played")
    door = Door(sink)
    slot = make(door.factory)
    frames = [frame(0), frame(1, "played"), frame(2, "outbound"), frame(3)]
    async with running(slot):
        for one in frames:
            assert slot.hears(one.track)
            slot.write(one)
        assert sink.frames == []
        door.open.set()
        await asyncio.sleep(0.01)
        slot.write(frame(4))
    assert sink.timestamps() == [0, 160, 480, 640]  # not the outbound one, which it does not want
    assert all(one is another for one, another in zip(sink.frames, (frames[0], frames[1], frames[3]), strict=False))
    assert slot.frames_dropped == 0


async def test_a_sink_that_opens_too_slowly_loses_its_oldest_frames_and_they_are_counted() -> None:
    sink = ListSink()
    door = Door(sink)
    slot = make(door.factory)
    async with running(slot):
        for number in range(260):
            slot.write(frame(number))
        door.open.set()
    assert sink.timestamps() == [160 * number for number in range(10, 260)]
    assert slot.frames_dropped == 10


async def test_a_slot_hears_the_tracks_that_its_sink_wants() -> None:
    slot = make(ListSink("outbound").factory)
    async with running(slot):
        assert [track for track in ("inbound", "outbound", "played") if slot.hears(track)] == ["outbound"]


async def test_a_slot_released_before_its_sink_is_open_still_gives_it_the_early_frames_and_closes_it() -> None:
    sink = ListSink()
    door = Door(sink)
    slot = make(door.factory)
    async with running(slot):
        slot.write(frame(1))
        slot.release()
        door.open.set()
    assert sink.timestamps() == [160]
    assert slot.state is SinkState.CLOSED


async def test_frames_after_the_end_are_refused_and_counted() -> None:
    sink = ListSink()
    slot = make(sink.factory)
    async with running(slot):
        pass
    slot.write(frame(1))
    assert (sink.frames, slot.frames_dropped) == ([], 1)


async def test_a_cancelled_slot_closes_its_sink() -> None:
    sink = ListSink()
    slot = make(sink.factory)
    async with running(slot) as run:
        run.task.cancel()
    assert (sink.closed, slot.state) == (1, SinkState.CLOSED)


async def test_an_early_frame_that_makes_the_call_speak_does_not_disturb_the_handing_over() -> None:
    slot: SinkSlot

    class Interrupting(ListSink):
        def write(self, frame: AudioFrame) -> None:
            super().write(frame)
            if frame.track == "inbound":
                slot.write(AudioFrame("played", frame.samples, 8000, frame.timestamp))  # as `call.clear()` may do

    sink = Interrupting("inbound", "played")
    door = Door(sink)
    slot = make(door.factory)
    async with running(slot):
        slot.write(frame(1))
        slot.write(frame(2))
        door.open.set()
    assert slot.error is None
    assert [one.timestamp for one in sink.frames if one.track == "inbound"] == [160, 320]
    assert [one.timestamp for one in sink.frames if one.track == "played"] == [160, 320]


# --- failures ------------------------------------------------------------------------------------------------------


async def assert_fails_alone(slot: SinkSlot, error: str) -> Running:
    """Run the slot: it ends by itself, as failed, and raises nothing."""
    async with running(slot) as run, asyncio.timeout(2):
        await asyncio.wait((run.task,))
    assert run.task.exception() is None
    assert slot.state is SinkState.FAILED
    assert slot.error is not None
    assert error in slot.error
    assert not any(slot.hears(track) for track in ("inbound", "outbound", "played"))
    slot.write(frame(9))
    return run


async def test_a_sink_that_cannot_be_opened_fails_alone() -> None:
    @asynccontextmanager
    async def factory(info: StreamInfo) -> AsyncIterator[AudioSink]:
        raise OSError("no disk")
        yield ListSink()

    run = await assert_fails_alone(make(factory), "OSError: no disk")
    assert run.changes == [SinkState.FAILED]


async def test_a_factory_that_raises_before_there_is_a_context_fails_alone() -> None:
    def factory(info: StreamInfo) -> AbstractAsyncContextManager[AudioSink]:
        raise RuntimeError(f"no model for {info.inbound_encoding}")

    await assert_fails_alone(make(factory), "RuntimeError: no model for PCMU")


async def test_a_sink_without_tracks_fails_alone_and_is_closed() -> None:
    closed = []

    class Deaf:
        def write(self, frame: AudioFrame) -> None:
            raise AssertionError(frame)

    @asynccontextmanager
    async def factory(info: StreamInfo) -> AsyncIterator[Any]:
        yield Deaf()
        closed.append(info)

    await assert_fails_alone(make(factory), "AttributeError")
    assert closed == [INFO]


async def test_a_sink_that_does_not_open_in_time_fails_alone() -> None:
    await assert_fails_alone(make(Door(ListSink()).factory, open_timeout=0.01), "TimeoutError")


async def test_a_sink_that_fails_on_an_early_frame_is_closed() -> None:
    sink = FailingSink(1, SinkError("full"))
    door = Door(sink)
    slot = make(door.factory)
    for number in range(3):
        slot.write(frame(number))
    door.open.set()
    await assert_fails_alone(slot, "SinkError: full")
    assert sink.timestamps() == [0]


async def test_a_slot_that_was_failed_closes_its_sink_and_refuses_frames() -> None:
    sink = ListSink()
    slot = make(sink.factory)
    async with running(slot) as run:
        slot.fail(SinkError("full"))
        slot.fail(SinkError("later troubles are of no interest"))
        slot.write(frame(1))
        await run.task
        slot.write(frame(2))
    assert (slot.state, slot.error, sink.closed) == (SinkState.FAILED, "SinkError: full", 1)
    assert (sink.frames, slot.frames_dropped) == ([], 2)


async def test_a_sink_that_does_not_close_in_time_fails_alone() -> None:
    door = Door(ListSink())
    door.open.set()
    door.close.clear()
    slot = make(door.factory, close_timeout=0.01)
    async with running(slot):
        slot.write(frame(1))
    assert slot.state is SinkState.FAILED
    assert slot.error is not None
    assert "TimeoutError" in slot.error


async def test_a_failure_is_logged_once_and_its_text_has_a_bound() -> None:
    with capture_logs() as logs:
        slot = make(ListSink().factory)
        slot.fail(ValueError("x" * 10_000))
        slot.fail(ValueError("y"))
    assert [(line["event"], line["log_level"], line["sink"]) for line in logs] == [("sink failed", "error", "test")]
    assert slot.error is not None
    assert len(slot.error) == 500


# --- the report ----------------------------------------------------------------------------------------------------


async def test_the_description_is_json_and_holds_what_the_sink_tells() -> None:
    class Telling(ListSink):
        def describe(self) -> dict[str, Any]:
            return {"recording": "folder"}

    slot = make(Telling().factory)
    assert json.loads(json.dumps(slot.describe())) == {"state": "opening", "error": None, "frames_dropped": 0}
    async with running(slot):
        expected = {"state": "open", "error": None, "frames_dropped": 0, "recording": "folder"}
        assert json.loads(json.dumps(slot.describe())) == expected
    assert slot.describe()["state"] == "closed"


async def test_a_sink_that_fails_to_describe_itself_does_not_cost_the_report() -> None:
    class Mute(ListSink):
        def describe(self) -> dict[str, Any]:
            raise KeyError("word")

    slot = make(Mute().factory)
    async with running(slot):
        description = slot.describe()
    assert description["state"] == "open"
    assert "KeyError" in description["problem"]
