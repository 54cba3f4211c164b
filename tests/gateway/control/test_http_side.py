import asyncio
import base64
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from nacl.signing import SigningKey

from gateway.config import Settings
from gateway.control.http_side import check_settings, open_control, open_http_side
from gateway.directory import CallDirectory
from gateway.errors import ConfigError
from gateway.lifecycle import Initiated
from gateway.protocol.commands import StreamingStart
from gateway.protocol.signature import sign
from gateway.store.store import Store, open_store
from tests.gateway.control.conftest import Log, webhook
from tests.gateway.store.template import database_in

OLD, NEW = SigningKey(b"o" * 32), SigningKey(b"n" * 32)
API_KEY = "a key that only the tests have"


def public(*keys: SigningKey) -> str:
    return ",".join(base64.b64encode(bytes(key.verify_key)).decode() for key in keys)


def settings(**fields: Any) -> Settings:
    fields = {"http_listen": "127.0.0.1:0", "telnyx_public_key": public(OLD, NEW)} | fields
    return Settings(**fields)


class Side:
    """The HTTP side as it ships, on loopback."""

    def __init__(self, store: Store, url: str, directory: CallDirectory, hung_up: list[str]) -> None:
        self.store = store
        self.url = url
        self.directory = directory
        self.hung_up = hung_up

    async def post(self, event_type: str, key: SigningKey = OLD, event_id: str = "1", **payload: Any) -> int:
        body = webhook(event_type, {"call_control_id": "v3:a", **payload}, id=event_id)
        headers = sign(body, key=key, now=time.time())
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.url}/webhooks/telnyx", data=body, headers=headers) as answer,
        ):
            return answer.status

    async def get(self, path: str) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {API_KEY}"}
        async with aiohttp.ClientSession() as session, session.get(self.url + path, headers=headers) as answer:
            return answer.status, await answer.json()


