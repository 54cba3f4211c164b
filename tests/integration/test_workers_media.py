"""`telnyx-gateway serve --workers 2`: calls spread over processes, one of which is killed, as by `kill -9`."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from gateway.cluster.slot import WorkerSlot
from gateway.protocol.messages import MediaFormat, Play, StartBody
from gateway.protocol.stream import CarrierStream
from gateway.simulator.background import BackgroundSimulator
from tests.gateway.store.template import database_in

ROOT: Final = Path(__file__).parents[2]
FRAME: Final = 0.02
SOUND: Final = np.arange(4000, dtype=np.int16)
PATIENCE: Final = 20.0  # seconds that processes may take to start on a loaded machine
CALLS: Final = 16  # of which not all lead to the same worker


class Served:
    """The program, and what it logs, to a file: the workers may outlive it."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self.media_url = ""
        self.http_url = ""
        self._log = log

    def told(self, event: str, **fields: Any) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line.items() >= ({"event": event} | fields).items()]

    async def said(self, event: str, count: int = 1, **fields: Any) -> dict[str, Any]:
        """Wait until so many lines say so; the last of them."""
        async with asyncio.timeout(PATIENCE):
            while len(told := self.told(event, **fields)) < count:  # noqa: ASYNC110 - other processes write them
                await asyncio.sleep(0.01)
        return told[count - 1]

    def workers(self) -> list[int]:
        """The processes of the workers, in their order."""
        return sorted(map(int, Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()))


@asynccontextmanager
async def started(folder: Path, **settings: str) -> AsyncIterator[Served]:
    """The program with two workers; at the end it is drained."""
    database_in(folder)
    environment = {
        "GATEWAY_MEDIA_LISTEN": "127.0.0.1:0",
        "GATEWAY_HTTP_LISTEN": "127.0.0.1:0",
        "GATEWAY_DATA_DIR": str(folder),
        "GATEWAY_AGENT": "echo",
        "GATEWAY_LOG_FORMAT": "json",
    }
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "serve", "--workers", "2"),
            cwd=ROOT,
            env=os.environ | environment | settings,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    try:
        yield Served(process, folder / "log")
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(PATIENCE):
            await process.communicate()  # until its workers are gone as well
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@asynccontextmanager
async def served(folder: Path, **settings: str) -> AsyncIterator[Served]:
    """The same, when it takes calls."""
    async with started(folder, **settings) as program:
        assert program.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            ready = (await program.process.stdout.readline()).decode().split()
        assert ready[:1] == ["ready"]
        program.media_url, program.http_url = (part.partition("=")[2] for part in ready[1:])
        yield program


class Talk:
    """A call that says a frame every 20 ms and hears its echo.

    Attributes:
        heard: How many frames came back, each as it was said, in order.
        late: The longest that one took.
        closed: The code that the socket was closed with before we hung up.
    """

    def __init__(self, name: str) -> None:
        self.call_control_id = f"v3:{name}"
        self.said = self.heard = 0
        self.late = 0.0
        self.closed: int | None = None
        self._carrier = CarrierStream(
            f"stream-{name}", StartBody(call_control_id=self.call_control_id, media_format=MediaFormat("PCMU", 8000))
        )
        self._times: list[float] = []
        self._enough = asyncio.Event()
        self._echo = b""

    async def run(self, url: str) -> None:
        """Until `hang_up`, or until the socket is closed by the other end."""
        async with connect(url, proxy=None, close_timeout=1) as socket:
            await socket.send(self._carrier.send_connected(), text=True)
            await socket.send(self._carrier.send_start(), text=True)
            try:
                async with asyncio.TaskGroup() as tasks:
                    hearing = tasks.create_task(self._hear(socket))
                    while not self._enough.is_set():
                        self._times.append(time.monotonic())
                        payload = _payload(self.said)
                        self.said += 1
                        await socket.send(self._carrier.send_media("inbound", payload, timestamp=0), text=True)
                        await asyncio.sleep(FRAME)
                    async with asyncio.timeout(5):
                        while self.heard < self.said:  # noqa: ASYNC110 - the last echoes are on their way
                            await asyncio.sleep(FRAME)
                    await socket.send(self._carrier.send_stop(), text=True)
                    hearing.cancel()
            except* ConnectionClosed:
                self.closed = socket.close_code

    def hang_up(self) -> None:
        self._enough.set()

    async def _hear(self, socket: Any) -> None:
        while True:
            message = self._carrier.receive_message(await socket.recv())
            if isinstance(message, Play):
                self._echo += message.media.payload
                while len(self._echo) >= 160:
                    assert self._echo[:160] == _payload(self.heard)
                    self._echo = self._echo[160:]
                    self.late = max(self.late, time.monotonic() - self._times[self.heard])
                    self.heard += 1


