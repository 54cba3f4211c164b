"""A database of its own for each test, and a disk that is full when the test says so."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.store.database import open_database
from tests.gateway.control.conftest import Log as Log
from tests.gateway.control.conftest import log as log
from tests.gateway.store.template import database_in


class Disk:
    """SQLite's own limit on the size of the file: beyond it, every connection finds the disk full."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.full = False
        event.listen(engine.sync_engine, "begin", self._set_limit)

    def _set_limit(self, connection: Any) -> None:
        pages = 1 if self.full else 1_000_000  # SQLite makes of 1 as many as there are
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")


@pytest_asyncio.fixture
async def engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    async with open_database(database_in(tmp_path)) as engine:
        yield engine


@pytest_asyncio.fixture
async def disk(engine: AsyncEngine) -> Disk:
    return Disk(engine)


async def rows(engine: AsyncEngine, query: str) -> list[tuple[Any, ...]]:
    async with engine.connect() as connection:
        return [tuple(row) for row in await connection.execute(text(query))]
