import io
import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from nacl.signing import SigningKey
from yarl import URL

from gateway.config import Address
from gateway.control.app import listen, make_app
from gateway.control.dispatcher import EventDispatcher
from gateway.control.inbox import Inbox
from gateway.control.policy import AnswerAndStream
from gateway.control.webhooks import MAX_WEBHOOK_BYTES, WebhookReceiver
from gateway.directory import CallDirectory
from gateway.lifecycle import HungUp, Initiated
from gateway.protocol.commands import StreamingStart
from gateway.protocol.signature import sign
from gateway.store.records import CommandRecord
from gateway.store.store import Store, open_store
from tests.gateway.control.conftest import Log, settle, webhook
from tests.gateway.store.template import database_in

API_KEY = "the-key-of-the-gateway"
AUTHORIZED = {"Authorization": f"Bearer {API_KEY}"}
TELNYX_KEY = SigningKey(bytes(range(32)))
NOW = 1_763_640_000.0
Client = TestClient[web.Request, web.Application]


class World:
    """The application's parts that a test wants to turn."""

    def __init__(self, store: Store, log: Log) -> None:
        self.ready = True
        self.store = store
        self.directory = CallDirectory(clock=lambda: NOW)
        policy = AnswerAndStream(None, self.directory, stream=lambda _: StreamingStart(), log=log.logger)
        self.dispatcher = EventDispatcher(policy.handle, log=log.logger)
        self.webhooks = WebhookReceiver(
            Inbox(store, self.dispatcher, log=log.logger),
            keys=[TELNYX_KEY.verify_key],
            log=log.logger,
            clock=lambda: NOW,
        )
        self.counters: Callable[[], Mapping[str, Any]] = self.webhooks.counters
        self.app = make_app(
            webhooks=self.webhooks,
            directory=self.directory,
            store=store,
            api_key=API_KEY,
            ready=lambda: self.ready,
            counters=lambda: self.counters(),
            log=log.logger,
        )


@pytest_asyncio.fixture
async def world(tmp_path: Path, log: Log) -> AsyncIterator[World]:
    async with open_store(database_in(tmp_path), log=log.logger, clock=lambda: NOW) as store:
        yield World(store, log)


@pytest_asyncio.fixture
async def client(world: World) -> AsyncIterator[Client]:
    async with world.dispatcher, TestClient(TestServer(world.app)) as client:
        yield client


async def problem_of(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """The problem details of an answer, checked for what RFC 9457 asks."""
    assert response.content_type == "application/problem+json"
    problem: dict[str, Any] = json.loads(await response.text())
    assert set(problem) == {"type", "title", "status", "detail"}
    assert problem["status"] == response.status
    return problem


async def test_a_signed_webhook_shows_up_as_a_call(client: Client, world: World) -> None:
    body = webhook("call.initiated", {"call_control_id": "v3:a/b", "direction": "incoming"})
    async with client.post("/webhooks/telnyx", data=body, headers=sign(body, key=TELNYX_KEY, now=NOW)) as response:
        assert response.status == 200
    await settle(world.dispatcher)
    async with client.get("/v1/calls", headers=AUTHORIZED) as response:
        answer = await response.json()
    assert answer == {
        "calls": [
            {
                "call_control_id": "v3:a/b",
                "state": "ringing",
                "direction": "incoming",
                "from": None,
                "to": None,
                "reached": {"ringing": NOW},
                "hangup_cause": None,
                "problems": [],
                "media": None,
            }
        ],
        "counters": world.webhooks.counters(),
    }
    assert answer["counters"]["webhooks_verified"] == 1
    for path in ("/v1/calls/v3%3Aa%2Fb", "/v1/calls/v3:a%2Fb"):
        async with client.get(URL(path, encoded=True), headers=AUTHORIZED) as response:
            assert await response.json() == {**answer["calls"][0], "commands": []}


async def test_an_unsigned_webhook_gets_problem_details_and_no_call(client: Client, world: World, log: Log) -> None:
    async with client.post("/webhooks/telnyx", data=webhook("call.initiated", {"call_control_id": "v3:a"})) as response:
        assert response.status == 403
        assert (await problem_of(response))["detail"] == "no telnyx-signature-ed25519 header"
    assert list(world.directory) == []
    assert [line["reason"] for line in log.lines] == ["missing"]


async def test_a_webhook_may_have_a_mebibyte(client: Client, world: World) -> None:
    body = webhook("call.cost").ljust(MAX_WEBHOOK_BYTES)
    for extra, status in ((b"", 200), (b" ", 413)):
        headers = sign(body + extra, key=TELNYX_KEY, now=NOW)
        async with client.post("/webhooks/telnyx", data=io.BytesIO(body + extra), headers=headers) as response:
            assert response.status == status
    assert world.webhooks.counters()["webhooks_refused"]["too_large"] == 1


async def test_health_and_readiness_need_no_key(client: Client, world: World) -> None:
    async with client.get("/healthz") as response:
        assert (response.status, await response.json()) == (200, {"status": "ok"})
    async with client.get("/readyz") as response:
        assert (response.status, await response.json()) == (200, {"status": "ready"})
    world.ready = False
    async with client.get("/readyz") as response:
        assert response.status == 503
        await problem_of(response)
    async with client.get("/healthz") as response:
        assert response.status == 200


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Basic {API_KEY}",
        API_KEY,
        f"Bearer {API_KEY}x",
        f"Bearer {API_KEY[:-1]}",
        "Bearer \u00fc",
    ],
)
@pytest.mark.parametrize("path", ["/v1/calls", "/v1/calls/v3:a", "/v1/nothing"])
async def test_without_the_key_v1_shows_nothing(client: Client, authorization: str | None, path: str) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    async with client.get(path, headers=headers) as response:
        assert response.status == 401
        assert response.headers["WWW-Authenticate"].startswith("Bearer ")
        assert API_KEY not in (await problem_of(response))["detail"]


