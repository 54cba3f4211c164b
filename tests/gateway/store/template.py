"""A database with the newest schema, made once: the migrations take longer than most tests."""

import functools
import tempfile
from pathlib import Path

from sqlalchemy import create_engine

from gateway.store.database import _bring_up_to_date


@functools.cache
def _template() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gateway.db"
        engine = create_engine(f"sqlite:///{path}")
        with engine.begin() as connection:
            _bring_up_to_date(connection)
        engine.dispose()
        return path.read_bytes()


def database_in(folder: Path) -> Path:
    """The path of a folder's database; it is put there if there is none yet."""
    path = folder / "gateway.db"
    if not path.exists():
        path.write_bytes(_template())
    return path
