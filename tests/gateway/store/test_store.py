import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Dialect
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.dialects.sqlite import aiosqlite

from gateway.errors import StoreError
from gateway.store.records import CommandRecord, Forward
from gateway.store.store import Store, open_store, save_call
from gateway.store.writer import Statement
from tests.gateway.store.conftest import Log
from tests.gateway.store.template import database_in

DAY = 86_400.0
ANSWER = CommandRecord("id-1", "v3:a", "answer", 999_900.0, 0.2, 2, 200, "")


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def opened(folder: Path, log: Log, **options: Any) -> AsyncIterator[Store]:
    options = {"clock": Clock(), **options}
    async with asyncio.timeout(10), open_store(database_in(folder), log=log.logger, **options) as store:
        yield store


async def keep(store: Store, event_id: str, body: bytes = b'{"data": 1}') -> int:
    """Keep a webhook, and see it committed."""
    done: asyncio.Future[StoreError | None] = asyncio.get_running_loop().create_future()
    seq = store.keep_webhook(event_id, body, done.set_result)
    assert await done is None
    return seq


async def test_a_webhook_that_was_not_finished_comes_back_with_its_body(tmp_path: Path, log: Log) -> None:
    clock = Clock()
    async with opened(tmp_path, log, clock=clock) as store:
        assert await store.unfinished_webhooks() == []
        await keep(store, "one", '{"to": "ü"}'.encode())
        await keep(store, "two")
        store.finish_webhook(await keep(store, "three"))
    for attempt in (2, 3):
        async with opened(tmp_path, log) as store:
            unfinished = await store.unfinished_webhooks()
        assert [(kept.seq, kept.event_id, kept.attempts) for kept in unfinished] == [
            (1, "one", attempt),
            (2, "two", attempt),
        ]
        assert (unfinished[0].body, unfinished[0].received_at) == ('{"to": "ü"}'.encode(), clock.now)


async def test_numbers_go_on_where_they_stood(tmp_path: Path, log: Log) -> None:
    async with opened(tmp_path, log) as store:
        assert [await keep(store, "one"), await keep(store, "two")] == [1, 2]
    async with opened(tmp_path, log) as store:
        assert await keep(store, "three") == 3


async def test_the_ids_of_the_last_webhooks_are_known_the_next_time(tmp_path: Path, log: Log) -> None:
    async with opened(tmp_path, log) as store:
        for number in range(5):
            store.finish_webhook(await keep(store, str(number)))
    async with opened(tmp_path, log, remember=3) as store:
        assert await store.event_ids() == ["2", "3", "4"]
    async with opened(tmp_path, log) as store:
        assert await store.event_ids() == ["2", "3", "4"]  # the others were pruned


async def test_pruning_leaves_what_is_not_finished(tmp_path: Path, log: Log) -> None:
    async with opened(tmp_path, log, remember=1) as store:
        await keep(store, "unfinished")
        for number in range(3):
            store.finish_webhook(await keep(store, str(number)))
        await store.flush()
        store.prune()
        await store.flush()
        assert [kept.event_id for kept in await store.unfinished_webhooks()] == ["unfinished"]


async def test_a_finished_webhook_has_no_body_any_more(tmp_path: Path, log: Log) -> None:
    async with opened(tmp_path, log) as store:
        store.finish_webhook(await keep(store, "one", b'{"from": "+15550100001"}'))
    octets = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.suffix == ".db")
    assert b"one" in octets
    async with opened(tmp_path, log) as store:
        assert await store.unfinished_webhooks() == []


async def test_of_a_call_the_last_record_is_kept(tmp_path: Path, log: Log) -> None:
    async with opened(tmp_path, log) as store:
        for call, state, record in (("a", "ringing", b"1"), ("b", "ringing", b"2"), ("a", "ended", b'"\xc3\xbc"')):
            store.save_call(call, lambda state=state, record=record: (state, 5.0, record))  # type: ignore[misc]
            await store.flush()
        assert await store.find_call("a") == b'"\xc3\xbc"'
        assert await store.find_call("c") is None
    async with opened(tmp_path, log) as store:
        assert dict(await store.calls(limit=10)) == {"a": b'"\xc3\xbc"', "b": b"2"}


async def test_the_newest_calls_are_read_oldest_first(tmp_path: Path, log: Log) -> None:
    async with opened(tmp_path, log) as store:
        for number in (3, 1, 4, 2):
            store.save_call(str(number), lambda number=number: ("ended", float(number), b"{}"))  # type: ignore[misc]
        await store.flush()
        assert [call for call, _ in await store.calls(limit=3)] == ["2", "3", "4"]


async def test_commands_are_kept_by_call_without_what_was_in_them(tmp_path: Path, log: Log) -> None:
    async with opened(tmp_path, log) as store:
        store.save_command(ANSWER)
        store.save_command(ANSWER._replace(command_id=None, action="siprec_start", status=422, code="90034"))
        store.save_command(ANSWER._replace(call_control_id="v3:b"))
        expected = {name: value for name, value in ANSWER._asdict().items() if name != "call_control_id"}
        assert await store.commands_of("v3:a") == [
            expected,
            expected | {"command_id": None, "action": "siprec_start", "status": 422, "code": "90034"},
        ]
        assert [command["action"] for command in await store.commands_of("v3:a", limit=1)] == ["siprec_start"]
        assert await store.commands_of("v3:c") == []


