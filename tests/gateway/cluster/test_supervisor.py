"""The supervisor, with workers that are quick to start: see `quick_worker.py`."""

import asyncio
import os
import pickle
import re
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.cluster import worker_process
from gateway.cluster.supervisor import Supervisor
from gateway.cluster.worker_protocol import Ready, Refused, Setup
from gateway.config import Address, Settings
from gateway.errors import WorkerError
from tests.gateway.control.conftest import Log
from tests.gateway.control.conftest import log as log

WORKER = Path(__file__).with_name("quick_worker.py")


async def until(true: Callable[[], object]) -> None:
    """Wait until a process has made `true` so."""
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 - it sets no event here
            await asyncio.sleep(0.002)


class Supervised:
    """A supervisor, and what its workers note."""

    def __init__(self, folder: Path, log: Log, workers: int) -> None:
        self.folder = folder
        self.does("")
        for name, answer in (("ready", Ready("ws://a/media", "http://b")), ("refused", Refused("no tape in it"))):
            (folder / name).write_bytes(pickle.dumps(answer))
        anywhere = Address("127.0.0.1", 0)
        self.supervisor = Supervisor(
            Settings(workers=workers, media_listen=anywhere, http_listen=anywhere, drain_timeout=600),
            log=log.logger,
            command=(sys.executable, "-S", str(WORKER), str(folder)),
        )
        self._log = log

    def does(self, what: str) -> None:
        """Say what the workers do that start from now on."""
        (self.folder / "does").write_text(what)

    def setups(self) -> dict[int, Setup]:
        """What each process was told at first, by its id; those there have been, the newest last."""
        notes = sorted(self.folder.glob("*[0-9]"), key=lambda path: path.stat().st_ctime_ns)
        return {int(path.name): pickle.loads(path.read_bytes()) for path in notes}

    def process(self, index: int) -> int:
        """The newest process of a worker."""
        return [pid for pid, setup in self.setups().items() if setup.slot.index == index][-1]

    def orders(self, pid: int) -> list[str]:
        """What a process was told later."""
        return re.findall(r"\n(drain|end|alone)", (self.folder / str(pid)).read_bytes()[-20:].decode("latin-1"))

    async def said(self, event: str, count: int = 1) -> dict[str, Any]:
        """Wait for a line of the log, or the second such line."""
        await until(lambda: [line["event"] for line in self._log.lines].count(event) >= count)
        return dict([line for line in self._log.lines if line["event"] == event][count - 1])


@asynccontextmanager
async def supervised(folder: Path, log: Log, workers: int = 2) -> AsyncIterator[Supervised]:
    """Workers that all take calls; at the end they are drained, if nobody did so before."""
    one = Supervised(folder, log, workers)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(one.supervisor.serve())
        await until(lambda: len(one.setups()) == workers)
        yield one
        if not serving.done():
            one.supervisor.stop()


async def test_it_is_ready_when_all_workers_are(tmp_path: Path, log: Log, capsys: pytest.CaptureFixture[str]) -> None:
    async with supervised(tmp_path, log, workers=3) as one:
        said = ""
        while not said.endswith("\n"):
            await asyncio.sleep(0.002)
            said += capsys.readouterr().out
        assert said == "ready media=ws://a/media http=http://b\n"
        setups = list(one.setups().values())
        slots = sorted((setup.slot for setup in setups), key=lambda slot: slot.index)
        assert [(slot.index, slot.count) for slot in slots] == [(0, 3), (1, 3), (2, 3)]
        assert setups[0].slot.index == 0  # it was alone
        (key,) = {slot.admission_key for slot in slots}
        assert len(key) == 32
        (ports,) = {(setup.settings.media_listen.port, setup.settings.http_listen.port) for setup in setups}
        assert 0 not in ports
        (sockets,) = {slot.folder for slot in slots}
        assert sockets.stat().st_mode & 0o777 == 0o700
        pids = list(one.setups())
    assert [one.orders(pid) for pid in pids] == [["drain"]] * 3
    assert not sockets.exists()


async def test_where_temporary_files_lie_deep_the_sockets_do_not(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    async with supervised(tmp_path, log) as one:
        await until(lambda: len(one.setups()) == 2)
        for setup in one.setups().values():
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(setup.slot.media_path(setup.slot.index)))


async def test_the_key_stands_in_no_list_of_processes(tmp_path: Path, log: Log) -> None:
    async with supervised(tmp_path, log) as one:
        pid = one.process(1)
        key = one.setups()[pid].slot.admission_key
        for name in ("cmdline", "environ"):
            octets = Path(f"/proc/{pid}/{name}").read_bytes()
            assert octets
            assert key not in octets
            assert key.hex().encode() not in octets


