import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import bindparam, insert, null, update
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.errors import StoreError
from gateway.store.schema import calls, webhooks
from gateway.store.writer import Row, Settled, Statement, Writer
from tests.gateway.store.conftest import Disk, Log, rows

BIG = "x" * 4_000_000


class Desk:
    """A writer that runs, with statements to hand in, and what became of the rows that somebody waits for."""

    def __init__(self, engine: AsyncEngine, log: Log, **options: Any) -> None:
        self.engine = engine
        self.log = log
        self.outcomes: list[StoreError | None] = []
        self.writer = Writer(engine, log=log.logger, **options)
        self.insert = Statement(insert(webhooks), engine.dialect)
        self.finish = Statement(
            update(webhooks).where(webhooks.c.seq == bindparam("finished")).values(body=null()), engine.dialect
        )
        self.call = Statement(insert(calls), engine.dialect)

    def settled(self) -> Settled:
        return self.outcomes.append

    def write(self, *seqs: int, body: str = "{}") -> None:
        for seq in seqs:
            self.writer.write(self.insert, webhook(seq, body), self.settled())

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110 - the condition has no event
                await asyncio.sleep(0.001)

    async def kept(self) -> list[tuple[Any, ...]]:
        return await rows(self.engine, "SELECT seq, body FROM webhooks ORDER BY seq")

    def logged(self) -> list[str]:
        return [line["event"] for line in self.log.lines]


def webhook(seq: int, body: str = "{}") -> Row:
    return seq, f"event {seq}", 1.0, 1, body, 0


@asynccontextmanager
async def running(engine: AsyncEngine, log: Log, **options: Any) -> AsyncIterator[Desk]:
    desk = Desk(engine, log, **options)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(desk.writer.run())
        yield desk
        desk.writer.close()


@pytest_asyncio.fixture
async def desk(engine: AsyncEngine, log: Log) -> AsyncIterator[Desk]:
    async with running(engine, log) as desk:
        yield desk


def test_a_statement_knows_its_text_and_the_order_of_its_values(desk: Desk) -> None:
    columns = "seq, event_id, received_at, attempts, body, worker"
    assert desk.insert.sql.startswith(f"INSERT INTO webhooks ({columns}) VALUES (?")
    values = {"body": "{}", "seq": 1, "event_id": "event 1", "attempts": 1, "received_at": 1.0, "worker": 0}
    assert desk.insert.row(values) == webhook(1)
    assert desk.finish.names == ("finished",)


# --- batches --------------------------------------------------------------------------------------------------------


async def test_a_row_is_told_when_it_is_committed(desk: Desk) -> None:
    desk.write(1)
    assert desk.outcomes == []
    await desk.until(lambda: bool(desk.outcomes))
    assert desk.outcomes == [None]
    assert await desk.kept() == [(1, "{}")]


async def test_what_comes_meanwhile_goes_into_one_commit(desk: Desk) -> None:
    desk.write(1)
    await desk.until(lambda: len(desk.outcomes) == 1)
    desk.write(*range(2, 1002))
    await desk.until(lambda: len(desk.outcomes) == 1001)
    assert desk.writer.commits == 2
    assert len(await desk.kept()) == 1001


async def test_what_nobody_waits_for_is_written_later_and_behind_what_came_before(
    engine: AsyncEngine, log: Log
) -> None:
    async with running(engine, log, later=0.05) as desk:
        desk.write(1)
        desk.writer.write_later(desk.finish, (1,))
        await desk.until(lambda: bool(desk.outcomes))
        assert await desk.kept() == [(1, "{}")]
        await desk.until(lambda: desk.writer.commits == 2)
        assert await desk.kept() == [(1, None)]


async def test_of_a_row_that_is_replaced_only_the_last_is_made_and_written(desk: Desk) -> None:
    made: list[str] = []

    def row(state: str) -> Row:
        made.append(state)
        return "v3:a", state, 1.0, 2.0, "{}", 0

    for state in ("ringing", "answered", "ended"):
        desk.writer.replace_later(desk.call, "v3:a", lambda state=state: row(state))  # type: ignore[misc]
    await desk.writer.flush()
    assert made == ["ended"]
    assert await rows(desk.engine, "SELECT state FROM calls") == [("ended",)]


async def test_closing_writes_what_is_left(engine: AsyncEngine, log: Log) -> None:
    async with running(engine, log, later=60) as desk:
        desk.write(1)
        desk.writer.write_later(desk.finish, (1,))
    assert desk.outcomes == [None]
    assert await desk.kept() == [(1, None)]
    await desk.writer.flush()  # waits for nobody


