"""The place of one sink: its life, its failures, which are its own, and what became of its frames."""

import asyncio
import json
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Self

import pytest
from structlog.testing import capture_logs

from gateway.errors import SinkError
from gateway.media.frame import AudioFrame
from gateway.sinks.base import INBOUND, AudioSink, StreamInfo
from gateway.sinks.delivery import Restart
from gateway.sinks.events import SinkDropping, SinkFailed, SinkRestarted
from tests.fakes import ListSink, noise, settle
from tests.gateway.sinks.streams import FailingSink, Sinks, delivered, frame, frames, numbers, stream_info, until


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


class Door:
    """Opens and closes a sink when the test lets it."""

    def __init__(self, sink: AudioSink, *, closes: bool = True) -> None:
        self.sink = sink
        self.open = asyncio.Event()
        self.close = asyncio.Event()
        if closes:
            self.close.set()

    @asynccontextmanager
    async def factory(self, info: StreamInfo) -> AsyncIterator[AudioSink]:
        del info
        await self.open.wait()
        try:
            yield self.sink
        finally:
            await self.close.wait()


def counts(sinks: Sinks, name: str = "sink") -> tuple[str, int, int]:
    """State, frames taken, frames dropped."""
    told = sinks.told(name)
    return told["state"], told["frames"], told["frames_dropped"]


# --- a life without trouble ----------------------------------------------------------------------------------------


async def test_a_sink_is_opened_for_the_stream_hears_its_frames_and_is_closed() -> None:
    sink = ListSink()
    sinks = Sinks({"sink": sink.factory})
    async with sinks.running():
        assert (sink.opened, sink.closed) == ([stream_info()], 0)
        sinks.write(*frames(0, 3))
        assert numbers(sink.frames) == [0, 1, 2]
        assert counts(sinks) == ("open", 3, 0)
    assert (counts(sinks), sink.closed) == (("closed", 3, 0), 1)
    assert sinks.events == []


async def test_what_a_sink_told_as_it_closed_stays_and_the_sink_does_not() -> None:
    class Speaking(ListSink):
        def describe(self) -> dict[str, Any]:
            return {"heard": len(self.frames), "closed": self.closed}

    sink = Speaking()
    told = weakref.ref(sink)
    sinks = Sinks({"sink": sink.factory})
    del sink
    async with sinks.running():
        sinks.write(*frames(0, 3))
    assert (sinks.told("sink")["heard"], sinks.told("sink")["closed"]) == (3, 1)
    assert told() is None


async def test_a_class_is_a_source_and_its_sink_needs_no_opening() -> None:
    heard = []

    class Plain:
        tracks = INBOUND

        def __init__(self, info: StreamInfo) -> None:
            self.stream = info.stream_id

        def write(self, frame: AudioFrame) -> None:
            heard.append((self.stream, frame.timestamp))

    sinks = Sinks({"sink": Plain})
    async with sinks.running():
        sinks.write(frame(1))
    assert heard == [("stream-1", 160)]
    assert counts(sinks) == ("closed", 1, 0)


@pytest.mark.parametrize("kind", ["with", "async with"])
async def test_a_sink_that_is_a_context_manager_is_entered_and_left(kind: str) -> None:
    life = []

    class Opened(ListSink):
        if kind == "with":

            def __enter__(self) -> Self:
                life.append("entered")
                return self

            def __exit__(self, *_: object) -> None:
                life.append("left")

        else:

            async def __aenter__(self) -> Self:
                life.append("entered")
                return self

            async def __aexit__(self, *_: object) -> None:
                life.append("left")

    sink = Opened()
    sinks = Sinks({"sink": lambda info: sink})
    async with sinks.running():
        sinks.write(frame(1))
        assert life == ["entered"]
    assert (life, numbers(sink.frames)) == (["entered", "left"], [1])


async def test_frames_from_before_the_sink_is_open_are_handed_over_first() -> None:
    sink = ListSink("inbound", "played")
    door = Door(sink)
    sinks = Sinks({"sink": door.factory})
    early = [frame(0), frame(1, "played"), frame(2, "outbound"), frame(3)]
    sinks.write(*early[:2])
    async with sinks.running():
        sinks.write(*early[2:])
        assert sink.frames == []
        door.open.set()
        await until(lambda: len(sink.frames) == 3)
        sinks.write(frame(4))
    assert numbers(sink.frames) == [0, 1, 3, 4]  # not the outbound one, which it does not want
    assert all(one is another for one, another in zip(sink.frames, (early[0], early[1], early[3]), strict=False))
    assert counts(sinks) == ("closed", 4, 0)


