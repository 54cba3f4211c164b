"""`serve --workers 2` as it ships: commands and webhooks come in at either, and reach the one that has the call."""

import asyncio
import base64
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from nacl.signing import SigningKey

from gateway.cluster.slot import WorkerSlot
from gateway.protocol.signature import sign
from gateway.simulator.background import BackgroundSimulator
from tests.fakes import noise
from tests.gateway.cluster.sides import call_of
from tests.gateway.control.conftest import webhook
from tests.gateway.store.template import database_in

KEY = "a key that only the tests have"
SIGNING_KEY = SigningKey(b"h" * 32)
PUBLIC_KEY = base64.b64encode(bytes(SIGNING_KEY.verify_key)).decode()
OURS, AT_ONCE = "+15550100002", "+15550100200"
ROOT = Path(__file__).parents[2]
WORKERS = 2


class Served:
    """A gateway of two workers, in processes of its own."""

    def __init__(self, url: str, sockets: Path) -> None:
        self.url = url
        self._sockets = sockets

    async def request(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """On a connection of its own, so that it comes to any worker."""
        headers = {"Authorization": f"Bearer {KEY}"} | headers
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.url + path, json=body, headers=headers) as answer,
        ):
            return answer.status, await answer.json()

    async def deliver(self, event_type: str, call: str, event_id: str, **payload: Any) -> int:
        """A webhook, signed by the test, on a connection of its own."""
        body = webhook(event_type, {"call_control_id": call, **payload}, id=event_id)
        headers = sign(body, key=SIGNING_KEY, now=time.time())
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.url}/webhooks/telnyx", data=body, headers=headers) as answer,
        ):
            return answer.status

    async def counters(self, worker: int) -> dict[str, Any]:
        """Those of one worker, which it tells the other."""
        connector = aiohttp.UnixConnector(str(self._socket(worker)))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get("http://worker/cluster/calls") as answer,
        ):
            counters: dict[str, Any] = (await answer.json())["counters"]
            return counters

    async def passed(self) -> int:
        """How many requests came to the wrong worker so far."""
        return sum([(await self.counters(worker))["requests_passed"] for worker in range(WORKERS)])

    async def state(self, call: str) -> str:
        """How far a call has come, by whichever worker is asked."""
        status, shown = await self.request("GET", f"/v1/calls/{call}")
        return str(shown["state"]) if status == 200 else str(status)

    async def until(self, call: str, *states: str) -> None:
        async with asyncio.timeout(10):
            while await self.state(call) not in states:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)

    def pid(self, worker: int) -> int:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(self._socket(worker)))
            return int.from_bytes(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4], sys.byteorder)

    def _socket(self, worker: int) -> Path:
        (path,) = self._sockets.glob(f"*/{worker}.http")
        return path


@asynccontextmanager
async def served(folder: Path, **environment: str) -> AsyncIterator[Served]:
    database_in(folder)
    usual = {
        "GATEWAY_MEDIA_LISTEN": "127.0.0.1:0",
        "GATEWAY_HTTP_LISTEN": "127.0.0.1:0",
        "GATEWAY_DATA_DIR": str(folder),
        "GATEWAY_API_KEY": KEY,
        "GATEWAY_SINKS": "",
        "GATEWAY_AGENT": "echo",
        "GATEWAY_DRAIN_TIMEOUT": "1",
        "TELNYX_API_KEY": "KEY",
    }
    told = folder / "standard error"
    with tempfile.TemporaryDirectory() as sockets, told.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "serve", "--workers", str(WORKERS)),
            cwd=ROOT,
            env={**os.environ, **usual, **environment, "TMPDIR": sockets},
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
        try:
            assert process.stdout is not None
            ready = (await asyncio.wait_for(process.stdout.readline(), 30)).decode().split()
            assert ready[:1] == ["ready"], told.read_text()
            yield Served("http" + ready[-1].rpartition("http")[2], Path(sockets))
        finally:
            if process.returncode is None:
                process.terminate()
                assert await asyncio.wait_for(process.wait(), 20) == 0


@pytest.fixture
def simulator() -> Any:
    with BackgroundSimulator() as simulator:
        yield simulator


async def test_calls_come_and_go_whichever_worker_hears_of_them(tmp_path: Path, simulator: BackgroundSimulator) -> None:
    environment = simulator.environment
    environment["TELNYX_PUBLIC_KEY"] += f",{PUBLIC_KEY}"
    async with asyncio.timeout(60), served(tmp_path, **environment) as gateway:
        webhooks = f"{gateway.url}/webhooks/telnyx"
        calls = await _incoming(gateway, simulator, webhooks)
        for call in [await _outgoing(gateway, webhooks) for _ in range(3)]:
            calls.append(call)
            await _command(gateway, call)
        for call in calls:
            await gateway.until(call, "stored")
        for _ in range(6):
            _, page = await gateway.request("GET", "/v1/calls")
            assert sorted(call["call_control_id"] for call in page["calls"]) == sorted(calls)
            assert [call["problems"] for call in page["calls"] if call["problems"]] == []
            assert page["workers_missing"] == []
        assert page["counters"]["calls_started"] == len(calls)
        assert page["counters"]["sockets_refused"] == {}
        assert page["counters"]["webhooks_duplicated"] == 0
        await _duplicates(gateway)


