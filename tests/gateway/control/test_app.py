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
from gateway.control.app import listen, make_app, make_webhook_app
from gateway.control.decider import Decider
from gateway.control.dispatcher import EventDispatcher
from gateway.control.inbox import Inbox
from gateway.control.policy import CallPolicy
from gateway.control.scopes import ApiKeys, Scope
from gateway.control.sse import EventStreams
from gateway.control.v1_calls import CallsApi
from gateway.control.v2_api import V2Api
from gateway.control.webhooks import MAX_WEBHOOK_BYTES, WebhookReceiver
from gateway.directory import CallDirectory
from gateway.feed import CallFeed
from gateway.lifecycle import HungUp, Initiated
from gateway.protocol.commands import StreamingStart
from gateway.protocol.signature import sign
from gateway.store.records import CommandRecord
from gateway.store.store import Store, open_store
from tests.gateway.control.conftest import Log, settle, webhook
from tests.gateway.store.template import database_in

API_KEY = "the-key-of-the-gateway"
READ_KEY, CONTROL_KEY = "a-key-that-only-reads", "a-key-that-acts-on-calls"
AUTHORIZED = {"Authorization": f"Bearer {API_KEY}"}
TELNYX_KEY = SigningKey(bytes(range(32)))
NOW = 1_763_640_000.0
Client = TestClient[web.Request, web.Application]


class World:
    """The application's parts that a test wants to turn."""

    def __init__(self, store: Store, log: Log) -> None:
        self.ready = True
        self.store = store
        self.now = NOW
        self.directory = CallDirectory(clock=lambda: self.now)
        policy = CallPolicy(
            None,
            self.directory,
            decider=Decider(log=log.logger),
            stream=lambda _: StreamingStart(),
            log=log.logger,
        )
        self.dispatcher = EventDispatcher(policy.handle, log=log.logger)
        self.webhooks = WebhookReceiver(
            Inbox(store, self.dispatcher, log=log.logger),
            keys=[TELNYX_KEY.verify_key],
            log=log.logger,
            clock=lambda: NOW,
        )
        self.counters: Callable[[], Mapping[str, Any]] = self.webhooks.counters
        self.feed = CallFeed(clock=lambda: NOW)
        self.streams = EventStreams(self.feed)
        calls = CallsApi(self.directory, store, self.streams, lambda: self.counters())
        self.app = make_app(
            webhooks=self.webhooks,
            v1=calls.routes(),
            v2=V2Api(None, self.directory, offers=None, bind=None),
            keys=ApiKeys([(Scope.ADMIN, API_KEY), (Scope.CONTROL, CONTROL_KEY), (Scope.READ, READ_KEY)]),
            ready=lambda: self.ready,
            log=log.logger,
        )
        self.app.on_shutdown.append(self.streams.close)


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
        "next_cursor": None,
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


async def page(client: Client, query: str) -> tuple[list[str], str | None]:
    """The ids of the calls on a page, and where it goes on."""
    async with client.get(f"/v1/calls{query}", headers=AUTHORIZED) as response:
        assert response.status == 200
        answer = await response.json()
        return [call["call_control_id"] for call in answer["calls"]], answer["next_cursor"]


async def all_pages(client: Client, query: str) -> list[str]:
    """The ids of all calls, page by page."""
    ids, cursor = await page(client, query)
    while cursor is not None:
        more, cursor = await page(client, f"{query}&cursor={cursor}")
        ids += more
    return ids


async def test_calls_come_newest_first_and_page_by_page(client: Client, world: World) -> None:
    for number in range(150):
        world.now = NOW + number // 3  # so that several begin in the same moment
        world.directory.tell(f"v3:{number:03}", Initiated())
    newest = [f"v3:{number:03}" for number in range(149, -1, -1)]
    assert (await page(client, ""))[0] == newest[:100]
    assert (await page(client, "?limit=2"))[0] == newest[:2]
    assert await page(client, "?limit=150") == (newest, None)
    assert await all_pages(client, "?limit=7") == newest


async def test_pages_hold_what_only_memory_and_what_only_the_store_knows(client: Client, world: World) -> None:
    for number in range(20):
        past = CallDirectory(clock=lambda at=NOW + number: at)  # type: ignore[misc]
        record = past.tell(f"v3:{number:03}", Initiated(), HungUp())
        if number % 2:
            world.store.save_call(record.call_control_id, lambda r=record: ("ended", r.started_at, r.freeze()))  # type: ignore[misc]
        if number % 4 != 1:
            world.now = NOW + number
            world.directory.tell(record.call_control_id, Initiated(), *([HungUp()] if number % 2 else []))
    await world.store.flush()
    newest = [f"v3:{number:03}" for number in range(19, -1, -1)]
    assert await all_pages(client, "?limit=3") == newest
    assert await all_pages(client, "?limit=3&live=false") == newest[0::2]
    assert set(await all_pages(client, "?limit=3&live=true")) == set(newest[1::2])


