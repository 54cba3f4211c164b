"""The API as others use it: Telnyx's own package with the gateway as its base URL, and `/v1` beside it."""

import asyncio
import inspect
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
import structlog
import telnyx
from aiohttp import web
from aiohttp.test_utils import TestServer
from telnyx import AsyncTelnyx
from telnyx.resources.calls.actions import AsyncActionsResource

from gateway import Gateway, Settings
from gateway.protocol.commands import COMMANDS
from gateway.simulator.background import BackgroundSimulator
from tests.gateway.store.template import database_in
from tests.integration.phone import Phone
from tests.test_control_page import CURL, CURLS

KEY, READ_KEY, TELNYX_KEY = "the-key-of-the-gateway", "a-key-that-only-reads", "KEY-of-the-account"
CONNECTION, OURS, AT_ONCE, FORBIDDEN = "1684641123236054244", "+15550100002", "+15550100200", "+15550100403"
STATE = "c3RhdGU="
OTHER_NAMES = {("bridge", "call_control_id"): "call_control_id_to_bridge_with", ("transfer", "from"): "from_"}
TRICKS = [
    "/phone_numbers/%2e%2e/x",
    "/phone_numbers/%252e%252e/x",
    "/phone_numbers//x",
    "/phone_numbers/..%5Cx",
    "/a%00b",
    "/a%0d%0aHost:%20b",
]


@asynccontextmanager
async def running(folder: Path, *, timeout: float = 30.0, **fields: Any) -> AsyncIterator[Gateway]:
    """A gateway on free ports, whose Telnyx is somewhere else."""
    database_in(folder)
    usual: dict[str, Any] = {
        "data_dir": folder,
        "media_listen": "127.0.0.1:0",
        "http_listen": "127.0.0.1:0",
        "api_key": KEY,
        "api_keys": f"read:{READ_KEY}",
        "telnyx_api_key": TELNYX_KEY,
    }
    async with asyncio.timeout(timeout), Gateway(Settings(**usual | fields), log=structlog.get_logger()) as gateway:
        yield gateway


def sdk(gateway: Gateway, key: str = KEY) -> AsyncTelnyx:
    return AsyncTelnyx(api_key=key, base_url=f"{gateway.http_url}/v2", max_retries=0)


class ValidatingTelnyx:
    """Takes every command that its strict model takes, from whoever shows the account's key; keeps them."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, str, str, dict[str, Any]]] = []

    async def command(self, request: web.Request) -> web.Response:
        action = request.match_info.get("action", "dial")
        if action not in COMMANDS:
            return await self.anything(request)
        assert request.headers["Authorization"] == f"Bearer {TELNYX_KEY}"
        body = await request.json()
        assert COMMANDS[action].model_validate(body).body() == body
        self.commands.append((request.method, request.match_info.get("call", ""), action, body))
        result = {"result": "ok"} if action != "dial" else {"call_control_id": "v3:new", "record_type": "call"}
        return web.json_response({"data": result})

    async def anything(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "method": request.method,
                "path": request.raw_path,
                "key": request.headers["Authorization"],
                "body": (await request.read()).decode(),
            },
            status=418,
        )

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_post("/v2/calls", self.command)
        for method in ("POST", "PUT"):
            app.router.add_route(method, "/v2/calls/{call}/actions/{action}", self.command)
        app.router.add_route("*", "/v2/{rest:.*}", self.anything)
        async with TestServer(app) as server:
            yield str(server.make_url("/v2"))


def sdk_methods() -> dict[str, str]:
    """The methods of Telnyx's package by the actions whose paths stand in their code."""
    methods = {}
    for name, method in inspect.getmembers(AsyncActionsResource, inspect.isfunction):
        if found := re.search(r"actions/(\w+)", inspect.getsource(method)):
            methods[found[1]] = name
    return methods


def body_on_the_page(action: str) -> dict[str, Any]:
    """The example of a command in docs/control.md."""
    line = CURL.match(CURLS[action])
    assert line is not None
    body: dict[str, Any] = json.loads(line[3].replace("'$OTHER'", "v3:other"))
    return body


async def test_telnyxs_package_gives_every_command_through_the_gateway(tmp_path: Path) -> None:
    fake, methods = ValidatingTelnyx(), sdk_methods()
    shared = sorted(COMMANDS.keys() & methods.keys())
    assert len(shared) == len(COMMANDS) - 1, "all but dial, which is a method of `calls`"
    async with fake.listening() as url, running(tmp_path, telnyx_base_url=url) as gateway, sdk(gateway) as client:
        for action in shared:
            body = body_on_the_page(action)
            given = {OTHER_NAMES.get((action, name), name): value for name, value in body.items()}
            answer = await getattr(client.calls.actions, methods[action])("v3:a/b", **given)
            assert answer.data.result == "ok"
            method, call, its_action, sent = fake.commands.pop()
            assert (method, call, its_action) == (COMMANDS[action].method, "v3:a/b", action)
            assert {name: sent[name] for name in body} == body
            assert ("command_id" in sent) is COMMANDS[action].takes_command_id()
        dialled = await client.calls.dial(connection_id=CONNECTION, from_=OURS, to=AT_ONCE)
        assert dialled.data is not None
        assert dialled.data.call_control_id == "v3:new"