async def test_a_sink_that_opens_too_slowly_loses_its_oldest_frames_and_they_are_counted() -> None:
    sink = ListSink()
    door = Door(sink)
    sinks = Sinks({"sink": door.factory})
    async with sinks.running():
        sinks.write(*frames(0, 260))
        door.open.set()
    assert numbers(sink.frames) == list(range(10, 260))
    assert counts(sinks) == ("closed", 250, 10)
    assert sinks.events == [SinkDropping("sink", "drop_oldest")]


async def test_a_sink_released_before_it_is_open_still_gets_the_early_frames_and_is_closed() -> None:
    sink = ListSink()
    door = Door(sink)
    sinks = Sinks({"sink": door.factory})
    async with sinks.running():
        sinks.write(frame(1))
        sinks.fan_out.release()
        door.open.set()
    assert (numbers(sink.frames), counts(sinks)) == ([1], ("closed", 1, 0))


async def test_frames_after_the_end_are_counted_as_dropped() -> None:
    sink = ListSink()
    sinks = Sinks({"sink": sink.factory})
    async with sinks.running():
        pass
    sinks.write(*frames(0, 3))
    assert (sink.frames, counts(sinks)) == ([], ("closed", 0, 3))


async def test_a_cancelled_slot_closes_its_sink() -> None:
    sink = ListSink()
    sinks = Sinks({})
    slot = sinks.fan_out.add("sink", sink.factory)
    task = asyncio.ensure_future(slot.run(stream_info(), on_change=lambda: None))
    await settle()
    task.cancel()
    await asyncio.wait((task,))
    assert (sink.closed, slot.state) == (1, "closed")


async def test_an_early_frame_that_makes_the_call_speak_does_not_disturb_the_handing_over() -> None:
    class Interrupting(ListSink):
        def write(self, frame: AudioFrame) -> None:
            super().write(frame)
            if frame.track == "inbound":
                sinks.write(AudioFrame("played", frame.samples, 8000, frame.timestamp))  # as `call.clear()` may do

    sink = Interrupting("inbound", "played")
    door = Door(sink)
    sinks = Sinks({"sink": door.factory})
    async with sinks.running():
        sinks.write(*frames(1, 3))
        door.open.set()
    assert sinks.told("sink")["error"] is None
    assert [one.timestamp for one in sink.frames if one.track == "inbound"] == [160, 320]
    assert [one.timestamp for one in sink.frames if one.track == "played"] == [160, 320]


# --- failures ------------------------------------------------------------------------------------------------------


async def test_a_sink_that_raises_is_closed_and_what_comes_later_is_counted_as_dropped() -> None:
    sink = FailingSink(100, SinkError("full"))
    sinks = Sinks({"sink": sink.factory})
    async with sinks.running():
        sinks.write(*frames(0, 110))
        await settle()
        assert sink.closed == 1
        sinks.write(*frames(110, 120))
    assert numbers(sink.frames) == list(range(100))
    assert (counts(sinks), sinks.told("sink")["error"]) == (("failed", 100, 20), "SinkError: full")
    assert sinks.events == [SinkFailed("sink", "SinkError: full", None)]


async def assert_fails_alone(source: Any, error: str) -> None:
    """It fails by itself, and a sink beside it knows nothing of that."""
    good = ListSink()
    sinks = Sinks({"sink": source, "good": good.factory})
    sinks.write(*frames(0, 2))
    async with sinks.running():
        await until(lambda: sinks.told("sink")["state"] == "failed")
        sinks.write(*frames(2, 4))
    assert error in sinks.told("sink")["error"]
    assert numbers(good.frames) == [0, 1, 2, 3]
    state, taken, dropped = counts(sinks)
    assert (state, taken + dropped) == ("failed", 4)


async def test_a_sink_that_cannot_be_opened_fails_alone() -> None:
    @asynccontextmanager
    async def factory(info: StreamInfo) -> AsyncIterator[AudioSink]:
        raise OSError("no disk")
        yield ListSink()

    await assert_fails_alone(factory, "OSError: no disk")


async def test_a_source_that_raises_before_there_is_a_sink_fails_alone() -> None:
    def source(info: StreamInfo) -> AbstractAsyncContextManager[AudioSink]:
        raise RuntimeError(f"no model for {info.inbound_encoding}")

    await assert_fails_alone(source, "RuntimeError: no model for PCMU")


async def test_a_sink_without_tracks_fails_alone_and_is_closed() -> None:
    closed = []

    class Deaf:
        def write(self, frame: AudioFrame) -> None:
            raise AssertionError(frame)

    @asynccontextmanager
    async def factory(info: StreamInfo) -> AsyncIterator[Any]:
        try:
            yield Deaf()
        finally:
            closed.append(info)

    await assert_fails_alone(factory, "AttributeError")
    assert closed == [stream_info()]


async def test_a_sink_that_wants_tracks_that_there_are_not_fails_alone() -> None:
    wrong: Any = ("inbound", "bogus")
    await assert_fails_alone(ListSink(*wrong).factory, "SinkError: it wants the tracks ['bogus', 'inbound']; there are")