async def _incoming(gateway: Served, simulator: BackgroundSimulator, webhooks: str) -> list[str]:
    """Place calls until both workers have had some, and both were told of some."""
    slot = WorkerSlot(0, WORKERS, Path(), b"")
    calls: list[str] = []
    for number in count(4, 4):  # each time a few more, so that the webhooks come on further connections
        spoken = noise(1600)
        placed = [simulator.call_async(webhook_url=webhooks, wav=spoken, silence_after=0.4) for _ in range(number)]
        for result in await asyncio.gather(*placed):
            result.check()
            assert result.heard.any()  # the echo
            assert all(sent["attempts"] == 1 for sent in result.webhooks)
            calls.append(result.call_control_id)
        told = [(await gateway.counters(worker))["webhooks_verified"] for worker in range(WORKERS)]
        if all(told) and {slot.registrar(call) for call in calls} == {0, 1}:
            break
    return calls


async def _outgoing(gateway: Served, webhooks: str) -> str:
    dial = {"connection_id": "1", "from": OURS, "to": AT_ONCE, "stream_track": "inbound_track", "webhook_url": webhooks}
    status, answer = await gateway.request("POST", "/v2/calls", dial)
    assert status == 200, answer
    call = str(answer["data"]["call_control_id"])
    assert await gateway.state(call) != "404"  # known to all by then
    await gateway.until(call, "streaming")
    return call


async def _command(gateway: Served, call: str) -> None:
    """Ask for things that only the worker can do that has the call's sound, until both workers were asked."""
    before, sent, passed = await gateway.passed(), 0, 0
    while not 0 < passed < sent:
        assert await gateway.request("POST", f"/v1/calls/{call}/clear", {}) == (200, {"cleared": True}), call
        sent, passed = sent + 1, await gateway.passed() - before
    status, answer = await gateway.request("POST", f"/v2/calls/{call}/actions/hangup", {})
    assert status == 200, answer


async def _duplicates(gateway: Served) -> None:
    """Deliver one webhook again and again, until it came in at both workers."""
    before = [(await gateway.counters(worker))["webhooks_verified"] for worker in range(WORKERS)]
    call, delivered = call_of(1), 0
    while True:
        assert await gateway.deliver("call.initiated", call, "the one", direction="incoming") == 200
        delivered += 1
        counters = [await gateway.counters(worker) for worker in range(WORKERS)]
        if all(now["webhooks_verified"] > then for now, then in zip(counters, before, strict=True)):
            break
    assert [now["webhooks_duplicated"] for now in counters] == [0, delivered - 1]
    async with asyncio.timeout(5):
        while not (shown := (await gateway.request("GET", f"/v1/calls/{call}"))[1])["commands"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert [command["action"] for command in shown["commands"]] == ["answer"]  # refused, as there is no such call


class SilentTelnyx:
    """Acts once on each command_id; does not answer while `silent`."""

    def __init__(self) -> None:
        self.silent = True
        self.acted: dict[str, tuple[str, str]] = {}
        self.asked = asyncio.Event()

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.acted.setdefault(body["command_id"], (request.match_info["call"], request.match_info["action"]))
        self.asked.set()
        if self.silent:
            await asyncio.sleep(60)
        return web.json_response({"data": {"result": "ok"}})


async def test_what_a_killed_worker_left_undone_is_done_once_after_its_restart_and_the_other_goes_on(
    tmp_path: Path,
) -> None:
    telnyx = SilentTelnyx()
    app = web.Application()
    app.router.add_post("/v2/calls/{call}/actions/{action}", telnyx.handle)
    theirs, ours = call_of(1), call_of(0)
    async with asyncio.timeout(60), TestServer(app, shutdown_timeout=0) as server:
        account = {"TELNYX_BASE_URL": str(server.make_url("/v2")), "TELNYX_PUBLIC_KEY": PUBLIC_KEY}
        async with served(tmp_path, **account) as gateway:
            assert await gateway.deliver("call.initiated", theirs, "one", direction="incoming") == 200
            await telnyx.asked.wait()
            killed = gateway.pid(1)
            os.kill(killed, signal.SIGKILL)
            telnyx.silent = False
            assert await _until_taken(gateway, "call.initiated", ours, "two") == 200
            await gateway.until(ours, "ringing")
            assert await _until_taken(gateway, "call.hangup", theirs, "three") == 200
            await gateway.until(theirs, "ended")
            assert gateway.pid(1) != killed
            assert await _until_taken(gateway, "call.initiated", theirs, "one") == 200
            assert (await gateway.counters(1))["webhooks_recovered"] == 1
            assert (await gateway.counters(0))["webhooks_recovered"] == 0
            _, shown = await gateway.request("GET", f"/v1/calls/{theirs}")
    assert sorted(telnyx.acted.values()) == sorted([(theirs, "answer"), (ours, "answer")])
    assert (shown["problems"], [one["status"] for one in shown["commands"]]) == ([], [200])


async def _until_taken(gateway: Served, event_type: str, call: str, event_id: str) -> int:
    """As Telnyx does: again, where a worker is not there yet, or the connection has fallen."""
    while True:
        try:
            status = await gateway.deliver(event_type, call, event_id, direction="incoming")
        except (aiohttp.ClientError, ConnectionError):
            status = 0
        if status not in (0, 503):
            return status
        await asyncio.sleep(0.1)
