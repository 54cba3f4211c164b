import asyncio
import random
from collections.abc import Awaitable

import pytest

from gateway.control.dispatcher import EventDispatcher
from gateway.protocol.events import Event
from tests.gateway.control.conftest import Log, an_event


class Recorder:
    """Keeps the ids of what it began and finished; waits where it is told to, for ever or until `release`."""

    def __init__(self, *, wait_for: str = "") -> None:
        self.begun: list[str] = []
        self.finished: list[str] = []
        self.done: list[str] = []
        self.release = asyncio.Event()
        self._wait_for = wait_for

    def __call__(self, event: Event) -> Awaitable[None] | None:
        self.begun.append(event.id)
        if event.id == "x":
            raise ZeroDivisionError
        if event.id in self._wait_for or event.id == "y":
            return self._wait(event.id)
        self.finished.append(event.id)
        return None

    async def _wait(self, event_id: str) -> None:
        await self.release.wait()
        if event_id == "y":
            raise ZeroDivisionError
        self.finished.append(event_id)

    def submit(self, dispatcher: EventDispatcher, event: Event) -> None:
        dispatcher.submit(event, lambda: self.done.append(event.id))


async def turn() -> None:
    """Let every task run until it waits."""
    for _ in range(20):
        await asyncio.sleep(0)


def answered(event_id: str, call: str | None = "v3:a", second: int = 0) -> Event:
    return an_event("call.answered", call, event_id, occurred_at=f"2026-11-20T10:00:{second:02}.000000Z")


def digit(event_id: str, second: int, call: str = "v3:a") -> Event:
    occurred_at = f"2026-11-20T10:00:{second:02}.000000Z"
    return an_event("call.dtmf.received", call, event_id, occurred_at=occurred_at)


async def test_nothing_is_handled_before_submit_has_returned(log: Log) -> None:
    handler = Recorder()
    async with EventDispatcher(handler, log=log.logger) as dispatcher:
        handler.submit(dispatcher, answered("1"))
        assert (handler.begun, dispatcher.pending) == ([], 1)
        await turn()
        assert (handler.finished, handler.done, dispatcher.pending) == (["1"], ["1"], 0)


async def test_events_of_one_call_are_handled_in_order_and_calls_beside_each_other(log: Log) -> None:
    handler = Recorder(wait_for="1")
    async with EventDispatcher(handler, log=log.logger) as dispatcher:
        for event_id, call in (("1", "v3:a"), ("2", "v3:a"), ("3", "v3:b"), ("4", "v3:a")):
            handler.submit(dispatcher, answered(event_id, call))
        await turn()
        assert handler.finished == ["3"]
        assert dispatcher.pending == 3
        handler.release.set()
        await turn()
        assert handler.finished == handler.done == ["3", "1", "2", "4"]
        assert dispatcher.pending == 0
        handler.submit(dispatcher, answered("5"))
    assert handler.finished[-1] == "5"
    assert log.lines == []


async def test_events_of_no_call_do_not_wait_for_each_other(log: Log) -> None:
    handler = Recorder(wait_for="1")
    async with EventDispatcher(handler, log=log.logger) as dispatcher:
        handler.submit(dispatcher, answered("1", None))
        handler.submit(dispatcher, answered("2", None))
        await turn()
        assert handler.finished == ["2"]
        handler.release.set()


# --- order ----------------------------------------------------------------------------------------------------------


async def test_what_waits_in_a_call_is_handled_by_when_it_occurred(log: Log) -> None:
    handler = Recorder(wait_for="1")
    async with EventDispatcher(handler, log=log.logger) as dispatcher:
        handler.submit(dispatcher, answered("1"))
        await turn()
        for event_id, second in (("4", 4), ("2", 2), ("3", 3)):
            handler.submit(dispatcher, answered(event_id, second=second))
        handler.release.set()
        await turn()
        assert handler.finished == ["1", "2", "3", "4"]


async def test_keys_that_overtook_each_other_come_in_the_order_in_which_they_were_pressed(log: Log) -> None:
    handler = Recorder()
    events = [digit(str(second), second) for second in range(8)]
    random.Random(4).shuffle(events)
    async with EventDispatcher(handler, log=log.logger, hold=0.05) as dispatcher:
        for event in events:
            handler.submit(dispatcher, event)
            await turn()
        assert handler.begun == []
        await asyncio.sleep(0.1)
        assert handler.finished == [str(second) for second in range(8)]
        assert dispatcher.pending == 0


async def test_an_event_of_the_calls_life_is_not_held_and_brings_what_occurred_before_it(log: Log) -> None:
    handler = Recorder()
    async with EventDispatcher(handler, log=log.logger, hold=60) as dispatcher:
        for event in (digit("3", 3), digit("1", 1), an_event("call.hangup", event_id="2", occurred_at=at(2))):
            handler.submit(dispatcher, event)
        await turn()
        assert handler.finished == ["1", "2"]
    assert handler.finished == ["1", "2", "3"]  # on leaving nothing is held any more


async def test_a_call_does_not_wait_for_the_held_events_of_another(log: Log) -> None:
    handler = Recorder()
    async with EventDispatcher(handler, log=log.logger, hold=60) as dispatcher:
        handler.submit(dispatcher, digit("1", 1))
        handler.submit(dispatcher, answered("2", "v3:b", second=2))
        await turn()
        assert handler.finished == ["2"]


