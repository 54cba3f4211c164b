"""The one task that writes: what came meanwhile goes into one transaction.

A row that somebody waits for is committed at once if the last commit was a while ago, else with all others that come
within ten milliseconds: a commit costs as much as a dozen rows. What nobody waits for is written twenty times a
second, in a transaction of its own; of a row that is replaced again and again only the last is.

When a commit fails, those who waited are told so, and their rows are gone: they come again. The others stay and are
tried again, up to a bound. One that can never be written is dropped, so that it does not keep the rest back.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, TypeAlias

from sqlalchemy import Connection, Dialect
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler
from structlog.typing import FilteringBoundLogger

from gateway.errors import StoreError
from gateway.store.database import describe

__all__ = ["Row", "Settled", "Statement", "Writer"]

Row: TypeAlias = tuple[Any, ...]
"""The values of a statement, in its order."""

Settled: TypeAlias = Callable[[StoreError | None], None]
"""Told what became of a row: None once it is committed."""


class Statement:
    """A statement in the words of one database, made once.

    Its values go to the driver as they are: for many rows that halves the cost of SQLAlchemy's own way, which looks at
    each value again.

    Args:
        statement: Of SQLAlchemy, with its values as bound parameters.
        dialect: Of the database.

    Attributes:
        sql: The text for the driver.
        names: The names of the values, in the order of a row.
    """

    def __init__(self, statement: ClauseElement, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        assert isinstance(compiled, SQLCompiler)
        self.sql = str(compiled)
        self.names = tuple(compiled.positiontup or ())

    def row(self, values: Mapping[str, Any]) -> Row:
        """Put values in order."""
        return tuple(values[name] for name in self.names)


_LaterRow: TypeAlias = tuple[Statement, Row]
_MakeRow: TypeAlias = Callable[[], Row]


class Writer:
    """Writes rows in batches; `run` is its task.

    Args:
        engine: Of the database.
        log: Told when the store begins to fail, and when it works again.
        interval: Seconds between two commits at least.
        later: Seconds that a row may wait when nobody waits for it.
        retry: Seconds after which such rows are tried again when they could not be written.
        max_rows: How many such rows may wait; beyond it the oldest are lost, and counted.

    Attributes:
        failure: Why the last commit failed; None if it did not.
        commits: How many there were.
        rows_lost: Rows that were never written.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        log: FilteringBoundLogger,
        interval: float = 0.01,
        later: float = 0.05,
        retry: float = 1.0,
        max_rows: int = 20_000,
    ) -> None:
        self.failure: str | None = None
        self.commits = 0
        self.rows_lost = 0
        self._engine = engine
        self._log = log
        self._interval = interval
        self._later = later
        self._retry = retry
        self._max_rows = max_rows
        self._rows: list[_LaterRow] = []
        self._settled: list[Settled] = []
        self._later_rows: deque[_LaterRow] = deque()
        self._replaced: dict[tuple[Statement, Hashable], _MakeRow] = {}
        self._later_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()
        self._closing = False
        self._connection: AsyncConnection | None = None
        self._cursor: DBAPICursor | None = None
        dbapi = engine.dialect.loaded_dbapi
        # What goes wrong with the database itself: the disk is full, it is locked, it is gone.
        self._not_the_row = (OperationalError, InterfaceError, dbapi.OperationalError, OSError)

    # --- handing in -----------------------------------------------------------------------------------------------

    def write(self, statement: Statement, row: Row, settled: Settled) -> None:
        """Write a row now; `settled` is called once it is committed, or was not."""
        if self._closing:
            settled(_stopped())
            return
        self._rows.append((statement, row))
        self._settled.append(settled)
        self._wake.set()

    def write_later(self, statement: Statement, row: Row) -> None:
        """Write a row soon, behind those that were handed in before."""
        self._later_rows.append((statement, row))
        if len(self._later_rows) > self._max_rows:
            self._later_rows.popleft()
            self.rows_lost += 1
        self._arm(self._later)

    def replace_later(self, statement: Statement, key: Hashable, row: _MakeRow) -> None:
        """Write a row soon that stands for all those of the same key; it is made when it is written."""
        self._replaced[statement, key] = row
        if len(self._replaced) > self._max_rows:
            del self._replaced[next(iter(self._replaced))]
            self.rows_lost += 1
        self._arm(self._later)

    def discard_later(self, statement: Statement, key: Hashable) -> bool:
        """Do not write the row of this key; returns False where it is too late for that."""
        return self._replaced.pop((statement, key), None) is not None

    async def flush(self) -> None:
        """Write all that was handed in, and wait until that was tried."""
        if not self._closing:
            done = asyncio.get_running_loop().create_future()
            self._flushing.append(done)
            self._make_due()
            await done

    def close(self) -> None:
        """Have the task write what is left, and end."""
        self._closing = True
        self._make_due()

    # --- the task -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Write until closed."""
        clock = asyncio.get_running_loop().time
        not_before = clock()
        try:
            while not self._closing:
                await self._wake.wait()
                await asyncio.sleep(not_before - clock())
                self._wake.clear()
                not_before = clock() + self._interval
                await self._write_waiting()
                if self._later_due:
                    await self._write_later()
            await self._write_waiting()
            await self._write_later()
        finally:
            self._closing = True
            if self._timer is not None:
                self._timer.cancel()
            for tell in self._settled:  # none, unless the task was cancelled
                tell(_stopped())
            for done in self._flushing:
                done.set_result(None)
            await self._disconnect()

    async def _write_waiting(self) -> None:
        rows, self._rows = self._rows, []
        settled, self._settled = self._settled, []
        if not rows:
            return
        outcome: StoreError | None = _stopped()
        try:
            error = await self._commit(rows)
            outcome = None if error is None else StoreError(f"the store cannot be written: {describe(error)}")
        finally:
            for tell in settled:
                tell(outcome)

    async def _write_later(self) -> None:
        self._later_due = False
        later, self._later_rows = self._later_rows, deque()
        replaced, self._replaced = self._replaced, {}
        flushing, self._flushing = self._flushing, []
        rows = [*later, *((statement, make()) for (statement, _), make in replaced.items())]
        try:
            error = await self._commit(rows) if rows else None
            if isinstance(error, self._not_the_row):
                self._later_rows.extendleft(reversed(later))
                self._replaced = {**replaced, **self._replaced}
                self._arm(self._retry)
            elif error is not None:
                await self._write_one_by_one(rows)
        finally:
            for done in flushing:
                if not done.done():
                    done.set_result(None)

    async def _write_one_by_one(self, rows: Iterable[_LaterRow]) -> None:
        """Write what can be written where one row spoils the rest."""
        for row in rows:
            error = await self._commit([row])
            if error is not None:
                self.rows_lost += 1
                self._log.error("row cannot be written", error=describe(error))

    async def _commit(self, rows: Iterable[_LaterRow]) -> Exception | None:
        grouped: dict[Statement, list[Row]] = {}
        for statement, row in rows:
            grouped.setdefault(statement, []).append(row)
        try:
            if self._connection is None:
                self._connection = await self._engine.connect()
            if self._cursor is None:
                self._cursor = await self._connection.run_sync(_make_cursor)
            await self._connection.run_sync(_transaction, self._cursor, grouped)
        except Exception as error:  # noqa: BLE001 - whatever the driver raises is told to those who wait
            await self._disconnect()
            if self.failure is None:
                self._log.error("store cannot be written", error=describe(error))
            self.failure = describe(error)
            return error
        if self.failure is not None:
            self._log.info("store can be written again", rows_lost=self.rows_lost)
        self.failure = None
        self.commits += 1
        return None

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        cursor, self._cursor = self._cursor, None
        if connection is not None:
            try:
                try:
                    if cursor is not None:  # an open one would hold the file
                        await connection.run_sync(lambda _: cursor.close())
                finally:
                    await connection.close()
            except Exception as error:  # noqa: BLE001 - it is given up anyway
                self._log.warning("store connection not closed", error=describe(error))

    def _arm(self, delay: float) -> None:
        if self._timer is None and not self._closing:
            self._timer = asyncio.get_running_loop().call_later(delay, self._make_due)

    def _make_due(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._later_due = True
        self._wake.set()


def _stopped() -> StoreError:
    return StoreError("the gateway was stopped before the row was written")


def _make_cursor(connection: Connection) -> DBAPICursor:
    return connection.connection.cursor()


def _transaction(connection: Connection, cursor: DBAPICursor, grouped: Mapping[Statement, list[Row]]) -> None:
    """Write the rows; by the driver's cursor, as SQLAlchemy's way makes three trips to its thread for a statement."""
    with connection.begin():
        for statement, rows in grouped.items():
            cursor.executemany(statement.sql, rows)
