"""What is old goes, and nothing else does."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import structlog
from structlog.testing import capture_logs

from gateway.sinks.recorder.complete import Completion
from gateway.sinks.recorder.retention import delete_old, keeping
from gateway.sinks.recorder.upload import MARKER
from tests.gateway.sinks.recorder.recordings import noise
from tests.gateway.sinks.recorder.test_recording import NOTHING, POOL, begun, rows

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
OLD, YOUNG = "20261119T115959Z-00000000", "20261119T120001Z-00000000"


def final(folder: Path) -> Path:
    recording = begun(folder)
    recording.finish(rows(0, noise(160)), POOL, {})
    recording.release()
    Completion().complete(folder)
    return folder


def test_a_recording_is_kept_for_its_time(tmp_path: Path) -> None:
    final(tmp_path / OLD)
    final(tmp_path / YOUNG)
    assert delete_old(tmp_path, NOW - 2 * 86_400) == 1
    assert [place.name for place in tmp_path.iterdir()] == [YOUNG]


def test_what_runs_and_what_waits_stays_and_so_does_what_is_no_recording(tmp_path: Path) -> None:
    running = begun(tmp_path / OLD)
    waiting = final(tmp_path / OLD.replace("0000000", "0000001"))
    (waiting / MARKER).touch()
    other = tmp_path / "20200101T000000Z-notes"
    other.mkdir()
    no_time = tmp_path / "20209901T000000Z-00000000"
    no_time.mkdir()
    before = sorted(tmp_path.iterdir())
    assert delete_old(tmp_path, NOW) == 0
    assert sorted(tmp_path.iterdir()) == before
    running.finish(NOTHING, POOL, {})
    running.release()  # its process is gone
    (waiting / MARKER).unlink()
    assert delete_old(tmp_path, NOW) == 2
    assert sorted(tmp_path.iterdir()) == [other, no_time]


def test_several_workers_may_look_at_once(tmp_path: Path) -> None:
    for number in range(20):
        final(tmp_path / OLD.replace("0000000", f"00000{number:02}"))
    with ThreadPoolExecutor(2) as workers:
        deleted = list(workers.map(lambda _: delete_old(tmp_path, NOW), range(2)))
    assert sum(deleted) <= 20
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_yet_is_fine(tmp_path: Path) -> None:
    assert delete_old(tmp_path / "recordings", NOW) == 0


async def test_it_looks_by_itself_and_says_what_it_did(tmp_path: Path) -> None:
    final(tmp_path / OLD)
    with capture_logs() as lines:
        async with asyncio.timeout(5), keeping(tmp_path, 2, log=structlog.get_logger(), clock=lambda: NOW):
            while (tmp_path / OLD).exists() or not lines:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
    assert lines == [{"event": "old recordings deleted", "log_level": "info", "recordings": 1, "days": 2}]
