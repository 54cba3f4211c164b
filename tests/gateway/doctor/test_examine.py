"""The doctor beside a gateway that runs, and beside one that does not."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestServer
from rich.console import Console
from typer.testing import CliRunner

from gateway import Gateway, Settings
from gateway.cli import app
from gateway.config import Address, parse_address
from gateway.doctor.examine import examine, show, show_json
from gateway.doctor.finding import Finding
from gateway.simulator import Simulator

KEY = "a key that only the tests have"
LOOPBACK = Address("127.0.0.1", 0)


@asynccontextmanager
async def running(folder: Path, **fields: Any) -> AsyncIterator[Settings]:
    """A gateway and a simulator; gives the settings with the ports that were bound."""
    log = structlog.wrap_logger(None, processors=[structlog.testing.LogCapture()])
    async with asyncio.timeout(20), Simulator(LOOPBACK, log=log) as simulator:
        account = {
            "telnyx_api_key": "KEY",
            "telnyx_public_key": simulator.public_key,
            "telnyx_base_url": simulator.rest_url,
        }
        fields = {"media_listen": LOOPBACK, "http_listen": LOOPBACK, "data_dir": folder, "api_key": KEY} | fields
        settings = Settings(**account, **fields)
        async with Gateway(settings, log=log) as gateway:
            media = gateway.media_url.removeprefix("ws://").removesuffix("/media")
            http = gateway.http_url.removeprefix("http://")
            ports = {"media_listen": parse_address(media), "http_listen": parse_address(http)}
            yield settings.model_copy(update=ports)


async def findings(settings: Settings, **options: Any) -> dict[str, Finding]:
    return {finding.check: finding for finding in await examine(settings, timeout=2.0, **options)}


async def test_beside_a_gateway_that_is_well_all_is_well(tmp_path: Path) -> None:
    async with running(tmp_path) as settings:
        found = await findings(settings, webhook_url=f"http://{settings.http_listen}/webhooks/telnyx")
        assert [check for check, finding in found.items() if finding.health == "failed"] == []
        for check in ("settings", "routes", "public key", "API key", "clock", "gateway", "media URL", "webhook URL"):
            assert found[check].health == "ok", found[check]
        only_here = (await findings(settings))["webhook URL"]
        assert (only_here.health, "--webhook-url" in only_here.remedy) == ("warning", True)
        assert KEY not in show_json(list(found.values()))


async def test_urls_that_lead_elsewhere_are_found_out(tmp_path: Path) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=403)

    async def welcome(request: web.Request) -> web.StreamResponse:
        if request.method == "GET":
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            await socket.close()
            return socket
        return web.Response()

    another = web.Application()
    another.router.add_route("*", "/refuses", refuse)
    another.router.add_route("*", "/welcomes", welcome)
    async with TestServer(another) as server, running(tmp_path) as settings:
        for path, media, webhook in (
            ("/refuses", "it leads to another gateway", "it leads to another gateway"),
            ("/welcomes", "it lets everybody in", "it answers with 200, want 403"),
            ("/nowhere", "it answers with 404, want 403", "it answers with 404, want 403"),
        ):
            http = str(server.make_url(path))
            wrong = settings.model_copy(update={"public_media_url": http.replace("http", "ws", 1)})
            found = await findings(wrong, webhook_url=http)
            assert found["media URL"].found.startswith(media)
            assert found["webhook URL"].found.startswith(webhook)
            assert {found["media URL"].health, found["webhook URL"].health} == {"failed"}
            assert found["media URL"].remedy
            assert found["webhook URL"].remedy
        dead = settings.model_copy(update={"public_media_url": "ws://127.0.0.1:1/media"})
        found = await findings(dead, webhook_url="http://127.0.0.1:1/")
        assert found["media URL"].found.startswith("it cannot be reached")
        assert found["webhook URL"].found.startswith("it does not answer")


async def test_an_address_that_telnyx_cannot_reach_is_found_out(tmp_path: Path) -> None:
    async with running(tmp_path) as settings:
        real = settings.model_copy(update={"telnyx_base_url": "https://telnyx.invalid/v2"})
        found = await findings(real, webhook_url="http://192.168.1.2/webhooks/telnyx")
    for check, host in (("media URL", "127.0.0.1"), ("webhook URL", "192.168.1.2")):
        assert (found[check].health, found[check].found) == ("failed", f"{host} is an address that Telnyx cannot reach")
    assert found["API key"].health == "failed"


async def test_a_media_door_that_stands_open_cannot_be_tried(tmp_path: Path) -> None:
    async with running(tmp_path, media_auth="none") as settings:
        found = await findings(settings)
    assert found["media URL"].health == "skipped"


async def test_without_a_gateway_it_says_so_and_makes_no_key(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, http_listen="127.0.0.1:1", telnyx_base_url="http://127.0.0.1:1/v2")
    found = await findings(settings)
    assert (found["gateway"].health, "telnyx-gateway serve" in found["gateway"].remedy) == ("failed", True)
    assert list(tmp_path.iterdir()) == []
    found = await findings(settings.model_copy(update={"api_key": Settings(api_key=KEY).api_key}))
    assert found["gateway"].found.startswith("nothing of ours answers at http://127.0.0.1:1")
    assert (found["media URL"].health, found["webhook URL"].health) == ("skipped", "skipped")


async def test_a_gateway_of_another_key_is_none_of_ours(tmp_path: Path) -> None:
    async with running(tmp_path) as settings:
        other = settings.model_copy(update={"api_key": Settings(api_key="another key of a test").api_key})
        found = await findings(other)
    assert (found["gateway"].health, "answers with 401" in found["gateway"].found) == ("failed", True)


async def test_rules_that_are_wrong(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, routes=({"too": "+1"},), telnyx_base_url="http://127.0.0.1:1/v2")
    found = (await findings(settings))["routes"]
    assert (found.health, found.found) == ("failed", "GATEWAY_ROUTES: rule 1: too: there is no such key")


def test_the_report_for_people_says_what_to_mend() -> None:
    console = Console(record=True, width=80, file=None, quiet=False, force_terminal=False)
    with console.capture() as captured:
        show([Finding("clock", "failed", "an hour [wrong]", "set it")], console)
    text = captured.get()
    assert "clock" in text
    assert "an hour [wrong]" in text
    assert "-> set it" in text


@pytest.mark.parametrize("arguments", [["doctor"], ["doctor", "--json"]])
def test_the_command_exits_with_1_if_anything_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("GATEWAY_HTTP_LISTEN", "127.0.0.1:1")
    monkeypatch.setenv("TELNYX_BASE_URL", "http://127.0.0.1:1/v2")
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert "TELNYX_API_KEY is not set" in result.output
    if "--json" in arguments:
        assert json.loads(result.output)["healthy"] is False
    monkeypatch.setenv("GATEWAY_MAX_CALLS", "none")
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert "GATEWAY_MAX_CALLS" in result.output
