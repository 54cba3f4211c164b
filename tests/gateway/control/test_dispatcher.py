import asyncio

import pytest

from gateway.control.dispatcher import EventDispatcher
from gateway.protocol.events import Event
from tests.gateway.control.conftest import Log, an_event


class Handler:
    """Keeps the ids of what it began and finished; waits where it is told to, for ever or until `release`."""

    def __init__(self, *, wait_for: str = "") -> None:
        self.begun: list[str] = []
        self.finished: list[str] = []
        self.release = asyncio.Event()
        self._wait_for = wait_for

    async def __call__(self, event: Event) -> None:
        self.begun.append(event.id)
        if event.id in self._wait_for:
            await self.release.wait()
        if event.id == "x":
            raise ZeroDivisionError
        self.finished.append(event.id)


async def turn() -> None:
    """Let every task run until it waits."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_events_of_one_call_are_handled_in_order_and_calls_beside_each_other(log: Log) -> None:
    handler = Handler(wait_for="1")
    async with EventDispatcher(handler, log=log.logger) as dispatcher:
        for event_id, call in (("1", "v3:a"), ("2", "v3:a"), ("3", "v3:b"), ("4", "v3:a")):
            assert dispatcher.submit(an_event("call.answered", call, event_id))
        assert handler.begun == []
        await turn()
        assert handler.finished == ["3"]
        assert dispatcher.pending == 3
        handler.release.set()
        await turn()
        assert handler.finished == ["3", "1", "2", "4"]
        assert dispatcher.pending == 0
        assert dispatcher.submit(an_event("call.hangup", "v3:a", "5"))
    assert handler.finished[-1] == "5"
    assert log.lines == []


async def test_events_of_no_call_do_not_wait_for_each_other(log: Log) -> None:
    handler = Handler(wait_for="1")
    async with EventDispatcher(handler, log=log.logger) as dispatcher:
        dispatcher.submit(an_event("call.recording.saved", None, "1"))
        dispatcher.submit(an_event("call.recording.saved", None, "2"))
        await turn()
        assert handler.finished == ["2"]
        handler.release.set()


async def test_a_failure_costs_its_own_event_only_and_is_logged(log: Log) -> None:
    handler = Handler()
    async with EventDispatcher(handler, log=log.logger) as dispatcher:
        for event_id in "x12":
            dispatcher.submit(an_event("call.answered", "v3:a", event_id))
    assert handler.finished == ["1", "2"]
    assert dispatcher.failed == 1
    assert [(line["event"], line["event_type"], line["call_control_id"]) for line in log.lines] == [
        ("event failed", "call.answered", "v3:a")
    ]
    assert "exc_info" in log.lines[0]


async def test_an_event_that_takes_too_long_is_given_up(log: Log) -> None:
    handler = Handler(wait_for="1")
    async with EventDispatcher(handler, log=log.logger, handler_timeout=0.01) as dispatcher:
        dispatcher.submit(an_event("call.answered", "v3:a", "1"))
        dispatcher.submit(an_event("call.answered", "v3:a", "2"))
    assert handler.finished == ["2"]
    assert dispatcher.failed == 1


@pytest.mark.parametrize("call", ["v3:a", "v3:{}"])
async def test_no_more_than_the_bounds_are_taken(log: Log, call: str) -> None:
    handler = Handler(wait_for="0")
    async with EventDispatcher(handler, log=log.logger, max_pending=5, max_pending_per_call=3) as dispatcher:
        taken = [dispatcher.submit(an_event("call.answered", call.format(n), "0")) for n in range(7)]
        assert taken == [n < (3 if call == "v3:a" else 5) for n in range(7)]
        await turn()
        assert not dispatcher.submit(an_event("call.answered", call.format(0), "0"))  # in hand is not done
        handler.release.set()
        await turn()
        assert dispatcher.submit(an_event("call.answered", call.format(0), "1"))


async def test_leaving_takes_nothing_new_and_drops_what_takes_too_long(log: Log) -> None:
    handler = Handler(wait_for="1")
    async with EventDispatcher(handler, log=log.logger, drain_timeout=0.01) as dispatcher:
        for event_id in "12":
            dispatcher.submit(an_event("call.answered", "v3:a", event_id))
    assert not dispatcher.submit(an_event("call.answered", "v3:a", "3"))
    assert handler.begun == ["1"]
    assert (dispatcher.pending, dispatcher.failed) == (0, 2)
    assert [(line["event"], line["count"]) for line in log.lines] == [("events dropped", 2)]


async def test_a_failure_in_the_context_does_not_wait_for_events(log: Log) -> None:
    handler = Handler(wait_for="1")
    dispatcher = EventDispatcher(handler, log=log.logger, drain_timeout=60)

    async def fail() -> None:
        async with dispatcher:
            dispatcher.submit(an_event("call.answered"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(fail(), 5)
    assert dispatcher.failed == 1


async def test_cancelling_while_draining_leaves_no_task_behind(log: Log) -> None:
    handler = Handler(wait_for="1")

    async def serve() -> None:
        async with EventDispatcher(handler, log=log.logger, drain_timeout=60) as dispatcher:
            dispatcher.submit(an_event("call.answered"))

    task = asyncio.create_task(serve())
    await turn()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await turn()
    assert asyncio.all_tasks() == {asyncio.current_task()}
