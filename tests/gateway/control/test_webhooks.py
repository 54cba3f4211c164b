import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from nacl.signing import SigningKey

from gateway.control.dispatcher import EventDispatcher
from gateway.control.inbox import Inbox
from gateway.control.origins import Origins, parse_networks
from gateway.control.webhooks import WebhookReceiver
from gateway.protocol.events import Event
from gateway.protocol.signature import sign
from gateway.store.store import open_store
from tests.gateway.control.conftest import Log, settle, webhook
from tests.gateway.store.template import database_in

KEY = SigningKey(bytes(range(32)))
OTHER_KEY = SigningKey(bytes(32))
NOW = 1_763_640_000.0
MAX_BYTES = 4096
BODY = webhook("call.answered", {"call_control_id": "v3:a", "from": "+15550100001"})


class Gateway:
    """A receiver behind a real server, whose events are kept, or held up while `go` is not set."""

    def __init__(self, folder: Path, log: Log, *, keys: list[SigningKey] | None = None, **options: Any) -> None:
        self.log = log
        self.handled: list[str] = []
        self.go = asyncio.Event()
        self.go.set()
        self.now = NOW
        self.dispatcher = EventDispatcher(self._handle, log=log.logger, max_pending=2)
        self.receiver: WebhookReceiver
        self.client: TestClient[web.Request, web.Application]
        self._folder = folder
        self._keys = [KEY] if keys is None else keys
        self._options = options
        self._stack = AsyncExitStack()

    async def _handle(self, event: Event) -> None:
        await self.go.wait()
        self.handled.append(event.id)

    async def __aenter__(self) -> Self:
        store = await self._stack.enter_async_context(open_store(database_in(self._folder), log=self.log.logger))
        await self._stack.enter_async_context(self.dispatcher)
        self.receiver = WebhookReceiver(
            Inbox(store, self.dispatcher, log=self.log.logger),
            keys=[key.verify_key for key in self._keys],
            log=self.log.logger,
            clock=lambda: self.now,
            **self._options,
        )
        app = web.Application(client_max_size=MAX_BYTES)
        app.router.add_post("/webhooks/telnyx", self.receiver.handle)
        self.client = await self._stack.enter_async_context(TestClient(TestServer(app)))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.go.set()
        await self._stack.aclose()

    async def post(
        self,
        body: bytes = BODY,
        *,
        key: SigningKey = KEY,
        headers: Mapping[str, str | None] | None = None,
        forwarded_for: Sequence[str] = (),
    ) -> int:
        """Deliver a webhook, signed now, and give the status; a header that is None is left out."""
        signed = {**sign(body, key=key, now=self.now), **(headers or {})}
        present = [(name, value) for name, value in signed.items() if value is not None]
        present += [("X-Forwarded-For", value) for value in forwarded_for]
        async with self.client.post("/webhooks/telnyx", data=body, headers=present) as response:
            await response.read()
            return response.status

    async def settle(self) -> None:
        await settle(self.dispatcher)

    @property
    def refused(self) -> dict[str, int]:
        """The reasons that were met, and how often."""
        counters = self.receiver.counters()["webhooks_refused"]
        return {reason: count for reason, count in counters.items() if count}


@pytest_asyncio.fixture
async def gateway(tmp_path: Path, log: Log) -> AsyncIterator[Gateway]:
    async with Gateway(tmp_path, log) as gateway:
        yield gateway


def assert_refused(gateway: Gateway, reason: str, words: str) -> None:
    """One counter up, one clear line in the log, nothing of the body in it, and nothing done."""
    assert gateway.refused == {reason: 1}
    assert gateway.handled == []
    assert gateway.dispatcher.pending == 0
    (line,) = gateway.log.lines
    assert (line["event"], line["reason"], line["log_level"]) == ("webhook refused", reason, "warning")
    assert words in line["error"]
    assert "+1555" not in str(line)


async def test_a_signed_webhook_is_taken_and_handled(gateway: Gateway) -> None:
    assert await gateway.post() == 200
    await gateway.settle()
    assert gateway.handled == ["5a1c7a54"]
    assert gateway.log.lines == []
    assert gateway.receiver.counters() == {
        "webhooks_verified": 1,
        "webhooks_refused": dict.fromkeys(
            (
                *("missing", "malformed", "stale", "wrong"),
                *("origin", "no_key", "too_large", "incomplete", "busy", "store"),
            ),
            0,
        ),
        "webhooks_duplicated": 0,
        "webhooks_recovered": 0,
        "webhooks_unkept": 0,
        "webhooks_unreadable": 0,
    }


async def test_the_answer_does_not_wait_for_what_follows(gateway: Gateway) -> None:
    gateway.go.clear()
    assert await gateway.post() == 200
    assert gateway.handled == []
    gateway.go.set()
    await gateway.settle()
    assert gateway.handled == ["5a1c7a54"]


async def test_a_webhook_delivered_again_is_answered_and_dropped(gateway: Gateway) -> None:
    assert await gateway.post() == 200
    gateway.now += 100  # a later delivery is signed anew
    assert await gateway.post() == 200
    await gateway.settle()
    assert gateway.handled == ["5a1c7a54"]
    counters = gateway.receiver.counters()
    assert (counters["webhooks_verified"], counters["webhooks_duplicated"]) == (2, 1)