async def test_a_coroutine_that_nobody_would_await_fails_alone() -> None:
    class Undeclared(ListSink):
        async def write(self, frame: AudioFrame) -> None:  # type: ignore[override]
            raise AssertionError(frame)

    await assert_fails_alone(Undeclared().factory, "coroutine function, and its delivery is not by task")
    await assert_fails_alone(delivered(lambda info: Undeclared(), by="thread"), "its delivery is not by task")


@pytest.mark.parametrize("error", [asyncio.CancelledError(), SystemExit(3)], ids=["cancels itself", "ends the program"])
@pytest.mark.parametrize("where", ["open", "early", "late", "task", "close"])
async def test_a_sink_that_would_end_more_than_itself_fails_alone(error: BaseException, where: str) -> None:
    class Ending(ListSink):
        def __init__(self, info: StreamInfo) -> None:
            super().__init__()
            if where == "open":
                raise error

        async def __aenter__(self) -> Self:
            return self

        async def __aexit__(self, *_: object) -> None:
            if where == "close":
                raise error

        def write(self, frame: AudioFrame) -> None:
            if int(frame.samples[0]) == {"early": 0, "late": 3}.get(where):
                raise error
            super().write(frame)

    class EndingTask(Ending):
        async def write(self, frame: AudioFrame) -> None:  # type: ignore[override]
            raise error

    source: Any = delivered(EndingTask, by="task", linger=0) if where == "task" else Ending
    good = ListSink()
    sinks = Sinks({"sink": source, "good": good.factory})
    sinks.write(*frames(0, 2))
    async with sinks.running():
        sinks.write(*frames(2, 5))
    told = sinks.told("sink")
    assert told["error"] == f"SinkError: it raised {error!r}" if where != "late" else repr(error)[:9] in told["error"]
    assert told["state"] == "failed"
    assert told["frames"] + told["frames_dropped"] == 5
    assert numbers(good.frames) == list(range(5))


async def test_a_sink_that_does_not_open_in_time_fails_alone() -> None:
    source = delivered(Door(ListSink()).factory, open_timeout=0.01)
    await assert_fails_alone(source, "TimeoutError: not open after 0.01 s")


async def test_a_sink_that_fails_on_an_early_frame_is_closed() -> None:
    sink = FailingSink(1, SinkError("full"))
    await assert_fails_alone(sink.factory, "SinkError: full")
    assert (numbers(sink.frames), sink.closed) == ([0], 1)


async def test_a_sink_that_does_not_close_in_time_fails_alone() -> None:
    door = Door(ListSink(), closes=False)
    door.open.set()
    sinks = Sinks({"sink": delivered(door.factory, close_timeout=0.01)})
    async with sinks.running():
        sinks.write(frame(1))
    assert counts(sinks) == ("failed", 1, 0)
    assert sinks.told("sink")["error"] == "TimeoutError: not closed after 0.01 s"


async def test_a_failure_is_logged_once_and_its_text_has_a_bound() -> None:
    sinks = Sinks({"sink": FailingSink(0, ValueError("x" * 10_000)).factory})
    with capture_logs() as logs:
        async with sinks.running():
            sinks.write(*frames(0, 3))
    assert [(line["event"], line["log_level"], line["sink"]) for line in logs] == [("sink failed", "error", "sink")]
    assert len(sinks.told("sink")["error"]) == 500


# --- restarts ------------------------------------------------------------------------------------------------------


async def test_a_sink_that_asks_for_it_is_restarted_and_loses_but_the_frame_it_failed_at() -> None:
    sink = FailingSink(5)
    sinks = Sinks({"sink": delivered(sink.factory, restart=Restart(first=0.01))})
    async with sinks.running():
        sinks.write(*frames(0, 8))
        assert counts(sinks) == ("restarting", 5, 1)
        await until(lambda: len(sink.frames) == 7)
        sinks.write(*frames(8, 10))
        assert counts(sinks) == ("open", 9, 1)
    assert numbers(sink.frames) == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert (len(sink.opened), sink.closed, sinks.told("sink")["restarts"]) == (2, 2, 1)
    assert sinks.events == [SinkFailed("sink", "ValueError: enough", 0.01), SinkRestarted("sink", 1)]


async def test_a_sink_that_cannot_be_opened_is_tried_again_with_growing_waits_and_then_given_up() -> None:
    def source(info: StreamInfo) -> AudioSink:
        raise OSError("nobody there")

    sinks = Sinks({"sink": delivered(source, restart=Restart(first=0.01, longest=0.03, attempts=4))})
    async with sinks.running():
        sinks.write(*frames(0, 3))
        await until(lambda: sinks.told("sink")["state"] == "failed")
    assert [event.restart_in for event in sinks.events if isinstance(event, SinkFailed)] == [
        0.01,
        0.02,
        0.03,
        0.03,
        None,
    ]
    assert counts(sinks) == ("failed", 0, 3)


