import asyncio
import base64
import json
import stat
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from nacl.signing import SigningKey
from telnyx import Telnyx

from gateway.control.forward import Forwarder, load_or_make_signing_key, open_forwarder, public_key_of
from gateway.errors import ConfigError
from gateway.protocol.events import parse_event
from gateway.protocol.signature import verify
from gateway.store.store import Store, open_store
from tests.gateway.control.conftest import Log, webhook
from tests.gateway.server.wire import until
from tests.gateway.store.template import database_in

KEY = SigningKey(b"f" * 32)


class Receiver:
    """The user's own program: verifies, and answers as the test says."""

    def __init__(self) -> None:
        self.attempts: list[str] = []
        self.taken: list[str] = []
        self.bodies: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.refused: dict[str, int] = {}  # by event id: the status it is answered with
        self.failing = False
        self.hang = asyncio.Event()  # while it is not set, no answer comes
        self.hang.set()

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.text()
        verify(body.encode(), request.headers, keys=[KEY.verify_key], now=time.time())
        event_id = json.loads(body)["data"]["id"]
        self.attempts.append(event_id)
        await self.hang.wait()
        if self.failing or event_id in self.refused:
            return web.Response(status=self.refused.get(event_id, 500))
        self.taken.append(event_id)
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        return web.Response(status=204)

    async def until(self, *taken: str) -> None:
        await until(lambda: len(self.taken) >= len(taken))
        assert self.taken == list(taken)


@asynccontextmanager
async def receiving(receiver: Receiver) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/hook", receiver.handle)
    async with TestServer(app) as server:
        yield str(server.make_url("/hook"))


@asynccontextmanager
async def forwarding(folder: Path, url: str, log: Log, **options: Any) -> AsyncIterator[tuple[Forwarder, Store]]:
    options = {"first_pause": 0.01, "timeout": 5.0, "chance": lambda: 1.0, **options}
    async with (
        asyncio.timeout(10),
        open_store(database_in(folder), log=log.logger) as store,
        open_forwarder(url, key=KEY, store=store, log=log.logger, **options) as forwarder,
    ):
        yield forwarder, store


def submit(forwarder: Forwarder, event_id: str, call_control_id: str | None = "v3:a", **payload: Any) -> bytes:
    body = webhook("call.answered", {"call_control_id": call_control_id, **payload}, id=event_id)
    forwarder.submit(parse_event(body), body)
    return body


async def test_a_webhook_goes_out_as_it_came_in_signed_so_that_telnyx_own_package_trusts_it(
    tmp_path: Path, log: Log
) -> None:
    receiver = Receiver()
    async with receiving(receiver) as url, forwarding(tmp_path, url, log) as (forwarder, store):
        body = submit(forwarder, "1", to="+15550100002")
        await receiver.until("1")
        await until(lambda: not forwarder.waiting)
        await store.flush()
        assert await store.forwards() == []
        assert forwarder.describe() == {
            "forwards_waiting": 0,
            "forwards_delivered": 1,
            "forwards_failed": 0,
            "forwards_given_up": 0,
            "forwards_dropped": 0,
        }
    assert receiver.bodies == [body.decode()]
    sdk = Telnyx(api_key="KEY", public_key=public_key_of(KEY))
    sdk.webhooks.unwrap(receiver.bodies[0], headers=receiver.headers[0])  # raises if it cannot be trusted
    assert receiver.headers[0]["Content-Type"] == "application/json"
    assert abs(int(receiver.headers[0]["telnyx-timestamp"]) - time.time()) < 60
    assert log.lines == []


async def test_a_receiver_that_fails_gets_it_again_and_the_calls_later_ones_wait_behind_it(
    tmp_path: Path, log: Log
) -> None:
    receiver = Receiver()
    async with receiving(receiver) as url, forwarding(tmp_path, url, log) as (forwarder, _):
        receiver.failing = True
        for event_id in ("1", "2", "3"):
            submit(forwarder, event_id)
        await until(lambda: len(receiver.attempts) >= 4)
        assert set(receiver.attempts) == {"1"}
        receiver.failing = False
        await receiver.until("1", "2", "3")
        assert forwarder.failed >= 4
    assert [line["event"] for line in log.lines] == ["forwarding fails", "forwarding works again"]
    assert (log.lines[0]["status"], log.lines[0]["waiting"]) == (500, 3)


async def test_a_receiver_that_hangs_is_given_up_in_time_and_keeps_nobody_waiting(tmp_path: Path, log: Log) -> None:
    receiver = Receiver()
    async with receiving(receiver) as url, forwarding(tmp_path, url, log, timeout=0.1) as (forwarder, _):
        receiver.hang.clear()
        for number in range(20):
            submit(forwarder, str(number), f"v3:{number}")
        await until(lambda: forwarder.failed >= 10)
        receiver.hang.set()
        await until(lambda: not forwarder.waiting)
    assert sorted(set(receiver.taken), key=int) == [str(number) for number in range(20)]
    assert log.lines[0]["error"] == "TimeoutError"


async def test_no_more_than_eight_are_under_way(tmp_path: Path, log: Log) -> None:
    receiver = Receiver()
    receiver.hang.clear()
    async with receiving(receiver) as url, forwarding(tmp_path, url, log) as (forwarder, _):
        for number in range(20):
            submit(forwarder, str(number), f"v3:{number}")
        await until(lambda: len(receiver.attempts) >= 8)
        await asyncio.sleep(0.02)
        assert len(receiver.attempts) == 8
        receiver.hang.set()
        await until(lambda: not forwarder.waiting)