async def test_two_deliveries_at_once_are_one_event(gateway: Gateway) -> None:
    assert await asyncio.gather(*(gateway.post() for _ in range(10))) == [200] * 10
    await gateway.settle()
    assert gateway.handled == ["5a1c7a54"]


async def test_a_webhook_without_a_signature_changes_nothing(gateway: Gateway) -> None:
    assert await gateway.post(headers={"telnyx-signature-ed25519": None}) == 403
    assert_refused(gateway, "missing", "no telnyx-signature-ed25519 header")


async def test_a_webhook_without_a_timestamp_changes_nothing(gateway: Gateway) -> None:
    assert await gateway.post(headers={"telnyx-timestamp": None}) == 403
    assert_refused(gateway, "missing", "no telnyx-timestamp header")


async def test_a_webhook_signed_by_another_key_changes_nothing(gateway: Gateway) -> None:
    assert await gateway.post(key=OTHER_KEY) == 403
    assert_refused(gateway, "wrong", "signature matches none of 1 keys")


async def test_the_signature_of_another_body_changes_nothing(gateway: Gateway) -> None:
    other = sign(BODY.replace(b"v3:a", b"v3:b"), key=KEY, now=NOW)
    assert await gateway.post(headers=other) == 403
    assert_refused(gateway, "wrong", "signature matches none of 1 keys")


async def test_a_replayed_webhook_is_stale(gateway: Gateway) -> None:
    assert await gateway.post(headers=sign(BODY, key=KEY, now=NOW - 301)) == 403
    assert_refused(gateway, "stale", "timestamp is 301 s away, limit 300 s")


async def test_a_webhook_from_the_future_is_stale(gateway: Gateway) -> None:
    assert await gateway.post(headers=sign(BODY, key=KEY, now=NOW + 412)) == 403
    assert_refused(gateway, "stale", "timestamp is 412 s away, limit 300 s")


async def test_a_signature_that_cannot_be_read_is_malformed(gateway: Gateway) -> None:
    assert await gateway.post(headers={"telnyx-signature-ed25519": "????"}) == 403
    assert_refused(gateway, "malformed", "not base64")


async def test_a_signed_body_that_is_no_webhook_is_malformed(gateway: Gateway) -> None:
    assert await gateway.post(b'{"from": "+15550100001"}') == 400
    assert_refused(gateway, "malformed", "data: Field required")


async def test_a_body_that_is_too_large_is_refused_unread(gateway: Gateway) -> None:
    assert await gateway.post(b" " * (MAX_BYTES + 1)) == 413
    assert_refused(gateway, "too_large", "4096 octets")


async def test_a_body_that_is_no_gzip_though_it_says_so_is_refused(gateway: Gateway) -> None:
    assert await gateway.post(headers={"Content-Encoding": "gzip"}) in (400, 408)
    assert gateway.handled == []


async def test_a_body_that_does_not_come_is_waited_for_only_so_long(tmp_path: Path, log: Log) -> None:
    async with Gateway(tmp_path, log, body_timeout=0.05) as gateway:
        reader, writer = await asyncio.open_connection(gateway.client.host, gateway.client.port)
        writer.write(b"POST /webhooks/telnyx HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 408 ")
        writer.close()
        await writer.wait_closed()
        assert_refused(gateway, "incomplete", "TimeoutError")


async def test_without_a_public_key_every_webhook_is_refused(tmp_path: Path, log: Log) -> None:
    async with Gateway(tmp_path, log, keys=[]) as gateway:
        assert await gateway.post() == 403
        assert_refused(gateway, "no_key", "TELNYX_PUBLIC_KEY is not set")


async def test_either_of_two_keys_is_trusted(tmp_path: Path, log: Log) -> None:
    async with Gateway(tmp_path, log, keys=[OTHER_KEY, KEY]) as gateway:
        assert await gateway.post() == 200


async def test_a_forged_webhook_does_not_keep_the_true_one_out(gateway: Gateway) -> None:
    assert await gateway.post(key=OTHER_KEY) == 403
    assert await gateway.post() == 200
    await gateway.settle()
    assert gateway.handled == ["5a1c7a54"]


async def test_a_webhook_there_is_no_room_for_can_come_again(gateway: Gateway) -> None:
    gateway.go.clear()
    bodies = [webhook("call.answered", {"call_control_id": "v3:a"}, id=event_id) for event_id in "123"]
    assert [await gateway.post(body) for body in bodies] == [200, 200, 503]
    assert gateway.refused == {"busy": 1}
    gateway.go.set()
    await gateway.settle()
    assert await gateway.post(bodies[2]) == 200
    await gateway.settle()
    assert gateway.handled == ["1", "2", "3"]


