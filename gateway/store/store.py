"""What is kept, in words of the gateway: webhooks that were taken, calls, commands.

All that is written goes through the writer; what is read is read at the start of the process, or for an operator.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Dialect, Table, bindparam, delete, func, insert, null, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql import ClauseElement, Executable
from structlog.typing import FilteringBoundLogger

from gateway.errors import StoreError
from gateway.store.database import describe, open_database
from gateway.store.records import CommandRecord, Forward, KeptWebhook
from gateway.store.schema import calls, commands, forwards, segments, webhooks
from gateway.store.writer import Row, Settled, Statement, Writer

__all__ = ["Store", "open_store", "save_call"]

_CLOSE_TIMEOUT: Final = 10.0
_PRUNE_INTERVAL: Final = 3600.0
_DAY: Final = 86_400.0

_KEEP_WEBHOOK: Final = insert(webhooks)
_FINISH_WEBHOOK: Final = update(webhooks).where(webhooks.c.seq == bindparam("finished")).values(body=null())
_FORGET_WEBHOOKS: Final = delete(webhooks).where(
    webhooks.c.seq <= bindparam("newest"),
    webhooks.c.worker % bindparam("workers") == bindparam("worker"),
    webhooks.c.body.is_(None),
)
_FORGET_CALLS: Final = delete(calls).where(calls.c.started_at < bindparam("oldest"))
_SAVE_COMMAND: Final = insert(commands).values({name: bindparam(name) for name in CommandRecord._fields})
_KEEP_FORWARD: Final = insert(forwards)
_FINISH_FORWARD: Final = delete(forwards).where(forwards.c.seq == bindparam("finished"))
_FORGET_FORWARDS: Final = delete(forwards).where(forwards.c.received_at < bindparam("oldest"))
_SAVE_SEGMENT: Final = insert(segments).values(
    {name: bindparam(name) for name in ("call_control_id", "written_at", "segment")}
)
_FORGET_SEGMENTS: Final = delete(segments).where(segments.c.written_at < bindparam("oldest"))
_FORGET_COMMANDS: Final = delete(commands).where(commands.c.sent_at < bindparam("oldest"))


def save_call(dialect: Dialect) -> ClauseElement:
    """The statement that writes a call's record over the one that is there; SQLAlchemy has it by database."""
    inserted: Any = (postgresql if dialect.name == "postgresql" else sqlite).insert(calls)
    values = {name: inserted.excluded[name] for name in ("state", "updated_at", "record", "worker")}
    statement: ClauseElement = inserted.on_conflict_do_update(index_elements=["call_control_id"], set_=values)
    return statement