async def test_what_was_not_delivered_goes_out_after_a_restart_in_its_order(tmp_path: Path, log: Log) -> None:
    receiver = Receiver()
    async with forwarding(tmp_path, "http://127.0.0.1:1/hook?key=secret", log) as (forwarder, _):
        bodies = [submit(forwarder, event_id).decode() for event_id in ("1", "2", "3")]
        await until(lambda: bool(forwarder.failed))
    assert "secret" not in str(log.lines)
    async with receiving(receiver) as url, forwarding(tmp_path, url, log) as (forwarder, store):
        submit(forwarder, "2")  # its webhook was not marked as handled before the crash
        submit(forwarder, "4")
        await receiver.until("1", "2", "3", "4")
        await until(lambda: not forwarder.waiting)
        await store.flush()
        assert await store.forwards() == []
    assert receiver.bodies[:3] == bodies


async def test_one_that_is_never_taken_lets_the_others_pass_after_a_while(tmp_path: Path, log: Log) -> None:
    receiver = Receiver()
    async with receiving(receiver) as url, forwarding(tmp_path, url, log) as (forwarder, _):
        receiver.refused = {"1": 422}
        for event_id in ("1", "2", "3"):
            submit(forwarder, event_id)
        await receiver.until("2", "3")
        assert receiver.attempts[:6] == ["1"] * 5 + ["2"]
        receiver.refused.clear()
        await receiver.until("2", "3", "1")
    assert [line["event"] for line in log.lines] == ["forward refused"]


async def test_what_is_too_old_is_given_up(tmp_path: Path, log: Log) -> None:
    receiver, now = Receiver(), [1_000_000.0]
    receiver.failing = True
    async with forwarding(tmp_path, "http://127.0.0.1:1/", log, clock=lambda: now[0], give_up=60.0) as (
        forwarder,
        store,
    ):
        submit(forwarder, "1")
        submit(forwarder, "2")
        now[0] += 61.0
        submit(forwarder, "3", "v3:b")
        await until(lambda: forwarder.given_up >= 2)
        await store.flush()
        assert [forward.event_id for forward in await store.forwards()] == ["3"]
    assert [line["event_id"] for line in log.lines if line["event"] == "forward given up"] == ["1", "2"]


@pytest.mark.parametrize("limits", [{"max_waiting": 3}, {"max_octets": 700}])
async def test_where_too_many_wait_the_oldest_are_lost_and_counted(
    tmp_path: Path, log: Log, limits: dict[str, Any]
) -> None:
    receiver = Receiver()
    receiver.hang.clear()
    async with receiving(receiver) as url, forwarding(tmp_path, url, log, **limits) as (forwarder, store):
        submit(forwarder, "1")
        await until(lambda: bool(receiver.attempts))
        for number in range(2, 8):
            submit(forwarder, str(number), "v3:a" if number % 2 else "v3:b")
        assert forwarder.dropped == 7 - forwarder.waiting
        assert 3 <= forwarder.waiting <= 4
        kept = [str(number) for number in range(1, 8)][-forwarder.waiting :]
        await store.flush()
        assert [forward.event_id for forward in await store.forwards()] == kept
        receiver.hang.set()
        await until(lambda: not forwarder.waiting)
        submit(forwarder, "8")
        await asyncio.sleep(0)
        await until(lambda: not forwarder.waiting)
    assert sorted(set(receiver.taken) - {"1"}) == sorted({*kept, "8"} - {"1"})


async def test_a_redirect_is_not_followed(tmp_path: Path, log: Log) -> None:
    asked: list[str] = []

    async def redirect(request: web.Request) -> web.Response:
        asked.append(request.path)
        raise web.HTTPTemporaryRedirect("/elsewhere")

    app = web.Application()
    app.router.add_post("/{path:.*}", redirect)
    async with TestServer(app) as server, forwarding(tmp_path, str(server.make_url("/hook")), log) as (forwarder, _):
        submit(forwarder, "1")
        await until(lambda: forwarder.failed >= 2)
    assert set(asked) == {"/hook"}


async def test_calls_do_not_wait_for_each_other(tmp_path: Path, log: Log) -> None:
    receiver = Receiver()
    receiver.refused = {"1": 503}
    async with receiving(receiver) as url, forwarding(tmp_path, url, log, first_pause=60.0) as (forwarder, _):
        submit(forwarder, "1", "v3:a")
        submit(forwarder, "2", "v3:b")
        submit(forwarder, "3", None)
        await until(lambda: len(receiver.taken) >= 2)
    assert sorted(receiver.taken) == ["2", "3"]


def test_the_key_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    key = load_or_make_signing_key(tmp_path)
    path = tmp_path / "forward_key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_make_signing_key(tmp_path) == key
    assert load_or_make_signing_key(tmp_path / "other") != key
    assert len(base64.b64decode(public_key_of(key))) == 32
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="forward_key has mode 0644"):
        load_or_make_signing_key(tmp_path)
    path.chmod(0o600)
    path.write_text("dGhpcyBpcyB0b28gc2hvcnQ=\n")
    with pytest.raises(ConfigError, match="forward_key holds no key: want base64 of 32 octets"):
        load_or_make_signing_key(tmp_path)