async def test_a_sink_that_was_well_for_long_has_all_its_attempts_again() -> None:
    now = [100.0]

    class Weak(ListSink):
        def write(self, frame: AudioFrame) -> None:
            raise ValueError("enough")

    restart = Restart(first=0.01, attempts=1, healthy=60)
    sinks = Sinks({"sink": delivered(Weak().factory, restart=restart)}, clock=lambda: now[0])
    async with sinks.running():
        for life in range(3):
            await until(lambda: sinks.told("sink")["state"] == "open")
            await settle()
            now[0] += 61
            sinks.write(frame(life))
        await until(lambda: sinks.told("sink")["state"] == "open")
        await settle()
        now[0] += 59
        sinks.write(frame(3))
        assert counts(sinks) == ("failed", 0, 4)
    assert [event.restart_in for event in sinks.events if isinstance(event, SinkFailed)] == [0.01, 0.01, 0.01, None]


async def test_a_sink_that_waits_for_its_restart_as_the_call_ends_is_opened_at_once_for_what_waits_for_it() -> None:
    sink = FailingSink(1)
    sinks = Sinks({"sink": delivered(sink.factory, restart=Restart(first=60))})
    async with asyncio.timeout(5), sinks.running():
        sinks.write(*frames(0, 4))
    assert numbers(sink.frames) == [0, 2, 3]
    assert (counts(sinks), sink.closed) == (("closed", 3, 1), 2)


async def test_a_sink_that_waits_for_its_restart_as_the_call_ends_is_left_alone_if_nothing_waits_for_it() -> None:
    sink = FailingSink(1)
    sinks = Sinks({"sink": delivered(sink.factory, restart=Restart(first=60))})
    async with asyncio.timeout(5), sinks.running():
        sinks.write(*frames(0, 2))
    assert (counts(sinks), len(sink.opened), sink.closed) == (("failed", 1, 1), 1, 1)


async def test_a_sink_whose_buffer_overflows_while_it_opens_and_is_to_stop_then_never_hears_anything() -> None:
    sink = ListSink()
    door = Door(sink)
    sinks = Sinks({"sink": delivered(door.factory, frames=3, full="stop")})
    async with sinks.running():
        sinks.write(*frames(0, 5))
        door.open.set()
    assert (sink.frames, counts(sinks)) == ([], ("failed", 0, 5))
    assert sinks.told("sink")["error"] == "SinkError: 3 frames wait for it, and it is to stop then"


# --- the report ----------------------------------------------------------------------------------------------------


async def test_the_description_is_json_and_holds_what_the_sink_tells() -> None:
    class Telling(ListSink):
        def describe(self) -> dict[str, Any]:
            return {"recording": "folder"}

    sinks = Sinks({"sink": Telling().factory})
    expected = {
        "state": "opening",
        "error": None,
        "delivery": "call",
        "frames": 0,
        "frames_dropped": 0,
        "frames_waiting": 0,
        "lag": 0.0,
        "lag_max": 0.0,
        "restarts": 0,
        "loop_overruns": 0,
        "loop_longest": 0.0,
    }
    assert json.loads(json.dumps(sinks.told("sink"))) == expected
    async with sinks.running():
        assert sinks.told("sink") == expected | {"state": "open", "recording": "folder"}
    assert sinks.told("sink") == expected | {"state": "closed", "recording": "folder"}


async def test_a_sink_that_fails_to_describe_itself_does_not_cost_the_report() -> None:
    class Mute(ListSink):
        def describe(self) -> dict[str, Any]:
            raise KeyError("word")

    class Mumbling(ListSink):
        def describe(self) -> dict[str, Any]:
            return {"samples": noise(3)}

    sinks = Sinks({"mute": Mute().factory, "mumbling": Mumbling().factory})
    async with sinks.running():
        told = sinks.fan_out.describe()
    assert (told["mute"]["state"], told["mute"]["problem"]) == ("open", "cannot describe itself: KeyError")
    assert told["mumbling"]["problem"] == "cannot describe itself: TypeError"
    assert json.dumps(told)


async def test_a_sink_cannot_say_of_itself_what_the_gateway_says_of_it() -> None:
    class Boasting(ListSink):
        def describe(self) -> dict[str, Any]:
            return {"state": "splendid", "frames": 10**6, "own": 1}

    sinks = Sinks({"sink": Boasting().factory})
    async with sinks.running():
        sinks.write(frame(1))
        told = sinks.told("sink")
    assert (told["state"], told["frames"], told["own"]) == ("open", 1, 1)
