"""The process is killed, as by `kill -9`, at the worst moments; the next one makes good."""

import asyncio
import base64
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from nacl.signing import SigningKey

from gateway.protocol.signature import sign
from tests.gateway.store.template import database_in
from tests.integration import crashing

API_KEY = "k" * 20
SIGNING_KEY = SigningKey(b"s" * 32)
PUBLIC_KEY = base64.b64encode(bytes(SIGNING_KEY.verify_key)).decode()
ROOT = Path(__file__).parents[2]


class Process:
    """A program under test, and where its HTTP side is."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)

    async def killed(self) -> None:
        assert await asyncio.wait_for(self.process.wait(), 10) == -signal.SIGKILL


@asynccontextmanager
async def started(*command: str, **environment: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *command),
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        ready = (await asyncio.wait_for(process.stdout.readline(), 20)).decode().split()
        assert ready[:1] == ["ready"], ready
        yield Process(process, "http" + ready[-1].rpartition("http")[2])
    finally:
        if process.returncode is None:
            process.terminate()
            await asyncio.wait_for(process.wait(), 20)


async def post(url: str, event_type: str, event_id: str, **payload: Any) -> int:
    data = {"event_type": event_type, "id": event_id, "payload": {"call_control_id": "v3:a", **payload}}
    body = json.dumps({"data": data}).encode()
    headers = sign(body, key=SIGNING_KEY, now=time.time())
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/webhooks/telnyx", data=body, headers=headers) as answer,
    ):
        return answer.status


async def until_handled(folder: Path, expected: list[str]) -> None:
    path = folder / "handled"
    async with asyncio.timeout(10):
        while not path.exists() or len(path.read_text().split()) < len(expected):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.01)
    assert path.read_text().split() == expected


async def test_an_event_whose_process_was_killed_between_answer_and_handler_is_handled_once(tmp_path: Path) -> None:
    database_in(tmp_path)
    program = (crashing.__file__, str(tmp_path), PUBLIC_KEY)
    async with started(*program, "kill") as first:
        assert await post(first.url, "call.answered", "one") == 200
        await first.killed()
    assert not (tmp_path / "handled").exists()
    async with started(*program, "note") as second:
        await until_handled(tmp_path, ["one"])
        assert await post(second.url, "call.answered", "one") == 200  # Telnyx may deliver it again
        assert await post(second.url, "call.hangup", "two") == 200
        await until_handled(tmp_path, ["one", "two"])
    async with started(*program, "note") as third:
        assert await post(third.url, "call.answered", "one") == 200
        await asyncio.sleep(0.1)
    assert (tmp_path / "handled").read_text().split() == ["one", "two"]


class Telnyx:
    """Acts once on each command_id; does not answer while `silent`."""

    def __init__(self) -> None:
        self.silent = True
        self.requests = 0
        self.acted: dict[str, str] = {}
        self.asked = asyncio.Event()

    async def handle(self, request: web.Request) -> web.Response:
        command_id = (await request.json())["command_id"]
        self.requests += 1
        self.acted.setdefault(command_id, request.match_info["action"])
        self.asked.set()
        if self.silent:
            await asyncio.sleep(60)
        return web.json_response({"data": {"result": "ok"}})


@pytest.fixture
async def telnyx() -> AsyncIterator[tuple[Telnyx, str]]:
    one = Telnyx()
    app = web.Application()
    app.router.add_post("/v2/calls/{call}/actions/{action}", one.handle)
    async with TestServer(app, shutdown_timeout=0) as server:
        yield one, str(server.make_url("/v2"))


async def test_a_gateway_that_is_killed_in_the_middle_of_a_command_goes_on_where_it_was(
    tmp_path: Path, telnyx: tuple[Telnyx, str]
) -> None:
    server, base_url = telnyx
    database_in(tmp_path)
    environment = {
        "GATEWAY_MEDIA_LISTEN": "127.0.0.1:0",
        "GATEWAY_HTTP_LISTEN": "127.0.0.1:0",
        "GATEWAY_DATA_DIR": str(tmp_path),
        "GATEWAY_API_KEY": API_KEY,
        "GATEWAY_DRAIN_TIMEOUT": "1",
        "TELNYX_API_KEY": "KEY",
        "TELNYX_BASE_URL": base_url,
        "TELNYX_PUBLIC_KEY": PUBLIC_KEY,
    }
    async with started("-m", "gateway", "serve", **environment) as first:
        assert await post(first.url, "call.initiated", "one", direction="incoming") == 200
        await asyncio.wait_for(server.asked.wait(), 10)
        first.kill()
        await first.killed()
    server.silent = False
    async with started("-m", "gateway", "serve", **environment) as second:
        assert await post(second.url, "call.initiated", "one", direction="incoming") == 200
        assert await post(second.url, "call.hangup", "two", hangup_cause="normal_clearing") == 200
        headers = {"Authorization": f"Bearer {API_KEY}"}
        async with asyncio.timeout(10), aiohttp.ClientSession(headers=headers) as session:
            while True:
                async with session.get(f"{second.url}/v1/calls/v3:a") as answer:
                    call = await answer.json()
                if call["state"] == "ended":
                    break
                await asyncio.sleep(0.02)
            async with session.get(f"{second.url}/v1/calls") as answer:
                counters = (await answer.json())["counters"]
    assert list(server.acted.values()) == ["answer"]
    assert server.requests >= 2  # it was sent again, under the same id
    assert (call["direction"], call["hangup_cause"], call["problems"]) == ("incoming", "normal_clearing", [])
    assert [(one["action"], one["status"]) for one in call["commands"]] == [("answer", 200)]
    assert (counters["webhooks_recovered"], counters["webhooks_duplicated"]) == (1, 1)
    async with (
        started("-m", "gateway", "serve", **environment) as third,
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"{third.url}/v1/calls") as answer,
    ):
        (past,) = (await answer.json())["calls"]
    assert {**past, "commands": call["commands"]} == call
    assert len(server.acted) == 1