async def test_the_scheme_may_be_in_any_case(client: Client) -> None:
    async with client.get("/v1/calls", headers={"Authorization": f"bearer {API_KEY}"}) as response:
        assert response.status == 200


async def test_calls_come_newest_first_running_before_ended_and_up_to_the_limit(client: Client, world: World) -> None:
    for number in range(150):
        world.directory.tell(f"v3:{number}", Initiated())
    world.directory.tell("v3:149", HungUp())

    async def ids(query: str) -> list[str]:
        async with client.get(f"/v1/calls{query}", headers=AUTHORIZED) as response:
            return [call["call_control_id"] for call in (await response.json())["calls"]]

    newest = [f"v3:{number}" for number in range(148, -1, -1)]
    assert await ids("") == newest[:100]
    assert await ids("?limit=2") == newest[:2]
    assert await ids("?limit=1000") == [*newest, "v3:149"]


async def test_a_call_is_shown_with_its_commands(client: Client, world: World) -> None:
    world.directory.tell("v3:a", Initiated())
    world.store.save_command(CommandRecord("id-1", "v3:a", "answer", NOW, 0.2, 2, 200, ""))
    async with client.get("/v1/calls/v3:a", headers=AUTHORIZED) as response:
        answer = await response.json()
    assert answer["commands"] == [
        {
            "command_id": "id-1",
            "action": "answer",
            "sent_at": NOW,
            "seconds": 0.2,
            "attempts": 2,
            "status": 200,
            "code": "",
        }
    ]


async def test_a_call_that_only_the_store_knows_is_shown(client: Client, world: World) -> None:
    past = CallDirectory(clock=lambda: NOW).tell("v3:past", Initiated("outgoing"), HungUp("timeout"))
    world.store.save_call("v3:past", lambda: ("ended", NOW, past.freeze()))
    await world.store.flush()
    async with client.get("/v1/calls/v3:past", headers=AUTHORIZED) as response:
        assert await response.json() == {**past.describe(), "commands": []}


async def test_a_store_that_cannot_be_read_is_told(client: Client, world: World) -> None:
    async with world.store._engine.begin() as connection:
        await connection.exec_driver_sql("DROP TABLE commands")
    world.directory.tell("v3:a", Initiated())
    async with client.get("/v1/calls/v3:a", headers=AUTHORIZED) as response:
        assert response.status == 503
        assert "no such table" in (await problem_of(response))["detail"]
    async with client.get("/v1/calls", headers=AUTHORIZED) as response:
        assert response.status == 200


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "ten", "", "1e3", "\u0661", "9" * 5000])
async def test_a_wrong_limit_is_refused(client: Client, limit: str) -> None:
    async with client.get("/v1/calls", params={"limit": limit}, headers=AUTHORIZED) as response:
        assert response.status == 400
        assert "want 1 to 1000" in (await problem_of(response))["detail"]


@pytest.mark.parametrize("path", ["/v1/calls/v3:unknown", "/v1/calls/v3:a%2F..", "/v1/nothing", "/v1", "/", "/nothing"])
async def test_what_is_not_there_is_told_in_problem_details(client: Client, path: str) -> None:
    async with client.get(path, headers=AUTHORIZED) as response:
        assert response.status == 404
        assert (await problem_of(response))["title"] == "Not Found"


async def test_a_wrong_method_tells_the_right_ones(client: Client) -> None:
    async with client.get("/webhooks/telnyx") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "POST"
        await problem_of(response)


async def test_a_handler_that_fails_is_logged_and_shows_nothing(client: Client, world: World, log: Log) -> None:
    def fail() -> Mapping[str, Any]:
        raise ZeroDivisionError("a secret")

    world.counters = fail
    async with client.get("/v1/calls", headers=AUTHORIZED) as response:
        assert response.status == 500
        assert "secret" not in str(await problem_of(response))
    (line,) = log.lines
    assert (line["event"], line["method"], line["route"]) == ("request failed", "GET", "/v1/calls")


async def test_listening_tells_the_port_and_ends_with_the_context(world: World) -> None:
    async with world.dispatcher, aiohttp.ClientSession() as session:
        async with listen(world.app, Address("127.0.0.1", 0)) as address:
            assert address.port != 0
            async with session.get(f"http://{address}/healthz") as response:
                assert response.status == 200
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(f"http://{address}/healthz")
