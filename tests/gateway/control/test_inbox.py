import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from gateway.control.dispatcher import EventDispatcher
from gateway.control.inbox import Inbox
from gateway.errors import InboxFullError, StoreError
from gateway.protocol.events import Event, parse_event
from gateway.store.store import Store, open_store
from tests.gateway.control.conftest import Log, webhook
from tests.gateway.store.template import database_in


class Office:
    """An inbox over a real store, whose handler keeps the ids, or is held up while `go` is not set.

    Attributes:
        disk_full: While it is set, SQLite finds no room.
    """

    def __init__(self, store: Store, log: Log, options: dict[str, Any]) -> None:
        self.handled: list[str] = []
        self.go = asyncio.Event()
        self.go.set()
        self.disk_full = False
        self.store = store
        self.dispatcher = EventDispatcher(self._handle, log=log.logger, max_pending=3, drain_timeout=0.05)
        self.inbox = Inbox(store, self.dispatcher, log=log.logger, **options)

        def begin(connection: Any) -> None:
            connection.exec_driver_sql(f"PRAGMA max_page_count = {1 if self.disk_full else 1_000_000}")

        event.listen(store._engine.sync_engine, "begin", begin)

    async def _handle(self, event: Event) -> None:
        await self.go.wait()
        self.handled.append(event.id)

    async def take(self, event_id: str, size: int = 0) -> None:
        body = webhook("call.answered", {"call_control_id": f"v3:{event_id}", "filler": "x" * size}, id=event_id)
        await self.inbox.take(parse_event(body), body)

    async def take_too_big_for_the_disk(self, event_id: str) -> None:
        await self.take(event_id, size=900_000)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110 - the condition has no event
                await asyncio.sleep(0.001)

    async def until_handled(self, *event_ids: str) -> None:
        await self.until(lambda: len(self.handled) >= len(event_ids))
        assert self.handled == list(event_ids)


@asynccontextmanager
async def office(folder: Path, log: Log, *, recover: bool = True, **options: Any) -> AsyncIterator[Office]:
    async with asyncio.timeout(10), open_store(database_in(folder), log=log.logger) as store:
        opened = Office(store, log, options)
        async with opened.dispatcher:
            if recover:
                await opened.inbox.recover()
            yield opened


async def test_an_event_is_safe_before_it_is_handled(tmp_path: Path, log: Log) -> None:
    async with office(tmp_path, log) as one:
        await one.take("1")
        assert one.handled == []
        one.go.clear()  # reading may take longer than handling and finishing
        assert [kept.event_id for kept in await one.store.unfinished_webhooks()] == ["1"]
        one.go.set()
        await one.until_handled("1")
        await one.store.flush()
        assert await one.store.unfinished_webhooks() == []


async def test_a_duplicate_is_taken_for_one_and_does_nothing(tmp_path: Path, log: Log) -> None:
    async with office(tmp_path, log) as one:
        for _ in range(3):
            await one.take("1")
        await asyncio.gather(*(one.take("2") for _ in range(5)))
        await one.until_handled("1", "2")
        assert one.inbox.duplicated == 6


async def test_a_duplicate_is_one_across_a_restart_too(tmp_path: Path, log: Log) -> None:
    async with office(tmp_path, log) as one:
        await one.take("1")
        await one.until_handled("1")
    async with office(tmp_path, log) as two:
        await two.take("1")
        await two.take("2")
        await two.until_handled("2")
        assert two.inbox.duplicated == 1


async def test_an_event_that_was_not_handled_is_handled_by_the_next_process_and_once(tmp_path: Path, log: Log) -> None:
    async with office(tmp_path, log) as one:
        one.go.clear()
        await one.take("1")
        await one.take("2")
    assert one.handled == []
    for expected in (["1", "2"], []):
        async with office(tmp_path, log) as two:
            await two.until_handled(*expected)
            assert two.inbox.recovered == len(expected)
            await two.take("1")  # Telnyx may not have heard the answer
            await asyncio.sleep(0.01)
        assert two.handled == expected


async def test_an_event_that_ends_every_process_is_given_up(tmp_path: Path, log: Log) -> None:
    async with office(tmp_path, log) as one:
        one.go.clear()
        await one.take("1")
    for _ in range(2):
        async with office(tmp_path, log) as again:
            again.go.clear()
            assert again.inbox.recovered == 1
            await asyncio.sleep(0.01)
    async with office(tmp_path, log) as last:
        assert last.inbox.recovered == 0
    given_up = [line for line in log.lines if line["event"] == "event given up"]
    assert [(line["event_id"], line["error"]) for line in given_up] == [
        ("1", "3 processes have ended while they handled it")
    ]
    async with office(tmp_path, log) as final:
        assert await final.store.unfinished_webhooks() == []