async def test_keys_are_changed_without_losing_a_webhook(tmp_path: Path, log: Log) -> None:
    """Step by step: the old key; both; the new one. Telnyx changes over while both are known."""
    bodies = [webhook("call.cost", id=event_id) for event_id in "12345"]
    async with Gateway(tmp_path, log, keys=[KEY]) as gateway:
        assert await gateway.post(bodies[0], key=KEY) == 200
    async with Gateway(tmp_path, log, keys=[KEY, OTHER_KEY]) as gateway:
        assert await gateway.post(bodies[1], key=KEY) == 200
        assert await gateway.post(bodies[2], key=OTHER_KEY) == 200
    async with Gateway(tmp_path, log, keys=[OTHER_KEY]) as gateway:
        assert await gateway.post(bodies[3], key=OTHER_KEY) == 200
        assert await gateway.post(bodies[4], key=KEY) == 403


async def test_what_cannot_be_kept_is_refused_so_that_telnyx_delivers_it_again(gateway: Gateway) -> None:
    inbox = gateway.receiver._inbox
    async with inbox._store._engine.begin() as connection:
        await connection.exec_driver_sql("ALTER TABLE webhooks RENAME TO elsewhere")
    assert await gateway.post() == 503
    assert gateway.refused == {"store": 1}
    assert gateway.handled == []
    assert [line["event"] for line in gateway.log.lines] == ["store cannot be written", "webhook refused"]
    async with inbox._store._engine.begin() as connection:
        await connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO webhooks")
    assert await gateway.post() == 200
    await gateway.settle()
    assert gateway.handled == ["5a1c7a54"]


async def test_a_mistake_of_ours_is_told_and_logged_and_the_webhook_may_come_again(gateway: Gateway) -> None:
    inbox = gateway.receiver._inbox
    store, inbox._store = inbox._store, None  # type: ignore[assignment]
    assert await gateway.post(webhook("call.cost", id="1")) == 500
    assert [(line["event"], "exc_info" in line) for line in gateway.log.lines] == [("webhook failed", True)]
    inbox._store = store
    assert await gateway.post(webhook("call.cost", id="2")) == 200


async def test_an_answer_is_whole_and_the_connection_stays_open(gateway: Gateway) -> None:
    reader, writer = await asyncio.open_connection(gateway.client.host, gateway.client.port)
    async with asyncio.timeout(5):
        for event_id in "12":
            body = webhook("call.cost", id=event_id)
            writer.write(_request("1.1", body) + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"\r\nContent-Length: 0\r\n" in answer
            assert b"\r\nDate: Thu, 20 Nov 2025 12:00:00 GMT\r\n" in answer
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(("version", "header"), [("1.0", ""), ("1.1", "Connection: close\r\n")])
async def test_a_connection_that_is_not_to_stay_open_is_closed_after_the_answer(
    gateway: Gateway, version: str, header: str
) -> None:
    reader, writer = await asyncio.open_connection(gateway.client.host, gateway.client.port)
    async with asyncio.timeout(5):
        writer.write(_request(version, BODY, header) + BODY)
        answer = await reader.read()
    assert answer.startswith(f"HTTP/{version} 200 OK\r\n".encode())
    assert (b"\r\nConnection: close\r\n" in answer) == (version == "1.1")
    writer.close()
    await writer.wait_closed()


def _request(version: str, body: bytes, header: str = "") -> bytes:
    signed = "".join(f"{name}: {value}\r\n" for name, value in sign(body, key=KEY, now=NOW).items())
    head = f"POST /webhooks/telnyx HTTP/{version}\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    return f"{head}{signed}{header}\r\n".encode()


async def test_the_answer_leaves_in_under_50_ms_whatever_the_handlers_do(tmp_path: Path, log: Log) -> None:
    async with Gateway(tmp_path, log) as gateway:
        gateway.dispatcher._max_pending = 1000
        gateway.go.clear()
        bodies = [webhook("call.answered", {"call_control_id": f"v3:{n}"}, id=str(n)) for n in range(40)]
        await gateway.post(bodies[0])
        times = []
        for body in bodies[1:]:
            began = asyncio.get_running_loop().time()
            assert await gateway.post(body) == 200
            times.append(asyncio.get_running_loop().time() - began)
        assert gateway.handled == []
    assert sorted(times)[len(times) // 2] < 0.05


# --- where they come from -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allowed", "proxies", "forwarded_for", "status"),
    [
        (["127.0.0.0/8"], [], [], 200),
        (["telnyx"], [], [], 403),
        (["telnyx"], [], ["192.76.120.130"], 403),
        (["telnyx"], ["127.0.0.1"], ["192.76.120.130"], 200),
        (["telnyx"], ["127.0.0.1"], ["192.76.120.130, 192.0.2.1"], 403),
        (["telnyx"], ["127.0.0.1"], ["6.6.6.6", "192.76.120.130"], 200),
    ],
)
async def test_only_who_is_on_the_list_may_deliver(
    tmp_path: Path, log: Log, allowed: list[str], proxies: list[str], forwarded_for: list[str], status: int
) -> None:
    origins = Origins(parse_networks(allowed), parse_networks(proxies))
    async with Gateway(tmp_path, log, origins=origins) as gateway:
        assert await gateway.post(forwarded_for=forwarded_for) == status
        if status == 403:
            assert_refused(gateway, "origin", "webhooks do not come from there")
