import sqlite3
import stat
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.errors import StoreError
from gateway.store.database import open_database
from gateway.store.schema import REVISION, metadata

NOT_OF_THE_LAST_TABLE = ("alembic_version", "webhooks", "calls")


async def revision(engine: AsyncEngine) -> str:
    async with engine.connect() as connection:
        return str((await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar())


def test_the_newest_migration_is_the_one_that_the_schema_names() -> None:
    config = Config()
    config.set_main_option("script_location", "gateway.store:migrations")
    assert ScriptDirectory.from_config(config).get_heads() == [REVISION]


async def test_the_migrations_lead_to_the_schema(tmp_path: Path) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    async with open_database(tmp_path / "gateway.db") as engine:
        assert await revision(engine) == REVISION
        async with engine.connect() as connection:
            assert await connection.run_sync(differences) == []
            tables = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    assert set(tables) == {"alembic_version", *metadata.tables}


async def test_the_folder_is_made_and_only_the_owner_may_read_the_files(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    async with open_database(folder / "gateway.db") as engine, engine.begin() as connection:
        await connection.execute(text("INSERT INTO calls VALUES ('v3:a', 'ended', 1.0, 2.0, '{}', 0)"))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == dict.fromkeys(("gateway.db", "gateway.db-wal", "gateway.db-shm", "gateway.lock"), 0o600)


async def test_a_file_that_others_may_read_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    async with open_database(path):
        pass
    path.chmod(0o644)
    async with open_database(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_it_writes_ahead_and_what_was_written_is_there_the_next_time(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    async with open_database(path) as engine, engine.begin() as connection:
        assert (await connection.execute(text("PRAGMA journal_mode"))).scalar() == "wal"
        assert (await connection.execute(text("PRAGMA synchronous"))).scalar() == 1
        await connection.execute(text("INSERT INTO calls VALUES ('v3:a', 'ended', 1.0, 2.0, '{}', 0)"))
    async with open_database(path) as engine, engine.connect() as connection:
        assert (await connection.execute(text("SELECT state FROM calls"))).scalar() == "ended"


async def test_two_gateways_cannot_share_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    async with open_database(path):
        with pytest.raises(StoreError, match="another gateway uses the folder"):
            await open_database(path).__aenter__()
    async with open_database(path):
        pass


async def test_workers_of_one_gateway_share_a_folder_and_nobody_else_does(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    async with open_database(path, worker=0):
        async with open_database(path, worker=1):
            for other in (None, 0, 1):
                with pytest.raises(StoreError, match="another gateway uses the folder"):
                    await open_database(path, worker=other).__aenter__()
        async with open_database(path, worker=1):
            pass
    async with open_database(path):
        with pytest.raises(StoreError, match="another gateway uses the folder"):
            await open_database(path, worker=0).__aenter__()


async def test_an_error_of_the_user_passes_through_as_it_is_and_frees_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    with pytest.raises(OSError, match="the port is taken"):
        async with open_database(path):
            raise OSError("the port is taken")
    async with open_database(path):
        pass


async def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    path.write_bytes(b"notes " * 1000)
    with pytest.raises(StoreError, match=r"cannot use the database .*: file is not a database"):
        await open_database(path).__aenter__()
    assert path.read_bytes() == b"notes " * 1000


async def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot use the folder"):
        await open_database(tmp_path / "file" / "gateway.db").__aenter__()


async def test_a_database_of_a_newer_gateway_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    async with open_database(path) as engine, engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="a version that this gateway does not know"):
        await open_database(path).__aenter__()
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT version_num FROM alembic_version").fetchone() == ("9999",)
    database.close()


async def test_what_was_there_before_there_were_workers_is_the_first_ones(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    async with open_database(path) as engine:
        async with engine.begin() as connection:
            await connection.execute(text("INSERT INTO calls VALUES ('v3:a', 'ended', 1.0, 2.0, '{}', 3)"))
            await connection.run_sync(_migrate, "0003")
        assert await revision(engine) == "0003"
    async with open_database(path) as engine, engine.connect() as connection:
        assert (await connection.execute(text("SELECT call_control_id, worker FROM calls"))).all() == [("v3:a", 0)]


def _migrate(connection: Connection, target: str) -> None:
    config = Config()
    config.set_main_option("script_location", "gateway.store:migrations")
    config.attributes["connection"] = connection
    command.downgrade(config, target)


async def test_a_migration_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE commands (in_the_way INTEGER)")
    database.close()
    with pytest.raises(StoreError, match="table commands already exists"):
        await open_database(path).__aenter__()
    with sqlite3.connect(path) as database:
        tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert tables.isdisjoint(NOT_OF_THE_LAST_TABLE)
        database.execute("DROP TABLE commands")
    database.close()
    async with open_database(path) as engine:
        assert await revision(engine) == REVISION