async def test_what_is_too_old_is_forgotten_at_the_next_start(tmp_path: Path, log: Log) -> None:
    clock = Clock()
    async with opened(tmp_path, log, clock=clock, keep_days=2) as store:
        for name, age in (("old", 3), ("young", 1)):
            began = clock.now - age * DAY
            store.save_call(name, lambda began=began: ("ended", began, b"{}"))  # type: ignore[misc]
            store.save_command(ANSWER._replace(call_control_id=name, sent_at=began))
    async with opened(tmp_path, log, clock=clock, keep_days=2) as store:
        await asyncio.sleep(0)  # pruning has begun
        await store.flush()
        assert [call for call, _ in await store.calls(limit=10)] == ["young"]
        assert (await store.commands_of("old"), len(await store.commands_of("young"))) == ([], 1)


async def test_an_error_of_the_user_passes_through_as_it_is(tmp_path: Path, log: Log) -> None:
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - what is raised inside has to come out
        async with opened(tmp_path, log) as store:
            store.save_call("a", lambda: ("ended", 999_900.0, b"{}"))
            raise ZeroDivisionError
    async with opened(tmp_path, log) as store:
        assert [call for call, _ in await store.calls(limit=10)] == ["a"]


async def test_a_store_that_cannot_be_read_says_so(tmp_path: Path, log: Log) -> None:
    async with opened(tmp_path, log) as store:
        async with store._engine.begin() as connection:
            await connection.exec_driver_sql("DROP TABLE calls")
            await connection.exec_driver_sql("DROP TABLE webhooks")
        with pytest.raises(StoreError, match="the store cannot be read: no such table: calls"):
            await store.find_call("v3:a")
        with pytest.raises(StoreError, match="the store cannot be read: no such table: webhooks"):
            await store.unfinished_webhooks()
        assert store.describe()["failure"] is None


def test_the_statement_that_differs_between_databases_is_there_for_both() -> None:
    dialects: tuple[Dialect, ...] = (aiosqlite.dialect(), asyncpg.dialect())  # type: ignore[no-untyped-call]
    for dialect in dialects:
        statement = Statement(save_call(dialect), dialect)
        assert "ON CONFLICT (call_control_id) DO UPDATE SET state = excluded.state" in statement.sql
        assert statement.names == ("call_control_id", "state", "started_at", "updated_at", "record", "worker")


# --- several workers ------------------------------------------------------------------------------------------------


async def test_workers_number_what_they_keep_beside_each_other(tmp_path: Path, log: Log) -> None:
    async with opened(tmp_path, log) as alone:
        assert [await keep(alone, "one"), await keep(alone, "two")] == [1, 2]
        assert [alone.next_forward(), alone.next_forward()] == [1, 2]
    async with (
        opened(tmp_path, log, worker=0, workers=3) as first,
        opened(tmp_path, log, worker=2, workers=3) as third,
    ):
        numbers = [await keep(store, f"{index}") for index, store in enumerate((first, third, third, first))]
        assert numbers == [3, 5, 8, 6]
        assert [third.next_forward(), first.next_forward(), third.next_forward()] == [2, 3, 5]


async def test_a_worker_takes_up_what_was_its_own_and_that_of_those_that_are_no_more(tmp_path: Path, log: Log) -> None:
    for worker in range(3):
        async with opened(tmp_path, log, worker=worker, workers=3) as store:
            await keep(store, f"event {worker}")
            number = store.next_forward()
            store.keep_forward(Forward(number, f"forward {worker}", "v3:a", store._clock(), b"{}"))
            store.save_call(f"call {worker}", lambda worker=worker: ("ringing", float(worker), b"{}"))  # type: ignore[misc]
    for worker, found in ((0, ["0", "2"]), (1, ["1"])):  # there are two of them by now
        async with opened(tmp_path, log, worker=worker, workers=2) as store:
            assert [kept.event_id for kept in await store.unfinished_webhooks()] == [f"event {name}" for name in found]
            assert await store.event_ids() == [f"event {name}" for name in found]
            assert [forward.event_id for forward in await store.forwards()] == [f"forward {name}" for name in found]
            assert [call for call, _ in await store.calls(limit=10)] == [f"call {name}" for name in found]
            assert await store.owners(limit=10) == [("call 0", 0), ("call 1", 1), ("call 2", 0)]
    async with opened(tmp_path, log, worker=1, workers=2) as store:
        store.save_call("call 0", lambda: ("ended", 0.0, b"{}"))  # which has moved there
        await store.flush()
        assert (await store.owners(limit=10))[0] == ("call 0", 1)


async def test_pruning_takes_the_oldest_of_each_worker_however_many_the_others_have(tmp_path: Path, log: Log) -> None:
    async with (
        opened(tmp_path, log, worker=0, workers=2, remember=2) as busy,
        opened(tmp_path, log, worker=1, workers=2, remember=2) as idle,
    ):
        idle.finish_webhook(await keep(idle, "idle"))
        for number in range(5):
            busy.finish_webhook(await keep(busy, f"busy {number}"))
        for store in (busy, idle):
            await store.flush()
            store.prune()
            await store.flush()
    async with opened(tmp_path, log, worker=0, workers=2) as busy:
        assert await busy.event_ids() == ["busy 3", "busy 4"]
    async with opened(tmp_path, log, worker=1, workers=2) as idle:
        assert await idle.event_ids() == ["idle"]


async def test_workers_write_at_the_same_time(tmp_path: Path, log: Log) -> None:
    async with (
        opened(tmp_path, log, worker=0, workers=2) as first,
        opened(tmp_path, log, worker=1, workers=2) as second,
    ):
        kept = [keep(store, f"{store._worker} {number}") for number in range(200) for store in (first, second)]
        assert len(set(await asyncio.gather(*kept))) == 400
    async with opened(tmp_path, log) as alone:
        assert len(await alone.unfinished_webhooks()) == 400
