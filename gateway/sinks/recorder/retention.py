"""Recordings that are old enough are deleted: those that nobody writes and that wait for nothing."""

import asyncio
import os
import re
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from structlog.typing import FilteringBoundLogger

from gateway.sinks.recorder.sidecar import is_final
from gateway.sinks.recorder.upload import MARKER
from gateway.sinks.recorder.wav import claim

__all__ = ["delete_old", "keeping"]

_INTERVAL: Final = 3600.0
_DAY: Final = 86_400.0
_ID: Final = re.compile(r"(\d{8}T\d{6}Z)-[0-9a-f]{8}")


@asynccontextmanager
async def keeping(
    folder: Path, days: float, *, log: FilteringBoundLogger, clock: Callable[[], float] = time.time
) -> AsyncIterator[None]:
    """Keep recordings for so many days, and look every hour.

    Args:
        folder: Of all recordings.
        days: From the beginning of each.
        log: Gets a line where any are deleted.
        clock: Unix time.
    """

    async def sweep() -> None:
        while True:
            try:
                deleted = await asyncio.to_thread(delete_old, folder, clock() - days * _DAY)
            except OSError as error:
                log.warning("old recordings cannot be deleted", error=str(error))
            else:
                if deleted:
                    log.info("old recordings deleted", recordings=deleted, days=days)
            await asyncio.sleep(_INTERVAL)

    task = asyncio.create_task(sweep(), name="retention")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))


def delete_old(folder: Path, oldest: float) -> int:
    """Delete the recordings that began before a moment; how many there were.

    Whatever is not named as a recording stays, and so does a recording that runs or waits to be uploaded.

    Args:
        folder: Of all recordings.
        oldest: Unix time.

    Raises:
        OSError: One cannot be deleted.
    """
    deleted = 0
    for place in folder.iterdir() if folder.is_dir() else ():
        begun = _begun(place.name)
        if begun is None or begun >= oldest or (place / MARKER).exists():
            continue
        if is_final(place) or _left(place):
            with suppress(FileNotFoundError):  # another worker has begun to delete it, and goes on
                shutil.rmtree(place)
                deleted += 1
    return deleted


def _begun(name: str) -> float | None:
    """When a recording began, by the name of its folder."""
    match = _ID.fullmatch(name)
    try:
        return match and datetime.strptime(match[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _left(place: Path) -> bool:
    """Whether nobody writes here."""
    try:
        for path in place.iterdir():
            os.close(claim(path, new=False))
    except OSError:
        return False
    return True
