"""Opens the database: one file, one gateway, the newest schema.

A lock file says whose the folder is. The workers of one gateway share it, and each has one of its own besides: so that
neither another gateway, nor the workers of another, nor the same worker twice can come in.

SQLite writes ahead (WAL) and syncs at checkpoints only: what was committed survives the process being killed at any
moment. A power cut may take the last commits back, though never break the file; syncing each of them would put a
disk's 5 to 30 ms before every answer to Telnyx, for calls that a power cut ends anyway.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, event, inspect, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from gateway.errors import StoreError
from gateway.store.schema import REVISION

__all__ = ["open_database"]

_CLOSE_TIMEOUT: Final = 5.0

_PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA busy_timeout = 1000",  # ms that another program, such as a backup, may hold the lock
    "PRAGMA journal_size_limit = 16777216",
)


@asynccontextmanager
async def open_database(path: Path, *, worker: int | None = None) -> AsyncIterator[AsyncEngine]:
    """Open the database, and make it or bring it up to date where need be.

    Args:
        path: The file; made with mode 0600 where there is none. SQLite puts two more beside it, of the same mode.
        worker: Which of several that have it open at the same time; None: there is one only. Before several open it,
            somebody should have done so alone: a database that is being made cannot be shared.

    Raises:
        StoreError: It cannot be opened, is of a newer version, or another gateway has it open.
    """
    with ExitStack() as locks:
        locks.enter_context(_lock(path.with_suffix(".lock"), shared=worker is not None))
        if worker is not None:
            locks.enter_context(_lock(path.with_suffix(f".{worker}.lock")))
        engine = _make_engine(path)
        try:
            try:
                async with engine.begin() as connection:
                    await connection.run_sync(_bring_up_to_date)
            except (SQLAlchemyError, OSError) as error:
                raise StoreError(f"cannot use the database {path}: {describe(error)}") from error
            yield engine
        finally:
            with suppress(TimeoutError):  # a disk that hangs must not keep the process from ending
                async with asyncio.timeout(_CLOSE_TIMEOUT):
                    await engine.dispose()


def describe(error: Exception) -> str:
    """The database's own words, without the statement and its values: those hold phone numbers."""
    return str(getattr(error, "orig", None) or error)[:200]


@contextmanager
def _lock(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold a lock file, alone or with others, as long as the context, or the process, lasts."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"cannot use the folder {path.parent}: {error}") from error
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StoreError(f"another gateway uses the folder {path.parent}") from error
    try:
        yield
    finally:
        os.close(descriptor)


def _make_engine(path: Path) -> AsyncEngine:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)
    except OSError as error:
        raise StoreError(f"cannot use the database {path}: {error}") from error
    url = URL.create("sqlite+aiosqlite", database=str(path))
    engine = create_async_engine(url, pool_size=2, max_overflow=0, pool_timeout=5.0)

    def connected(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        for pragma in _PRAGMAS:
            cursor.execute(pragma)
        cursor.close()

    event.listen(engine.sync_engine, "connect", connected)
    return engine


def _bring_up_to_date(connection: Connection) -> None:
    """Run the migrations that the database has not had yet."""
    if inspect(connection).has_table("alembic_version"):
        revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        if revision == REVISION:
            return
    from alembic import command  # here, as it takes a tenth of a second that most starts can do without
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", "gateway.store:migrations")
    config.attributes["connection"] = connection
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # Python's driver begins none for what makes tables
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise StoreError(f"the database is of a version that this gateway does not know: {error}") from error