async def test_calls_that_come_while_pages_are_read_shift_nothing(client: Client, world: World) -> None:
    for number in range(4):
        world.now = NOW + number
        world.directory.tell(f"v3:{number}", Initiated())
    ids, cursor = await page(client, "?limit=2")
    world.now = NOW + 9
    world.directory.tell("v3:9", Initiated())
    world.directory.tell("v3:3", HungUp())
    more, _ = await page(client, f"?limit=2&cursor={cursor}")
    assert ids + more == ["v3:3", "v3:2", "v3:1", "v3:0"]


async def test_a_record_that_cannot_be_read_is_shown_as_such_and_hides_no_other(client: Client, world: World) -> None:
    world.store.save_call("v3:broken", lambda: ("ended", NOW, b"{"))
    world.directory.tell("v3:a", Initiated())
    await world.store.flush()
    async with client.get("/v1/calls", headers=AUTHORIZED) as response:
        calls = (await response.json())["calls"]
    assert [call["call_control_id"] for call in calls] == ["v3:broken", "v3:a"]
    assert "cannot be read" in calls[0]["problems"][0]


CURSORS = ["", "x", "bm9uc2Vuc2U", "W10", "WzEsMl0", "W05hTiwiYSJd", "WzFlOTk5LCJhIl0", "\u0661", "A" * 5000]


@pytest.mark.parametrize("query", [{"cursor": cursor} for cursor in CURSORS] + [{"live": "maybe"}, {"live": ""}])
async def test_a_query_that_is_wrong_is_refused(client: Client, query: dict[str, str]) -> None:
    async with client.get("/v1/calls", params=query, headers=AUTHORIZED) as response:
        assert response.status == 400
        assert next(iter(query)) in (await problem_of(response))["detail"]


@pytest.mark.parametrize(
    ("key", "method", "path", "status"),
    [
        (READ_KEY, "GET", "/v1/calls", 200),
        (READ_KEY, "GET", "/v1/calls/v3:a", 200),
        (READ_KEY, "POST", "/v1/calls", 403),
        (CONTROL_KEY, "POST", "/v1/calls", 405),
        (READ_KEY, "GET", "/v2/calls/v3:a", 503),
        (READ_KEY, "POST", "/v2/calls", 403),
        (READ_KEY, "PUT", "/v2/calls/v3:a/actions/client_state_update", 403),
        (READ_KEY, "GET", "/v2/phone_numbers", 403),
        (CONTROL_KEY, "POST", "/v2/calls/v3:a/actions/hangup", 503),
        (CONTROL_KEY, "POST", "/v2/calls/v3:a/actions/unheard_of", 503),
        (CONTROL_KEY, "GET", "/v2/phone_numbers", 403),
        (CONTROL_KEY, "DELETE", "/v2/calls/v3:a", 403),
        (API_KEY, "GET", "/v2/phone_numbers", 503),
    ],
)
async def test_a_key_may_do_what_its_scope_says(
    client: Client, world: World, key: str, method: str, path: str, status: int
) -> None:
    world.directory.tell("v3:a", Initiated())
    async with client.request(method, path, headers={"Authorization": f"Bearer {key}"}) as response:
        assert response.status == status
        answer = json.loads(await response.text())
    if status == 403:
        detail = answer["errors"][0]["detail"] if path.startswith("/v2") else answer["detail"]
        assert "want a key of scope" in detail
        assert key not in detail


async def test_webhooks_may_have_an_address_of_their_own_with_nothing_else_on_it(client: Client, world: World) -> None:
    body = webhook("call.initiated", {"call_control_id": "v3:a"})
    app = make_webhook_app(world.webhooks, ready=lambda: True)
    async with TestClient[web.Request, web.Application](TestServer(app)) as outside:
        async with outside.post("/webhooks/telnyx", data=body, headers=sign(body, key=TELNYX_KEY, now=NOW)) as response:
            assert response.status == 200
        for path, status in (("/healthz", 200), ("/readyz", 200), ("/v1/calls", 404), ("/v2/calls", 404), ("/", 404)):
            async with outside.get(path, headers=AUTHORIZED) as response:
                assert response.status == status
    await settle(world.dispatcher)


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


async def test_what_was_said_in_a_call_is_shown(client: Client, world: World) -> None:
    world.directory.tell("v3:a", Initiated())
    said = {"text": "hello", "start": 1.0, "end": 1.5, "final": True, "track": "inbound"}
    world.store.save_segment("v3:a", said)
    async with client.get("/v1/calls/v3:a/transcript", headers=AUTHORIZED) as response:
        assert await response.json() == {"segments": [said]}
    async with client.get("/v1/calls/v3:b/transcript", headers=AUTHORIZED) as response:
        assert response.status == 404


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


@pytest.mark.parametrize("call", ["..%2f..%2fmetrics", "%2e%2e%2f", "v3:a%00", "v3:a%0d%0aX:%20y", "%ff", "a" * 513])
@pytest.mark.parametrize("rest", ["", "/events"])
async def test_an_id_that_is_a_trick_leads_nowhere(client: Client, call: str, rest: str) -> None:
    async with client.get(URL(f"/v1/calls/{call}{rest}", encoded=True), headers=AUTHORIZED) as response:
        assert response.status == 404
        await problem_of(response)


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