def at(second: int) -> str:
    return f"2026-11-20T10:00:{second:02}.000000Z"


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("2026-11-20T10:00:00Z", "2026-11-20T10:00:00.000001Z"),
        ("2026-11-20T10:00:00.9Z", "2026-11-20T10:00:01Z"),
        ("2026-11-20T11:00:00+02:00", "2026-11-20T10:00:00Z"),
        ("2026-11-20T10:00:00", "2026-11-20T10:00:01Z"),
        (None, "2026-11-20T10:00:00Z"),
        ("yesterday", "2026-11-20T10:00:00Z"),
        ("0001-01-01T00:00:00+23:59", "2026-11-20T10:00:00Z"),
    ],
)
async def test_times_are_compared_as_times(log: Log, earlier: str | None, later: str) -> None:
    handler = Recorder(wait_for="0")
    async with EventDispatcher(handler, log=log.logger) as dispatcher:
        handler.submit(dispatcher, answered("0"))
        await turn()
        handler.submit(dispatcher, an_event("call.answered", event_id="2", occurred_at=later))
        handler.submit(dispatcher, an_event("call.answered", event_id="1", occurred_at=earlier))
        handler.release.set()
        await turn()
        assert handler.finished == ["0", "1", "2"]


async def test_events_of_the_same_moment_come_as_they_arrived(log: Log) -> None:
    handler = Recorder()
    async with EventDispatcher(handler, log=log.logger) as dispatcher:
        for number in range(9):
            handler.submit(dispatcher, answered(str(number)))
        await turn()
        assert handler.finished == [str(number) for number in range(9)]


# --- failures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", ["x", "y"])
async def test_a_failure_costs_its_own_event_only_and_is_logged(log: Log, bad: str) -> None:
    handler = Recorder()
    handler.release.set()
    async with EventDispatcher(handler, log=log.logger) as dispatcher:
        for event_id in (bad, "1", "2"):
            handler.submit(dispatcher, answered(event_id))
    assert handler.finished == ["1", "2"]
    assert handler.done == [bad, "1", "2"]
    assert (dispatcher.failed, dispatcher.left) == (1, 0)
    assert [(line["event"], line["event_type"], line["call_control_id"]) for line in log.lines] == [
        ("event failed", "call.answered", "v3:a")
    ]
    assert "exc_info" in log.lines[0]


async def test_an_event_that_takes_too_long_is_given_up(log: Log) -> None:
    handler = Recorder(wait_for="1")
    async with EventDispatcher(handler, log=log.logger, handler_timeout=0.01) as dispatcher:
        handler.submit(dispatcher, answered("1"))
        handler.submit(dispatcher, answered("2"))
    assert handler.finished == ["2"]
    assert handler.done == ["1", "2"]
    assert dispatcher.failed == 1


@pytest.mark.parametrize("call", ["v3:a", "v3:{}"])
async def test_there_is_room_for_so_many_and_no_more(log: Log, call: str) -> None:
    handler = Recorder(wait_for="0")
    async with EventDispatcher(handler, log=log.logger, max_pending=5, max_pending_per_call=3) as dispatcher:
        taken = 0
        for number in range(7):
            event = answered("0", call.format(number))
            if dispatcher.has_room(event):
                handler.submit(dispatcher, event)
                taken += 1
        assert taken == (3 if call == "v3:a" else 5)
        await turn()
        assert not dispatcher.has_room(answered("0", call.format(0)))  # in hand is not done
        handler.release.set()
        await turn()
        assert dispatcher.has_room(answered("1", call.format(0)))
        assert dispatcher.has_room(answered("1"), besides=4)
        assert not dispatcher.has_room(answered("1"), besides=5)


# --- leaving --------------------------------------------------------------------------------------------------------


async def test_leaving_takes_nothing_new_and_leaves_what_takes_too_long(log: Log) -> None:
    handler = Recorder(wait_for="1")
    async with EventDispatcher(handler, log=log.logger, drain_timeout=0.01) as dispatcher:
        for event_id in "12":
            handler.submit(dispatcher, answered(event_id))
        await turn()
    assert not dispatcher.has_room(answered("3"))
    handler.submit(dispatcher, answered("3"))
    assert handler.begun == ["1"]
    assert handler.done == []
    assert (dispatcher.pending, dispatcher.left, dispatcher.failed) == (0, 3, 0)
    assert [(line["event"], line["count"]) for line in log.lines] == [("events left", 2)]


async def test_a_failure_in_the_context_does_not_wait_for_events(log: Log) -> None:
    handler = Recorder(wait_for="1")
    dispatcher = EventDispatcher(handler, log=log.logger, drain_timeout=60)

    async def fail() -> None:
        async with dispatcher:
            handler.submit(dispatcher, answered("1"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(fail(), 5)
    assert dispatcher.left == 1


@pytest.mark.parametrize("turns", range(6))
async def test_cancelling_while_draining_leaves_no_task_behind(log: Log, turns: int) -> None:
    handler = Recorder(wait_for="1")

    async def serve() -> None:
        async with EventDispatcher(handler, log=log.logger, drain_timeout=60, hold=60) as dispatcher:
            handler.submit(dispatcher, answered("1"))
            handler.submit(dispatcher, digit("2", 2))

    task = asyncio.create_task(serve())
    for _ in range(turns + 1):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await turn()
    assert asyncio.all_tasks() == {asyncio.current_task()}
