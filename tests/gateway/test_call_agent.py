"""A call from its agent's side: what it hears, and what its failures cost."""

import asyncio
import contextlib
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from gateway.agents.base import Agent
from gateway.call import Call, EndReason
from gateway.items import CallItem, Dtmf, MarkReached, PlaybackFinished, SpeechEnded, SpeechStarted
from gateway.media.frame import AudioFrame
from tests.fakes import FakeLine, ListSink, acting, settle
from tests.gateway.test_call import FailingSink, payload, payloads


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


def brief(item: CallItem) -> str:
    match item:
        case AudioFrame():
            return f"frame {item.timestamp // 160}"
        case Dtmf():
            return f"key {item.digit}"
        case MarkReached():
            return f"mark {item.name}"
        case PlaybackFinished():
            return f"finished {item.name}"
        case SpeechStarted() | SpeechEnded():
            return f"{type(item).__name__} {item.position // 160}"


class Reader:
    """An agent that reads its call from the beginning to the end."""

    def __init__(self) -> None:
        self.items: list[str] = []
        self.done = False

    async def __call__(self, call: Call) -> None:
        async for item in call:
            self.items.append(brief(item))
        self.done = True


# --- what it hears -------------------------------------------------------------------------------------------------


async def test_an_agent_reads_frames_keys_and_marks_in_order_until_the_call_ends() -> None:
    reader = Reader()
    line = FakeLine(agent=acting(reader))
    async with line.running():
        line.say(payload(0))
        line.press("5")
        line.say(payload(1))
        line.tell(line.carrier.send_mark("greeting"))
        line.wait(0.07)  # a key waits for those that were pressed before it
        await settle()
        assert reader.items == ["frame 0", "frame 1", "mark greeting", "key 5"]
        line.say(payload(2))
        line.say(payload(9), track="outbound")  # not for agents
    assert reader.items[4:] == ["frame 2"]
    assert reader.done


async def test_an_agent_that_listens_before_it_waits_misses_nothing() -> None:
    sink = ListSink()
    order = []

    async def listen(call: Call) -> None:
        call.listen(sink)
        order.append(len(sink.frames))
        await call.wait_ended()

    line = FakeLine(agent=acting(listen))
    line.say(*payloads(3))  # in the same wake-up of the event loop as `start`
    async with line.running():
        line.say(*payloads(3, 3))
    assert sink.timestamps() == [160 * number for number in range(6)]
    assert sink.closed == 0  # it is the agent's own
    assert line.call.report()["sinks"]["listener"]["state"] == "closed"


async def test_an_agent_that_reads_before_it_waits_misses_nothing() -> None:
    reader = Reader()
    line = FakeLine(agent=acting(reader))
    line.say(payload(0))
    line.tell(line.carrier.send_mark("1"))
    line.say(payload(1))
    async with line.running():
        line.say(payload(2))
    assert reader.items == ["frame 0", "mark 1", "frame 1", "frame 2"]


async def test_an_agent_that_begins_later_hears_from_then_on() -> None:
    sink = ListSink()
    reader = Reader()
    begin = asyncio.Event()

    async def late(call: Call) -> None:
        await begin.wait()
        call.listen(sink)
        await reader(call)

    line = FakeLine(agent=acting(late))
    line.say(payload(0))
    async with line.running():
        line.say(payload(1))
        begin.set()
        await settle()
        line.say(payload(2))
    assert sink.timestamps() == [320]
    assert reader.items == ["frame 2"]


async def test_a_listener_that_raises_is_dropped_and_the_agent_goes_on() -> None:
    sink = FailingSink(1)
    reader = Reader()

    async def listen(call: Call) -> None:
        call.listen(sink, name="detector")
        await reader(call)

    line = FakeLine(agent=acting(listen))
    async with line.running():
        line.say(*payloads(3))
    assert len(sink.frames) == 1
    assert reader.items == ["frame 0", "frame 1", "frame 2"]
    assert line.call.report()["sinks"]["detector"]["error"] == "SinkError: full"


async def test_each_listener_has_a_line_of_its_own_in_the_report() -> None:
    async def listen(call: Call) -> None:
        for _ in range(3):
            call.listen(ListSink())
        await call.wait_ended()

    line = FakeLine(agent=acting(listen), sinks={"listener": ListSink().factory})
    async with line.running():
        pass
    sinks = line.call.report()["sinks"]
    assert list(sinks) == ["listener", "listener 2", "listener 3", "listener 4"]
    assert {sink["state"] for sink in sinks.values()} == {"closed"}


