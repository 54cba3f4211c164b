import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any

import aiohttp
import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.config import Address, Settings
from gateway.doctor.account import check_account, check_public_key
from gateway.doctor.finding import Finding
from gateway.simulator import Simulator


async def ask(url: str, key: str | None = "KEY", clock: Any = time.time) -> tuple[Finding, Finding]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        settings = Settings(telnyx_base_url=url, telnyx_api_key=key)
        api_key, clock_ = await check_account(settings, session, clock=clock)
    return api_key, clock_


@asynccontextmanager
async def telnyx(status: int, date: str | None = None) -> AsyncIterator[str]:
    async def balance(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer KEY"
        return web.json_response({}, status=status, headers={"Date": date or formatdate(usegmt=True)})

    app = web.Application()
    app.router.add_get("/v2/balance", balance)
    async with TestServer(app) as server:
        yield str(server.make_url("/v2"))


async def test_the_simulator_takes_its_key_and_no_other() -> None:
    log = structlog.wrap_logger(None, processors=[structlog.testing.LogCapture()])
    async with Simulator(Address("127.0.0.1", 0), api_key="KEY", log=log) as simulator:
        api_key, clock = await ask(simulator.rest_url)
        assert (api_key.health, clock.health) == ("ok", "ok")
        assert (await ask(simulator.rest_url, "another"))[0].health == "failed"
        wrong_path, _ = await ask(simulator.rest_url.removesuffix("/v2") + "/v2/v3")
        assert (wrong_path.health, wrong_path.remedy) == ("failed", "TELNYX_BASE_URL has to end in /v2")


@pytest.mark.parametrize(
    ("status", "health"), [(200, "ok"), (401, "failed"), (403, "warning"), (404, "failed"), (500, "failed")]
)
async def test_what_telnyx_answers_tells_of_the_key(status: int, health: str) -> None:
    async with telnyx(status) as url:
        api_key, clock = await ask(url)
    assert (api_key.health, clock.health) == (health, "ok")
    assert "KEY" not in f"{api_key}".replace("TELNYX_API_KEY", "")


@pytest.mark.parametrize(
    ("ahead", "health"), [(0.0, "ok"), (60.0, "warning"), (-60.0, "warning"), (400.0, "failed"), (-400.0, "failed")]
)
async def test_a_clock_that_is_wrong(ahead: float, health: str) -> None:
    async with telnyx(200) as url:
        _, clock = await ask(url, clock=lambda: time.time() + ahead)
    assert clock.health == health
    assert health == "ok" or ("ahead of" if ahead > 0 else "behind") in clock.found


async def test_an_answer_without_a_date_tells_nothing_of_the_clock() -> None:
    async with telnyx(200, date="yesterday") as url:
        assert (await ask(url))[1].health == "skipped"


async def test_a_key_that_is_not_set_and_a_telnyx_that_does_not_answer() -> None:
    for url, key in (("http://127.0.0.1:1/v2", "KEY"), ("http://127.0.0.1:1/v2", None)):
        api_key, clock = await ask(url, key)
        assert (api_key.health, clock.health) == ("failed", "skipped")
        assert api_key.remedy


@pytest.mark.parametrize(
    ("key", "health"),
    [(None, "failed"), ("c2hvcnQ=", "failed"), ("GB5W57GZ8ZGVNHQFVuV3RdUVuVq9NFhRsVbO3MTHVyk=", "ok")],
)
def test_the_public_key(key: str | None, health: str) -> None:
    finding = check_public_key(Settings(telnyx_public_key=key))
    assert (finding.health, bool(finding.remedy)) == (health, health == "failed")