@asynccontextmanager
async def opened(folder: Path, log: Log, directory: CallDirectory | None = None, **fields: Any) -> AsyncIterator[Side]:
    directory = CallDirectory() if directory is None else directory
    hung_up: list[str] = []
    async with (
        asyncio.timeout(10),
        open_store(database_in(folder), log=log.logger) as store,
        open_control(settings(**fields), store, log.logger) as control,
        open_http_side(
            settings(**fields),
            store=store,
            control=control,
            directory=directory,
            api_key=API_KEY,
            stream=lambda _: StreamingStart(),
            hung_up=hung_up.append,
            ready=lambda: True,
            counters=lambda: {"calls_running": 7},
            log=log.logger,
        ) as address,
    ):
        yield Side(store, f"http://{address}", directory, hung_up)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"telnyx_public_key": "not base64!"}, "TELNYX_PUBLIC_KEY: the public key is not base64"),
        ({"telnyx_public_key": public(OLD) + ",c2hvcnQ="}, "TELNYX_PUBLIC_KEY: the public key has 5 octets"),
        ({"webhook_allow": "telnyx,192.0.2.1/24"}, "GATEWAY_WEBHOOK_ALLOW: '192.0.2.1/24' is no network"),
        ({"trusted_proxies": "proxy"}, "GATEWAY_TRUSTED_PROXIES: 'proxy' is no network"),
    ],
)
def test_settings_that_are_wrong_are_refused_by_their_names(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        check_settings(settings(**fields))


def test_settings_that_are_right_are_taken() -> None:
    check_settings(settings(webhook_allow="telnyx,2001:db8::/32", trusted_proxies="10.0.0.1"))
    check_settings(settings(telnyx_public_key=None))


async def test_either_of_the_keys_is_trusted_and_what_was_taken_is_counted(tmp_path: Path, log: Log) -> None:
    async with opened(tmp_path, log) as side:
        assert [await side.post("call.initiated", OLD, "1"), await side.post("call.hangup", NEW, "2")] == [200, 200]
        assert await side.post("call.answered", SigningKey(b"x" * 32), "3") == 403
        _, answer = await side.get("/v1/calls")
        counters = answer["counters"]
        assert (counters["calls_running"], counters["webhooks_verified"]) == (7, 2)
        assert counters["store"]["failure"] is None
        assert "commands_accepted" not in counters
        assert [(call["call_control_id"], call["state"]) for call in answer["calls"]] == [("v3:a", "ended")]
        assert side.hung_up == ["v3:a"]
    assert {line["event"] for line in log.lines} == {
        "calls are not answered by this gateway",
        "event",
        "webhook refused",
    }


async def test_without_a_key_it_says_that_every_webhook_will_be_refused(tmp_path: Path, log: Log) -> None:
    async with opened(tmp_path, log, telnyx_public_key=None) as side:
        assert await side.post("call.initiated") == 403
    assert any(line["event"] == "every webhook will be refused" for line in log.lines)


async def test_only_the_allowed_may_deliver(tmp_path: Path, log: Log) -> None:
    async with opened(tmp_path, log, webhook_allow="telnyx") as side:
        assert await side.post("call.initiated") == 403
    async with opened(tmp_path, log, webhook_allow="telnyx,127.0.0.1") as side:
        assert await side.post("call.initiated") == 200


@pytest.mark.parametrize(("without_store", "status"), [("refuse", 503), ("serve", 200)])
async def test_readiness_tells_of_a_store_that_cannot_be_written(
    tmp_path: Path, log: Log, without_store: str, status: int
) -> None:
    async with opened(tmp_path, log, without_store=without_store) as side:
        async with side.store._engine.begin() as connection:
            await connection.exec_driver_sql("DROP TABLE webhooks")
        assert await side.post("call.initiated") == status
        readiness, answer = await side.get("/readyz")
        assert readiness == status
        assert answer.get("detail") == {503: "not ready for new calls: the store cannot be written"}.get(status)
        assert (await side.get("/healthz"))[0] == 200
        assert (side.directory.get("v3:a") is not None) == (status == 200)


async def test_what_an_earlier_process_left_is_done_before_anything_new(tmp_path: Path, log: Log) -> None:
    commands: list[str] = []

    async def telnyx(request: web.Request) -> web.Response:
        commands.append(request.path)
        return web.json_response({"data": {"result": "ok"}})

    app = web.Application()
    app.router.add_post("/v2/{tail:.*}", telnyx)
    directory = CallDirectory()
    directory.tell("v3:rang", Initiated("incoming"))
    async with TestServer(app) as server:
        account = {"telnyx_api_key": "KEY", "telnyx_base_url": str(server.make_url("/v2"))}
        async with opened(tmp_path, log, directory, **account) as side:
            while not commands:  # noqa: ASYNC110 - the other side has no event
                await asyncio.sleep(0.001)
            _, answer = await side.get("/v1/calls/v3:rang")
            assert commands == ["/v2/calls/v3:rang/actions/answer"]
            assert [(one["action"], one["status"]) for one in answer["commands"]] == [("answer", 200)]
            _, answer = await side.get("/v1/calls")
            assert answer["counters"]["commands_accepted"] == 1


async def test_what_telnyx_transcribes_is_kept_with_its_call_and_not_logged(tmp_path: Path, log: Log) -> None:
    async with opened(tmp_path, log) as side:
        await side.post("call.initiated")
        for event_id, text, final in (("2", "my card", False), ("3", "my card is green", True)):
            said = {"transcript": text, "is_final": final, "confidence": 0.7, "transcription_track": "inbound"}
            assert await side.post("call.transcription", event_id=event_id, transcription_data=said) == 200
        async with asyncio.timeout(5):
            while not (segments := (await side.get("/v1/calls/v3:a/transcript"))[1]["segments"]):  # noqa: ASYNC110 - HTTP
                await asyncio.sleep(0.01)
    assert [(segment["text"], segment["transcriber"]) for segment in segments] == [("my card is green", "telnyx")]
    assert "my card" not in str(log.lines)


async def test_each_of_several_workers_has_its_share_of_the_dials(tmp_path: Path, log: Log) -> None:
    account = settings(telnyx_api_key="KEY", dials_per_second=2)  # ten within five seconds
    async with open_store(database_in(tmp_path), log=log.logger) as store:
        for workers, share in ((1, 10), (2, 5), (64, 1)):
            async with open_control(account, store, log.logger, workers=workers) as control:
                assert control is not None
                times = [control._dials.reserve(now=0.0, deadline=60.0) for _ in range(share + 1)]
                assert times == [0.0] * share + [5.0]