async def test_an_agent_that_does_not_read_loses_the_oldest_items_and_they_are_counted() -> None:
    reader = Reader()
    begin = asyncio.Event()

    async def slow(call: Call) -> None:
        items = aiter(call)
        await begin.wait()
        async for item in items:
            reader.items.append(brief(item))

    line = FakeLine(agent=acting(slow))
    async with line.running():
        line.say(*(payload(0) for _ in range(620)))
        begin.set()
        await settle()
    assert reader.items == [f"frame {number}" for number in range(120, 620)]
    assert line.call.report()["agent_items_dropped"] == 120


async def test_reading_a_call_that_has_ended_ends_at_once() -> None:
    line = FakeLine()
    line.say(payload(0))
    line.call.end(EndReason.STOP)
    assert [item async for item in line.call] == []


async def test_what_an_agent_says_in_its_first_step_leaves_at_once() -> None:
    async def greet(call: Call) -> None:
        call.mark("hello")

    line = FakeLine(agent=acting(greet))
    async with line.running():
        assert line.script() == ["hello"]


# --- what it may cost ----------------------------------------------------------------------------------------------


async def test_an_agent_that_raises_is_reported_and_the_call_goes_on() -> None:
    sink = ListSink()

    async def fail(call: Call) -> None:
        async for _ in call:
            raise LookupError("no such customer")

    line = FakeLine(agent=acting(fail), sinks={"sink": sink.factory})
    async with line.running():
        line.say(*payloads(2))
        await settle()
        line.say(*payloads(2, 2))
        assert line.call.report()["agent_error"] == "LookupError: no such customer"
        assert line.ended == []
    assert len(sink.frames) == 4


async def test_an_agent_that_cannot_be_made_is_reported_and_nothing_is_kept_for_it() -> None:
    class Unmade(Agent):
        def __init__(self) -> None:
            raise ValueError("x" * 10_000)

        async def run(self, call: Call) -> None:
            raise AssertionError

    sink = ListSink()
    line = FakeLine(agent=Unmade)
    async with line.running():
        line.say(*payloads(2))
        await settle()
        line.call.listen(sink)
        await settle()
        line.say(payload(2))
    assert sink.timestamps() == [320]
    error = line.call.report()["agent_error"]
    assert error.startswith("ValueError: xxx")
    assert len(error) == 500


async def test_an_agent_that_returns_early_leaves_the_call_as_it_is() -> None:
    sink = ListSink()

    async def leave(call: Call) -> None:
        call.listen(sink)

    line = FakeLine(agent=acting(leave))
    async with line.running():
        await settle()
        line.say(*payloads(2))
        assert line.ended == []
    assert len(sink.frames) == 2
    assert line.call.report()["agent_error"] is None


async def test_an_agent_that_never_returns_is_cancelled_after_its_grace() -> None:
    cancelled = []

    async def stay(call: Call) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(call.end_reason)
            raise

    sink = ListSink()
    line = FakeLine(agent=acting(stay), sinks={"sink": sink.factory}, agent_grace=0.02)
    with capture_logs() as logs:
        async with line.running():
            pass
    assert cancelled == [EndReason.STOP]
    assert sink.closed == 1
    assert "agent did not end with its call" in [entry["event"] for entry in logs]


async def test_an_agent_may_finish_its_work_within_its_grace() -> None:
    finished = []

    async def tidy_up(call: Call) -> None:
        reason = await call.wait_ended()
        await asyncio.sleep(0.01)
        finished.append(reason)

    line = FakeLine(agent=acting(tidy_up), agent_grace=4.0)
    async with line.running():
        pass
    assert finished == [EndReason.STOP]


async def test_an_agent_whose_clean_up_raises_is_reported() -> None:
    async def stay(call: Call) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise OSError("cannot save")

    line = FakeLine(agent=acting(stay), agent_grace=0.01)
    async with line.running():
        pass
    assert line.call.report()["agent_error"] == "OSError: cannot save"


async def test_each_call_has_an_agent_of_its_own() -> None:
    made = []

    class Counting(Agent):
        def __init__(self) -> None:
            made.append(self)

        async def run(self, call: Call) -> None:
            await call.wait_ended()

    for _ in range(2):
        async with FakeLine(agent=Counting).running():
            pass
    assert len({id(agent) for agent in made}) == 2


async def test_an_agent_that_cannot_be_cancelled_does_not_keep_its_call() -> None:
    over = asyncio.Event()

    async def stay(call: Call) -> None:
        while not over.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await over.wait()

    line = FakeLine(agent=acting(stay), agent_grace=0.02)
    async with asyncio.timeout(2), line.running():
        pass
    assert "cannot be stopped" in line.call.report()["agent_error"]
    over.set()
    await asyncio.sleep(0)