@pytest.mark.parametrize("turns", range(6))
async def test_a_writer_that_is_cancelled_tells_those_who_wait(engine: AsyncEngine, log: Log, turns: int) -> None:
    desk = Desk(engine, log)
    task = asyncio.create_task(desk.writer.run())
    await asyncio.sleep(0)
    desk.write(1)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [str(outcome) for outcome in desk.outcomes] == ["the gateway was stopped before the row was written"]


# --- failures -------------------------------------------------------------------------------------------------------


async def test_on_a_full_disk_those_who_wait_are_told_and_their_rows_are_gone(desk: Desk, disk: Disk) -> None:
    disk.full = True
    desk.write(1, 2, body=BIG)
    await desk.until(lambda: len(desk.outcomes) == 2)
    assert {str(outcome) for outcome in desk.outcomes} == {"the store cannot be written: database or disk is full"}
    assert desk.writer.failure == "database or disk is full"
    disk.full = False
    desk.write(3)
    await desk.until(lambda: len(desk.outcomes) == 3)
    assert desk.outcomes[-1] is None
    assert desk.writer.failure is None
    assert await desk.kept() == [(3, "{}")]
    assert desk.logged() == ["store cannot be written", "store can be written again"]
    assert "xxx" not in str(desk.log.lines)


async def test_on_a_full_disk_what_nobody_waits_for_stays_and_is_written_when_there_is_room(
    engine: AsyncEngine, disk: Disk, log: Log
) -> None:
    async with running(engine, log, retry=0.02) as desk:
        desk.write(1, 2)
        await desk.until(lambda: len(desk.outcomes) == 2)
        disk.full = True
        desk.writer.write_later(desk.insert, webhook(3, BIG))
        desk.writer.write_later(desk.finish, (1,))
        desk.writer.replace_later(desk.call, "v3:a", lambda: ("v3:a", "ended", 1.0, 2.0, "{}", 0))
        await desk.writer.flush()
        assert desk.writer.failure is not None
        assert await rows(desk.engine, "SELECT seq FROM webhooks WHERE body IS NULL") == []
        disk.full = False
        await desk.until(lambda: desk.writer.failure is None)
        assert await rows(desk.engine, "SELECT seq FROM webhooks WHERE body IS NULL") == [(1,)]
        assert await rows(desk.engine, "SELECT state FROM calls") == [("ended",)]
        assert desk.writer.rows_lost == 0


async def test_nothing_is_taken_once_it_is_closed(desk: Desk) -> None:
    desk.writer.close()
    desk.write(1)
    assert [str(outcome) for outcome in desk.outcomes] == ["the gateway was stopped before the row was written"]


async def test_what_waits_on_a_broken_store_is_bounded(engine: AsyncEngine, log: Log) -> None:
    async with running(engine, log, later=60, max_rows=3) as desk:
        for number in range(10):
            desk.writer.write_later(desk.finish, (number,))
            desk.writer.replace_later(desk.call, number, lambda number=number: (str(number), "x", 1.0, 2.0, "{}", 0))  # type: ignore[misc]
        assert desk.writer.rows_lost == 14
    assert await rows(desk.engine, "SELECT call_control_id FROM calls") == [("7",), ("8",), ("9",)]


async def test_a_row_that_can_never_be_written_does_not_keep_the_others_back(desk: Desk) -> None:
    desk.write(1)
    await desk.until(lambda: bool(desk.outcomes))
    desk.writer.write_later(desk.insert, webhook(1))  # there is a row of that number
    desk.writer.write_later(desk.insert, webhook(2, "\ud800"))  # no UTF-8
    desk.writer.write_later(desk.insert, webhook(3))
    await desk.writer.flush()
    assert await desk.kept() == [(1, "{}"), (3, "{}")]
    assert desk.writer.rows_lost == 2
    assert desk.writer.failure is None
    assert desk.logged().count("row cannot be written") == 2


async def test_a_row_that_cannot_be_written_and_is_waited_for_fails_with_those_beside_it(desk: Desk) -> None:
    desk.write(1)
    await desk.until(lambda: bool(desk.outcomes))
    desk.write(2, 1)
    await desk.until(lambda: len(desk.outcomes) == 3)
    assert None not in desk.outcomes[1:]
    assert await desk.kept() == [(1, "{}")]