async def test_a_kept_body_that_this_version_cannot_read_is_given_up(tmp_path: Path, log: Log) -> None:
    async with office(tmp_path, log) as one:
        done = asyncio.Event()
        one.store.keep_webhook("1", b"no webhook", lambda _: done.set())
        await done.wait()
    async with office(tmp_path, log) as two:
        assert two.inbox.recovered == 0
    assert [line["event"] for line in log.lines] == ["event given up"]


async def test_there_is_a_bound_on_what_waits(tmp_path: Path, log: Log) -> None:
    async with office(tmp_path, log) as one:
        one.go.clear()
        outcomes = await asyncio.gather(*(one.take(str(number)) for number in range(5)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [type(None)] * 3 + [InboxFullError] * 2
        with pytest.raises(InboxFullError, match="3 events are waiting"):
            await one.take("5")
        one.go.set()
        await one.until(lambda: one.dispatcher.pending == 0)
        await one.take("4")  # what was refused is no duplicate
        await one.until(lambda: "4" in one.handled)


async def test_only_so_many_ids_are_remembered(tmp_path: Path, log: Log) -> None:
    async with office(tmp_path, log, remember=2) as one:
        for event_id in "12131":
            await one.take(event_id)
            await one.until(lambda: one.dispatcher.pending == 0)
        assert one.handled == ["1", "2", "3", "1"]


async def test_an_event_of_which_a_part_cannot_be_read_is_handled_and_told_once(tmp_path: Path, log: Log) -> None:
    payload = {"call_control_id": "v3:1", "from": ["+15550100001"], "tags": 7}
    body = webhook("call.answered", payload, id="1")
    async with office(tmp_path, log) as one:
        for _ in range(2):
            await one.inbox.take(parse_event(body), body)
        await one.take("2")
        await one.until_handled("1", "2")
        assert one.inbox.unreadable == 1
    (line,) = [line for line in log.lines if line["log_level"] == "warning"]
    assert (line["event"], line["event_type"], line["event_id"]) == ("event read in part", "call.answered", "1")
    assert sorted(line["unreadable"]) == ["payload.from", "payload.tags"]
    assert "+1555" not in str(log.lines)


# --- a store that fails ---------------------------------------------------------------------------------------------


async def test_what_cannot_be_kept_is_refused_and_may_come_again(tmp_path: Path, log: Log) -> None:
    async with office(tmp_path, log) as one:
        one.disk_full = True
        refused = await asyncio.gather(*(one.take_too_big_for_the_disk("1") for _ in range(2)), return_exceptions=True)
        assert [str(error) for error in refused] == ["the store cannot be written: database or disk is full"] * 2
        assert one.store.failure == "database or disk is full"
        one.disk_full = False
        await one.take("1")
        await one.until_handled("1")
        assert one.store.failure is None
        assert one.inbox.unkept == 0


async def test_what_cannot_be_kept_is_served_all_the_same_if_that_is_wanted(tmp_path: Path, log: Log) -> None:
    async with office(tmp_path, log, without_store="serve") as one:
        one.disk_full = True
        await one.take_too_big_for_the_disk("1")
        await one.take_too_big_for_the_disk("1")
        await one.until_handled("1")
        assert (one.inbox.unkept, one.inbox.duplicated) == (1, 1)
        one.disk_full = False
        await one.take("2")
        await one.until_handled("1", "2")
    async with office(tmp_path, log) as two:
        assert two.inbox.recovered == 0


async def test_a_commit_that_does_not_come_in_time_is_refused_and_handled_when_it_comes(
    tmp_path: Path, log: Log
) -> None:
    async with office(tmp_path, log, patience=0.05) as one:
        async with one.store._engine.begin() as connection:  # a backup, say: nobody else may write
            await connection.exec_driver_sql("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match=r"the store has not committed within 0\.05 s"):
                await one.take("1")
            with pytest.raises(StoreError, match="has not committed"):
                await one.take("1")
            assert one.handled == []
        await one.until_handled("1")
        await one.take("1")
        await one.store.flush()
        assert one.handled == ["1"]
        assert await one.store.unfinished_webhooks() == []


async def test_a_commit_that_does_not_come_in_time_is_not_waited_for_if_that_is_wanted(
    tmp_path: Path, log: Log
) -> None:
    async with office(tmp_path, log, patience=0.05, without_store="serve") as one:
        async with one.store._engine.begin() as connection:
            await connection.exec_driver_sql("BEGIN IMMEDIATE")
            await one.take("1")
            await one.until_handled("1")
        await one.take("1")
        await one.store.flush()
    async with office(tmp_path, log) as two:
        assert (two.inbox.recovered, one.handled) == (0, ["1"])