async def test_a_repetition_by_telnyxs_package_has_the_id_of_the_first_attempt(tmp_path: Path) -> None:
    fake = ValidatingTelnyx()
    async with fake.listening() as url, running(tmp_path, telnyx_base_url=url) as gateway, httpx.AsyncClient() as http:
        action = f"{gateway.http_url}/v2/calls/v3:a/actions/speak"
        body = {"payload": "Hello", "voice": "female"}
        for count in ("0", "1", "0", None):
            headers = {"Authorization": f"Bearer {KEY}"} | ({} if count is None else {"x-stainless-retry-count": count})
            assert (await http.post(action, json=body, headers=headers)).status_code == 200
        first, again, another, without = (command[3]["command_id"] for command in fake.commands)
        assert first == again
        assert len({first, another, without}) == 3


async def test_what_the_gateway_does_not_know_goes_to_telnyx_as_it_is(tmp_path: Path) -> None:
    fake = ValidatingTelnyx()
    async with fake.listening() as url, running(tmp_path, telnyx_base_url=url) as gateway, httpx.AsyncClient() as http:
        http.headers["Authorization"] = f"Bearer {KEY}"
        for method, target, body in (
            ("GET", "/phone_numbers?page[size]=2&x=%2F", b""),
            ("DELETE", "/messaging_profiles/1", b""),
            ("PATCH", "/call_control_applications/1", b'{"any": 1}'),
            ("POST", "/calls/v3:a/actions/younger_than_this", b'{"any": [1]}'),
        ):
            answer = await http.request(method, f"{gateway.http_url}/v2{target}", content=body)
            assert answer.status_code == 418
            came = answer.json()
            assert (came["method"], came["body"].encode()) == (method, body)
            assert came["path"].replace("%5B", "[").replace("%5D", "]") == f"/v2{target}"
            assert came["key"] == "Bearer ***", "it had the account's key, which nobody may read"


async def test_a_path_that_could_lead_elsewhere_stays_here_or_is_escaped(tmp_path: Path) -> None:
    async def post(path: str) -> int:
        reader, writer = await asyncio.open_connection(*gateway.http_url.removeprefix("http://").split(":"))
        head = f"POST /v2{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 0\r\n\r\n"
        writer.write(head.encode())
        status = int((await reader.readline()).split()[1])
        writer.close()
        await writer.wait_closed()
        return status

    fake = ValidatingTelnyx()
    async with fake.listening() as url, running(tmp_path, telnyx_base_url=url) as gateway:
        assert {path: await post(path) for path in TRICKS} == dict.fromkeys(TRICKS, 404)
        assert fake.commands == []
        assert await post("/calls/%2e%2e%2fphone_numbers/actions/hangup") == 200
        assert [command[1:3] for command in fake.commands] == [("../phone_numbers", "hangup")], "one segment still"


async def test_a_huge_body_a_wrong_one_and_one_that_is_no_json_are_refused(tmp_path: Path) -> None:
    fake = ValidatingTelnyx()
    async with fake.listening() as url, running(tmp_path, telnyx_base_url=url) as gateway, httpx.AsyncClient() as http:
        http.headers["Authorization"] = f"Bearer {KEY}"
        action = f"{gateway.http_url}/v2/calls/v3:a/actions/speak"

        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(80):
                yield b" " * 65_536

        as_json = {"Content-Type": "application/json"}
        for content, headers, status, code in (
            (b" " * (4 * 2**20 + 1), as_json, 413, "10033"),
            (pieces(), as_json, 413, "10033"),
            (b"[" * 100_000, as_json, 422, "10023"),
            (b"[]", as_json, 422, "10026"),
            (b"\xff", as_json, 422, "10023"),
            (b"{}", as_json, 422, "10004"),
            (b"payload=x", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "10029"),
        ):
            answer = await http.post(action, content=content, headers=headers)
            assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, code)
        wrong = await http.put(action, json={})
        assert (wrong.status_code, wrong.headers["Allow"]) == (405, "POST")
    assert fake.commands == []


async def test_the_token_of_a_dialled_call_is_good_for_no_other(tmp_path: Path) -> None:
    fake = ValidatingTelnyx()
    async with fake.listening() as url, running(tmp_path, telnyx_base_url=url) as gateway, sdk(gateway) as client:
        await client.calls.dial(connection_id=CONNECTION, from_=OURS, to=AT_ONCE, stream_track="inbound_track")
        ((_, _, _, sent),) = fake.commands
        assert (sent["stream_url"], sent["stream_track"]) == (gateway.media_url, "inbound_track")
        where = f"{gateway.media_url}/{sent['stream_auth_token']}"
        async with Phone(where, "other") as stranger:
            await stranger.begin()
            code, _ = await stranger.closed
            assert code == 1008
        async with Phone(where, "new") as phone:  # `v3:new`, as the fake has named the call
            await phone.begin()
            await phone.hang_up()
            assert (await phone.closed)[0] == 1000