@asynccontextmanager
async def open_store(
    path: Path,
    *,
    log: FilteringBoundLogger,
    remember: int = 50_000,
    keep_days: float = 30.0,
    worker: int = 0,
    workers: int = 1,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator["Store"]:
    """Open the store; leaving the context writes what is left.

    Args:
        path: The database's file.
        log: Told when the store begins to fail, and when it works again.
        remember: How many ids of handled webhooks to keep, so that duplicates are known.
        keep_days: Days that calls and commands are kept.
        worker: Which of the gateway's workers this is; it takes up what was its own, and nobody else's.
        workers: How many there are, which write beside each other.
        clock: Unix time, in seconds.

    Raises:
        StoreError: It cannot be opened.
    """
    async with open_database(path, worker=worker if workers > 1 else None) as engine:
        writer = Writer(engine, log=log)
        store = Store(
            engine, writer, remember=remember, keep_days=keep_days, worker=worker, workers=workers, clock=clock
        )
        await store.begin()
        stack = AsyncExitStack()  # a task group that is not told of the block's errors: it would wrap them
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        writing = tasks.create_task(writer.run(), name="store")
        pruning = tasks.create_task(store.prune_for_ever(), name="store pruning")
        try:
            yield store
        finally:
            pruning.cancel()
            writer.close()
            await asyncio.wait((writing,), timeout=_CLOSE_TIMEOUT)
            writing.cancel()
            await stack.aclose()


class Store:
    """See the module; made by `open_store`."""

    def __init__(
        self,
        engine: AsyncEngine,
        writer: Writer,
        *,
        remember: int,
        keep_days: float,
        worker: int,
        workers: int,
        clock: Callable[[], float],
    ) -> None:
        self._engine = engine
        self._writer = writer
        self._remember = remember
        self._keep_days = keep_days
        self._worker = worker
        self._workers = workers
        self._clock = clock
        self._seq = 0
        self._forward_seq = 0
        dialect = engine.dialect
        self._keep_webhook = Statement(_KEEP_WEBHOOK, dialect)
        self._finish_webhook = Statement(_FINISH_WEBHOOK, dialect)
        self._forget_webhooks = Statement(_FORGET_WEBHOOKS, dialect)
        self._save_call = Statement(save_call(dialect), dialect)
        self._forget_calls = Statement(_FORGET_CALLS, dialect)
        self._save_command = Statement(_SAVE_COMMAND, dialect)
        self._keep_forward = Statement(_KEEP_FORWARD, dialect)
        self._forget_forwards = Statement(_FORGET_FORWARDS, dialect)
        self._finish_forward = Statement(_FINISH_FORWARD, dialect)
        self._forget_commands = Statement(_FORGET_COMMANDS, dialect)
        self._save_segment = Statement(_SAVE_SEGMENT, dialect)
        self._forget_segments = Statement(_FORGET_SEGMENTS, dialect)

    @property
    def failure(self) -> str | None:
        """Why the last attempt to write failed; None if it did not."""
        return self._writer.failure

    def describe(self) -> dict[str, Any]:
        """Counters as JSON-ready values."""
        writer = self._writer
        return {"failure": writer.failure, "commits": writer.commits, "rows_lost": writer.rows_lost}

    async def begin(self) -> None:
        """Read where the numbers of webhooks and forwards stand."""
        (row,) = await self._read(select(func.max(webhooks.c.seq)))
        self._seq = row[0] or 0
        (row,) = await self._read(select(func.max(forwards.c.seq)))
        self._forward_seq = row[0] or 0

    # --- webhooks -------------------------------------------------------------------------------------------------

    def keep_webhook(self, event_id: str, body: bytes, settled: Settled) -> int:
        """Write a webhook that is to be answered as soon as it is safe.

        Args:
            event_id: Its `data.id`.
            body: Raw; kept until the webhook is finished.
            settled: Told once it is committed, or that it was not: then it is not kept.

        Returns:
            Its number here, for `finish_webhook`.
        """
        self._seq = self._number_after(self._seq)
        row = (self._seq, event_id, self._clock(), 1, body.decode(), self._worker)  # the columns of the table
        self._writer.write(self._keep_webhook, row, settled)
        return self._seq

    def finish_webhook(self, seq: int) -> None:
        """Note that a webhook was handled: its body is dropped, its id stays for a while."""
        self._writer.write_later(self._finish_webhook, (seq,))

    async def unfinished_webhooks(self) -> list[KeptWebhook]:
        """The webhooks that an earlier process answered and did not finish, oldest first; counts the attempt."""
        unfinished = webhooks.c.body.is_not(None) & self._ours(webhooks)
        try:
            async with self._engine.begin() as connection:
                await connection.execute(update(webhooks).where(unfinished).values(attempts=webhooks.c.attempts + 1))
                columns = (webhooks.c.seq, webhooks.c.event_id, webhooks.c.received_at, webhooks.c.attempts)
                rows = await connection.execute(
                    select(*columns, webhooks.c.body).where(unfinished).order_by(webhooks.c.seq)
                )
                return [KeptWebhook(*row[:-1], row[-1].encode()) for row in rows]
        except SQLAlchemyError as error:
            raise _unreadable(error) from error

    async def event_ids(self) -> list[str]:
        """The ids of the last webhooks, oldest first."""
        ours = select(webhooks.c.event_id).where(self._ours(webhooks))
        rows = await self._read(ours.order_by(webhooks.c.seq.desc()).limit(self._remember))
        return [row[0] for row in reversed(rows)]

    # --- webhooks that are forwarded ----------------------------------------------------------------------------

    def next_forward(self) -> int:
        """A number for a webhook that is to be delivered, higher than those before it."""
        self._forward_seq = self._number_after(self._forward_seq)
        return self._forward_seq

    def keep_forward(self, forward: Forward) -> None:
        """Write soon what waits to be delivered: not after the webhook that it came with counts as handled."""
        row = (*forward[:-1], forward.body.decode(), self._worker)  # the columns of the table
        self._writer.replace_later(self._keep_forward, forward.seq, lambda: row)

    def finish_forward(self, seq: int) -> None:
        """Forget what was delivered, or given up; most were never written."""
        if not self._writer.discard_later(self._keep_forward, seq):
            self._writer.write_later(self._finish_forward, (seq,))

    async def forwards(self) -> list[Forward]:
        """What waits to be delivered, oldest first."""
        rows = await self._read(select(forwards).where(self._ours(forwards)).order_by(forwards.c.seq))
        return [Forward(row[0], row[1], row[2], row[3], row[4].encode()) for row in rows]

    # --- calls and commands ---------------------------------------------------------------------------------------

    def save_call(self, call_control_id: str, describe_call: Callable[[], tuple[str, float, bytes]]) -> None:
        """Write a call's record soon.

        Args:
            call_control_id: Telnyx's id.
            describe_call: Gives its state, when it began (Unix time), and its record as JSON. Called as it is
                written, so that many changes in a moment cost one row.
        """

        def row() -> Row:
            state, started_at, record = describe_call()
            written_at = self._clock()
            return call_control_id, state, started_at, written_at, record.decode(), self._worker  # the table's columns

        self._writer.replace_later(self._save_call, call_control_id, row)

    def forget_call(self, call_control_id: str) -> None:
        """Do not write what is not written yet of a call, as somebody else does."""
        self._writer.discard_later(self._save_call, call_control_id)

    async def calls(self, limit: int) -> list[tuple[str, bytes]]:
        """The ids and records of the newest calls, oldest first."""
        ours = select(calls.c.call_control_id, calls.c.record).where(self._ours(calls))
        rows = await self._read(ours.order_by(calls.c.started_at.desc()).limit(limit))
        return [(row[0], row[1].encode()) for row in reversed(rows)]

    async def owners(self, limit: int) -> list[tuple[str, int]]:
        """The ids of the newest calls of all workers, oldest first, each with the worker whose it is."""
        newest = select(calls.c.call_control_id, calls.c.worker).order_by(calls.c.started_at.desc()).limit(limit)
        return [(row[0], row[1] % self._workers) for row in reversed(await self._read(newest))]

    async def calls_before(
        self,
        place: tuple[float, str] | None,
        *,
        limit: int,
        states: Sequence[str] = (),
        among: bool | None = None,
    ) -> list[tuple[str, float, bytes]]:
        """Calls in pages, newest first: id, when it began, record.

        Args:
            place: When the last call of the page before began, and its id; None for the first page.
            limit: Of the page.
            states: Of calls that are wanted, or are not.
            among: Whether calls in these states are wanted, or all others; None: every call.
        """
        found = select(calls.c.call_control_id, calls.c.started_at, calls.c.record)
        if place is not None:
            at, call_control_id = place
            same = (calls.c.started_at == at) & (calls.c.call_control_id < call_control_id)
            found = found.where((calls.c.started_at < at) | same)
        if among is not None:
            found = found.where(calls.c.state.in_(states) if among else calls.c.state.not_in(states))
        order = (calls.c.started_at.desc(), calls.c.call_control_id.desc())
        return [(row[0], row[1], row[2].encode()) for row in await self._read(found.order_by(*order).limit(limit))]

    async def find_call(self, call_control_id: str) -> bytes | None:
        """One call's record, or None."""
        rows = await self._read(select(calls.c.record).where(calls.c.call_control_id == call_control_id))
        return rows[0][0].encode() if rows else None

    def save_command(self, command: CommandRecord) -> None:
        """Write soon what became of a command."""
        self._writer.write_later(self._save_command, self._save_command.row(command._asdict()))

    async def commands_of(self, call_control_id: str, *, limit: int = 100) -> list[dict[str, Any]]:
        """The last commands to a call, oldest first, as JSON-ready values."""
        await self._writer.flush()
        columns = [column for column in commands.c if column.name not in ("seq", "call_control_id")]
        found = select(*columns).where(commands.c.call_control_id == call_control_id)
        rows = await self._read(found.order_by(commands.c.seq.desc()).limit(limit))
        return [{column.name: value for column, value in zip(columns, row, strict=True)} for row in reversed(rows)]

    # --- what was said ------------------------------------------------------------------------------------------------

    def save_segment(self, call_control_id: str, segment: Mapping[str, Any]) -> None:
        """Write soon what was said in a call.

        Args:
            call_control_id: Telnyx's id.
            segment: JSON-ready: see `Segment.describe`.
        """
        row = {
            "call_control_id": call_control_id,
            "written_at": self._clock(),
            "segment": msgspec.json.encode(segment).decode(),
        }
        self._writer.write_later(self._save_segment, self._save_segment.row(row))

    async def transcript(self, call_control_id: str, *, limit: int = 10_000) -> list[dict[str, Any]]:
        """What was said in a call, by the place where it begins, as JSON-ready values; the first of it, if too much."""
        await self._writer.flush()
        found = select(segments.c.segment).where(segments.c.call_control_id == call_control_id)
        rows = await self._read(found.order_by(segments.c.seq).limit(limit))
        said: list[dict[str, Any]] = [msgspec.json.decode(row[0]) for row in rows]
        return sorted(said, key=_start_of)

    # --- upkeep ---------------------------------------------------------------------------------------------------

    async def flush(self) -> None:
        """Wait until all that was handed in was written, or could not be."""
        await self._writer.flush()

    def prune(self) -> None:
        """Forget the ids that are too many, and what is too old."""
        newest = self._seq - self._remember * self._workers
        values = {"newest": newest, "workers": self._workers, "worker": self._worker}
        self._writer.write_later(self._forget_webhooks, self._forget_webhooks.row(values))
        oldest = self._clock() - self._keep_days * _DAY
        self._writer.write_later(self._forget_calls, (oldest,))
        self._writer.write_later(self._forget_commands, (oldest,))
        self._writer.write_later(self._forget_segments, (oldest,))
        self._writer.write_later(self._forget_forwards, (oldest,))

    async def prune_for_ever(self) -> None:
        """Prune now and every hour."""
        while True:
            self.prune()
            await asyncio.sleep(_PRUNE_INTERVAL)

    def _number_after(self, last: int) -> int:
        """The next number that no other worker takes: each has those that lead to its own modulo their count."""
        return last + 1 + (self._worker - last - 1) % self._workers

    def _ours(self, table: Table) -> ColumnElement[bool]:
        """Which rows are this worker's, or were one's that is not there any more."""
        ours: ColumnElement[bool] = table.c.worker % self._workers == self._worker
        return ours

    async def _read(self, statement: Executable) -> list[Any]:
        try:
            async with self._engine.connect() as connection:
                return list(await connection.execute(statement))
        except SQLAlchemyError as error:
            raise _unreadable(error) from error


def _start_of(segment: Mapping[str, Any]) -> float:
    """Where it begins; a program of the user's may have published it without."""
    start = segment.get("start")
    return float(start) if isinstance(start, int | float) else 0.0


def _unreadable(error: SQLAlchemyError) -> StoreError:
    return StoreError(f"the store cannot be read: {describe(error)}")
