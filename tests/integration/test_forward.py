"""Webhooks on their way through a gateway to the user's own program, which fails, hangs, and comes back."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import structlog
from aiohttp import web
from aiohttp.test_utils import TestServer
from nacl.signing import SigningKey

from gateway import Gateway, Settings
from gateway.protocol.signature import load_public_key, sign, verify
from tests.gateway.control.conftest import webhook
from tests.gateway.server.wire import until

TELNYX = SigningKey(b"t" * 32)
KEY = "a key that only the tests have"


class Program:
    """Hangs until it is told to work; keeps what it took, once its signature was verified."""

    def __init__(self) -> None:
        self.works = asyncio.Event()
        self.asked = 0
        self.taken: list[str] = []
        self.public_key = ""

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        verify(body, request.headers, keys=[load_public_key(self.public_key)], now=time.time())
        self.asked += 1
        await self.works.wait()
        self.taken.append(json.loads(body)["data"]["id"])
        return web.Response()


@asynccontextmanager
async def gateway(folder: Path, url: str, program: Program) -> AsyncIterator[str]:
    """A gateway; gives its URL."""
    log = structlog.testing.LogCapture()
    settings = Settings(
        media_listen="127.0.0.1:0",
        http_listen="127.0.0.1:0",
        data_dir=folder,
        api_key=KEY,
        telnyx_public_key=base64.b64encode(bytes(TELNYX.verify_key)).decode(),
        forward_url=url,
    )
    async with Gateway(settings, log=structlog.wrap_logger(None, processors=[log])) as running:
        (line,) = [line for line in log.entries if line["event"] == "webhooks are forwarded"]
        program.public_key = line["public_key"]
        yield running.http_url


async def test_what_telnyx_delivers_reaches_the_program_once_in_order_whatever_happens(tmp_path: Path) -> None:
    program = Program()
    app = web.Application()
    app.router.add_post("/hook", program.handle)
    async with asyncio.timeout(20), TestServer(app) as server, aiohttp.ClientSession() as http:
        target = str(server.make_url("/hook"))

        async def post(url: str, event_id: str, key: SigningKey = TELNYX) -> int:
            body = webhook("call.speak.ended", {"call_control_id": "v3:a"}, id=event_id)
            headers = sign(body, key=key, now=time.time())
            async with http.post(f"{url}/webhooks/telnyx", data=body, headers=headers) as answer:
                return answer.status

        async with gateway(tmp_path, target, program) as url:
            began = time.monotonic()
            assert [await post(url, event_id) for event_id in ("1", "2", "2", "3")] == [200] * 4
            assert await post(url, "forged", SigningKey(b"x" * 32)) == 403
            assert time.monotonic() - began < 5  # its timeout is ten seconds, and nobody waits for it
            await until(lambda: program.asked)
        first_key = program.public_key
        program.works.set()
        program.taken.clear()  # the attempt that was cut off was read all the same
        async with gateway(tmp_path, target, program) as url:
            assert await post(url, "4") == 200
            await until(lambda: len(program.taken) >= 4)
            await asyncio.sleep(0.05)
            async with http.get(f"{url}/v1/calls", headers={"Authorization": f"Bearer {KEY}"}) as answer:
                counters = (await answer.json())["counters"]
    assert program.taken[-4:] == ["1", "2", "3", "4"]
    assert "forged" not in program.taken
    assert program.public_key == first_key
    assert (counters["forwards_delivered"], counters["forwards_waiting"]) == (4, 0)