async def test_without_an_answer_of_telnyx_the_error_says_so_in_telnyxs_shape(tmp_path: Path) -> None:
    async with running(tmp_path, telnyx_base_url="http://127.0.0.1:9/v2") as gateway, sdk(gateway) as client:
        with pytest.raises(telnyx.InternalServerError) as caught:
            await client.calls.retrieve_status("v3:a")
        body: Any = caught.value.body
        assert (caught.value.status_code, body["errors"][0]["code"]) == (502, "10007")


async def test_a_call_through_telnyxs_package_is_streamed_followed_and_recorded(
    tmp_path: Path, telnyx_simulator: BackgroundSimulator
) -> None:
    account: dict[str, Any] = {
        "telnyx_base_url": telnyx_simulator.rest_url,
        "telnyx_public_key": telnyx_simulator.public_key,
        "agent": "echo",
    }
    async with running(tmp_path, **account) as gateway, sdk(gateway) as client, aiohttp.ClientSession() as session:
        session.headers["Authorization"] = f"Bearer {READ_KEY}"
        dialled = await client.calls.dial(
            connection_id=CONNECTION,
            from_=OURS,
            to=AT_ONCE,
            client_state=STATE,
            stream_track="inbound_track",
            webhook_url=f"{gateway.http_url}/webhooks/telnyx",
        )
        assert dialled.data is not None
        call = dialled.data.call_control_id
        events = f"{gateway.http_url}/v1/calls/{call}/events"
        async with session.get(events) as stream:
            assert stream.content_type == "text/event-stream"
            seen = await until(stream, "call.state", state="streaming")
            status = await client.calls.retrieve_status(call)
            assert status.data is not None
            assert (status.data.is_alive, status.data.client_state) == (True, STATE)
            with pytest.raises(telnyx.UnprocessableEntityError, match="90045"):
                await client.calls.actions.start_streaming(call)
            await client.calls.actions.update_client_state(call, client_state="b3RoZXI=")
            with pytest.raises(telnyx.InternalServerError, match="10007"):
                await client.calls.actions.enqueue(call, queue_name="support")
            await client.calls.actions.hangup(call)
            seen += await until(stream, "call.state", state="stored")
        with pytest.raises(telnyx.UnprocessableEntityError, match="90018"):
            await client.calls.actions.hangup(call)
        with pytest.raises(telnyx.NotFoundError, match="10005"):
            await client.calls.actions.hangup("v3:nobody")
        with pytest.raises(telnyx.PermissionDeniedError, match="10010"):
            await client.calls.dial(connection_id=CONNECTION, from_=OURS, to=FORBIDDEN)
        async with sdk(gateway, "a-key-of-nobody-here") as stranger:
            with pytest.raises(telnyx.AuthenticationError, match="10009"):
                await stranger.calls.retrieve_status(call)
        async with sdk(gateway, READ_KEY) as reader:
            with pytest.raises(telnyx.PermissionDeniedError, match="scope control"):
                await reader.calls.actions.hangup(call)
        names = [event["event_type"] for event in seen]
        assert {"call.initiated", "call.answered", "call.hangup"} <= set(names)
        assert [event["id"] for event in seen] == sorted({event["id"] for event in seen})

        # Who comes back goes on behind the event that was read last.
        async with session.get(events, headers={"Last-Event-ID": str(seen[-2]["id"])}) as stream:
            assert (await read_event(stream))["id"] == seen[-1]["id"]
        async with session.get(f"{gateway.http_url}/v1/recordings", params={"call_control_id": call}) as answer:
            (recording,) = (await answer.json())["recordings"]
        where = f"{gateway.http_url}/v1/recordings/{recording['id']}"
        async with session.get(where, headers={"Range": "bytes=0-3"}) as answer:
            assert (answer.status, await answer.read()) == (206, b"RIFF")
            assert answer.headers["Content-Range"] == f"bytes 0-3/{recording['bytes']}"
        async with session.get(f"{where}/sidecar") as answer:
            assert (await answer.json())["call_control_id"] == call


async def read_event(stream: aiohttp.ClientResponse) -> dict[str, Any]:
    """The next event of a stream."""
    async for line in stream.content:
        if line.startswith(b"data: "):
            event: dict[str, Any] = json.loads(line.removeprefix(b"data: "))
            return event
    raise AssertionError("the stream has ended")


async def until(stream: aiohttp.ClientResponse, event_type: str, **data: Any) -> list[dict[str, Any]]:
    """The events of a stream up to one with this data."""
    seen = []
    while True:
        seen.append(await read_event(stream))
        if seen[-1]["event_type"] == event_type and data.items() <= seen[-1]["data"].items():
            return seen