async def test_a_worker_that_dies_is_started_again_and_the_others_hear_nothing(tmp_path: Path, log: Log) -> None:
    async with supervised(tmp_path, log) as one:
        first, other = one.process(0), one.process(1)
        os.kill(first, signal.SIGKILL)
        told = await one.said("worker ended")
        assert (told["worker"], told["how"], told["again_in"]) == (0, "SIGKILL", 0.25)
        again = await one.said("worker started again")
        assert one.process(0) == again["pid"] != first
        assert one.setups()[first] == one.setups()[again["pid"]]  # the same place, ports and key
        assert one.orders(other) == []
        os.kill(again["pid"], signal.SIGKILL)
        assert (await one.said("worker ended", 2))["again_in"] == 0.5  # it may be something that stays


async def test_a_worker_that_cannot_start_again_is_tried_again(tmp_path: Path, log: Log) -> None:
    async with supervised(tmp_path, log) as one:
        one.does("refuse")
        os.kill(one.process(1), signal.SIGKILL)
        told = await one.said("worker cannot start")
        assert (told["worker"], told["reason"]) == (1, "no tape in it")
        one.does("")
        assert (await one.said("worker started again"))["worker"] == 1


@pytest.mark.parametrize(
    ("does", "says"), [("refuse", "no tape in it"), ("die", "Cannot start: a worker ended with 7 before it was ready")]
)
async def test_where_one_cannot_start_at_first_none_stays(tmp_path: Path, log: Log, does: str, says: str) -> None:
    one = Supervised(tmp_path, log, workers=2)
    async with asyncio.timeout(5):
        one.does(does)
        with pytest.raises(WorkerError, match=says):
            await one.supervisor.serve()
    assert {setup.slot.index for setup in one.setups().values()} <= {0}


async def test_one_that_does_not_get_ready_is_not_waited_for(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_process, "_START_TIMEOUT", 0.2)
    one = Supervised(tmp_path, log, workers=2)
    one.does("hang")
    async with asyncio.timeout(5):
        assert await _refusal(one.supervisor) == "Cannot start: a worker was not ready within 0.2 s"


async def test_where_the_second_cannot_start_the_first_is_ended(
    tmp_path: Path, log: Log, capsys: pytest.CaptureFixture[str]
) -> None:
    one = Supervised(tmp_path, log, workers=2)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(_refusal(one.supervisor))
        await until(one.setups)
        one.does("refuse")
        assert await serving == "no tape in it"
    assert one.orders(one.process(0)) == ["end"]
    assert capsys.readouterr().out == ""


async def _refusal(supervisor: Supervisor) -> str:
    with pytest.raises(WorkerError) as raised:
        await supervisor.serve()
    return str(raised.value)


async def test_a_second_stop_ends_what_the_first_has_drained(tmp_path: Path, log: Log) -> None:
    one = Supervised(tmp_path, log, workers=2)
    one.does("stay")
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(one.supervisor.serve())
        await until(lambda: len(one.setups()) == 2)
        one.supervisor.stop()
        pids = list(one.setups())
        await until(lambda: [one.orders(pid) for pid in pids] == [["drain"]] * 2)
        assert not serving.done()
        one.supervisor.stop()
    assert [one.orders(pid) for pid in pids] == [["drain", "end"]] * 2


async def test_who_dies_while_all_drain_stays_dead(tmp_path: Path, log: Log) -> None:
    one = Supervised(tmp_path, log, workers=1)
    one.does("stay")
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(one.supervisor.serve())
        await until(one.setups)
        one.supervisor.stop()
        os.kill(one.process(0), signal.SIGKILL)
    assert len(one.setups()) == 1


async def test_a_stop_between_two_starts_ends_it_at_once(tmp_path: Path, log: Log) -> None:
    one = Supervised(tmp_path, log, workers=1)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(one.supervisor.serve())
        await until(one.setups)
        one.does("die")
        os.kill(one.process(0), signal.SIGKILL)
        await one.said("worker ended", 3)
        began = time.monotonic()
        one.supervisor.stop()
    assert time.monotonic() - began < 0.9  # the next start would have come in a second
    assert [line["again_in"] for line in log.lines if line["event"] == "worker ended"] == [0.25, 0.5, 1.0]


async def test_a_stop_before_it_is_ready_ends_it(tmp_path: Path, log: Log, capsys: pytest.CaptureFixture[str]) -> None:
    one = Supervised(tmp_path, log, workers=2)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(one.supervisor.serve())
        await asyncio.sleep(0)
        one.supervisor.stop()
    assert capsys.readouterr().out == ""