def _payload(number: int) -> bytes:
    """A frame that is like no other near it; without 127, which PCMU decodes to the same as 255."""
    return bytes([number % 100, *range(120), *range(130, 169)])


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Not below pytest's own, which may be too deep for the paths of sockets."""
    with TemporaryDirectory() as folder:
        yield Path(folder)


async def test_a_worker_that_is_killed_costs_its_own_calls_and_a_killed_supervisor_none(
    tmp_path: Path, short_folder: Path
) -> None:
    settings = {"GATEWAY_MEDIA_AUTH": "none", "TMPDIR": str(short_folder)}
    async with served(tmp_path, **settings) as program, asyncio.TaskGroup() as tasks:
        assert len(list(short_folder.iterdir())) == 1
        talks: list[Talk] = []

        async def more() -> int:
            """Begin another call; the worker that has it."""
            talk = Talk(str(len(talks)))
            talks.append(talk)
            tasks.create_task(talk.run(program.media_url))
            started = await program.said("stream started", call_control_id=talk.call_control_id)
            return int(started["worker"])

        owners = [await more() for _ in range(4)]
        while owners.count(0) < 2 or owners.count(1) < 2:  # which gets a connection is for the system to say
            owners.append(await more())
        await asyncio.sleep(0.3)
        killed = 1
        os.kill(program.workers()[killed], signal.SIGKILL)
        ended = await program.said("worker ended")
        assert (ended["worker"], ended["how"]) == (killed, "SIGKILL")
        began = time.monotonic()
        await program.said("worker started again", worker=killed)
        assert time.monotonic() - began < 10
        # Its recordings are made whole, and only those: the others still run.
        lost = owners.count(killed)
        await program.said("recording recovered", lost)
        assert {line["worker"] for line in program.told("recording recovered")} == {killed}
        await asyncio.sleep(0.3)
        while await more() != killed:
            pass
        # Without their supervisor the workers let the calls end by themselves.
        program.process.kill()
        await program.said("draining", 2)
        await asyncio.sleep(0.2)
        for talk in talks:
            talk.hang_up()
        await program.said("stopped", 2)
    assert not any(short_folder.iterdir())
    of_killed = [talk for talk, owner in zip(talks, owners, strict=False) if owner == killed]
    assert [talk.closed for talk in of_killed] == [1006] * lost
    others = [talk for talk in talks if talk not in of_killed]
    assert [(talk.closed, talk.heard) for talk in others] == [(None, talk.said) for talk in others]
    assert max(talk.late for talk in others) < 5.0  # and the machine has started a process meanwhile
    assert not program.told("recording failed")
    assert not program.told("recording cannot be recovered")
    finished = program.told("recording finished")
    assert len(finished) == len(others)
    states = [json.loads(path.read_text())["state"] for path in tmp_path.glob("recordings/*/recording.json")]
    assert states == ["final"] * len(talks)


async def test_calls_are_heard_by_their_owners_whichever_worker_their_sockets_reach(tmp_path: Path) -> None:
    with BackgroundSimulator() as simulator:
        async with served(tmp_path, GATEWAY_SINKS="", **simulator.environment) as program:
            url = f"{program.http_url}/webhooks/telnyx"
            results = await asyncio.gather(
                *(asyncio.to_thread(simulator.call, wav=SOUND, webhook_url=url) for _ in range(CALLS))
            )
            for result in results:
                result.check()
            streams = program.told("stream started")
            assert len(streams) == CALLS
            slot = WorkerSlot(0, 2, tmp_path, b"")
            assert [line["worker"] for line in streams] == [slot.registrar(line["call_control_id"]) for line in streams]
            assert {line["worker"] for line in streams} == {0, 1}
    assert program.process.returncode == 0
    assert '"level": "error"' not in (tmp_path / "log").read_text()


async def test_settings_that_no_worker_takes_are_refused_as_by_one_process(tmp_path: Path) -> None:
    async with started(tmp_path, GATEWAY_AGENT="nobody") as program, asyncio.timeout(PATIENCE):
        out, _ = await program.process.communicate()
    assert (program.process.returncode, out) == (2, b"")
    said = (tmp_path / "log").read_text()
    assert "Settings are wrong:\nGATEWAY_AGENT" in said
    assert "Traceback" not in said
