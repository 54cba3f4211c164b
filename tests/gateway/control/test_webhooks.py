import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Self

import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from nacl.signing import SigningKey

from gateway.control.dispatcher import EventDispatcher
from gateway.control.webhooks import WebhookReceiver
from gateway.protocol.events import Event
from gateway.protocol.signature import sign
from tests.gateway.control.conftest import Log, settle
from tests.gateway.protocol.test_events import webhook

KEY = SigningKey(bytes(range(32)))
OTHER_KEY = SigningKey(bytes(32))
NOW = 1_763_640_000.0
MAX_BYTES = 4096
BODY = webhook("call.answered", {"call_control_id": "v3:a", "from": "+15550100001"})


class Gateway:
    """A receiver behind a real server, whose events are kept, or held up while `go` is not set."""

    def __init__(self, log: Log, *, keys: list[SigningKey] | None = None, **options: Any) -> None:
        self.log = log
        self.handled: list[str] = []
        self.go = asyncio.Event()
        self.go.set()
        self.fail = False
        self.now = NOW
        self.dispatcher = EventDispatcher(self._handle, log=log.logger, max_pending=2)
        self.receiver = WebhookReceiver(
            self.dispatcher,
            keys=[key.verify_key for key in ([KEY] if keys is None else keys)],
            log=log.logger,
            clock=lambda: self.now,
            **options,
        )
        app = web.Application(client_max_size=MAX_BYTES)
        app.router.add_post("/webhooks/telnyx", self.receiver.handle)
        self.client = TestClient(TestServer(app))

    async def _handle(self, event: Event) -> None:
        await self.go.wait()
        if self.fail:
            raise ZeroDivisionError
        self.handled.append(event.id)

    async def __aenter__(self) -> Self:
        await self.dispatcher.__aenter__()
        await self.client.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.go.set()
        await self.client.close()
        await self.dispatcher.__aexit__(None, None, None)

    async def post(
        self, body: bytes = BODY, *, key: SigningKey = KEY, headers: Mapping[str, str | None] | None = None
    ) -> int:
        """Deliver a webhook, signed now, and give the status; a header that is None is left out."""
        signed = {**sign(body, key=key, now=self.now), **(headers or {})}
        present = {name: value for name, value in signed.items() if value is not None}
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
async def gateway(log: Log) -> AsyncIterator[Gateway]:
    async with Gateway(log) as gateway:
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
            ("missing", "malformed", "stale", "wrong", "no_key", "too_large", "incomplete", "busy"), 0
        ),
        "webhooks_duplicated": 0,
        "webhooks_failed": 0,
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


async def test_a_body_that_does_not_come_is_waited_for_only_so_long(log: Log) -> None:
    async with Gateway(log, body_timeout=0.05) as gateway:
        reader, writer = await asyncio.open_connection(gateway.client.host, gateway.client.port)
        writer.write(b"POST /webhooks/telnyx HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 408 ")
        writer.close()
        await writer.wait_closed()
        assert_refused(gateway, "incomplete", "TimeoutError")


async def test_without_a_public_key_every_webhook_is_refused(log: Log) -> None:
    async with Gateway(log, keys=[]) as gateway:
        assert await gateway.post() == 403
        assert_refused(gateway, "no_key", "TELNYX_PUBLIC_KEY is not set")


async def test_either_of_two_keys_is_trusted(log: Log) -> None:
    async with Gateway(log, keys=[OTHER_KEY, KEY]) as gateway:
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


async def test_only_so_many_ids_are_remembered(log: Log) -> None:
    async with Gateway(log, remember=2) as gateway:
        for event_id in "12131":
            assert await gateway.post(webhook("call.cost", id=event_id)) == 200
            await gateway.settle()
        assert gateway.handled == ["1", "2", "3", "1"]


async def test_an_event_that_failed_is_counted(gateway: Gateway) -> None:
    gateway.fail = True
    assert await gateway.post() == 200
    await gateway.settle()
    assert gateway.receiver.counters()["webhooks_failed"] == 1
