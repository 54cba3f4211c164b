import asyncio
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from gateway.config import Address
from gateway.control.app import listen
from tests.gateway.cluster.sides import call_of, running
from tests.gateway.control.conftest import Log
from tests.gateway.control.conftest import log as log


def app_of(name: str) -> web.Application:
    async def who(_: web.Request) -> web.Response:
        return web.Response(text=name)

    app = web.Application()
    app.router.add_get("/", who)
    return app


async def test_workers_listen_at_one_port_and_each_gets_some_connections() -> None:
    anywhere = Address("127.0.0.1", 0)
    async with asyncio.timeout(10), listen(app_of("one"), anywhere, share=True) as address:
        async with listen(app_of("two"), address, share=True) as second:
            assert second == address
            seen: set[str] = set()
            while seen != {"one", "two"}:
                async with aiohttp.ClientSession() as session, session.get(f"http://{address}/") as answer:
                    seen.add(await answer.text())
        with pytest.raises(OSError, match="in use"):
            await listen(app_of("three"), address).__aenter__()


async def test_what_went_to_other_workers_is_counted(tmp_path: Path, log: Log) -> None:
    call = call_of(1)
    async with running(tmp_path, log) as sides:
        assert await sides[0].post("call.initiated", call, "one", direction="incoming") == 200
        assert (await sides[0].ask("GET", f"/v1/calls/{call}"))[0] == 200
        _, page = await sides[1].ask("GET", "/v1/calls")
        counted = {name: page["counters"][name] for name in ("webhooks_passed", "requests_passed", "calls_moved")}
        assert counted == {"webhooks_passed": 1, "requests_passed": 1, "calls_moved": 0}
