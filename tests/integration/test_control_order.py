"""One call's webhooks in every order, each of them twice, with its media socket's events between: the same end."""

import asyncio
import base64
import itertools
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestServer
from nacl.signing import SigningKey

from gateway import Gateway, Settings
from gateway.protocol.signature import sign
from tests.gateway.store.template import database_in
from tests.integration.phone import Phone, packets

API_KEY = "k" * 20
SIGNING_KEY = SigningKey(b"s" * 32)
LIFE = ("call.initiated", "call.answered", "streaming.started", "streaming.stopped", "call.hangup")
SAID = packets(3)
AT_ONCE = 8


class Telnyx:
    """Takes every command and counts them by call."""

    def __init__(self) -> None:
        self.commands: Counter[str] = Counter()

    async def handle(self, request: web.Request) -> web.Response:
        self.commands[f"{request.match_info['call']} {request.match_info['action']}"] += 1
        return web.json_response({"data": {"result": "ok"}})


class Caller:
    """Delivers one call: its webhooks in an order, the steps of its media socket between them."""

    def __init__(self, gateway: Gateway, session: aiohttp.ClientSession, number: int, order: tuple[str, ...]) -> None:
        self.name = f"call-{number}"
        chance = random.Random(number)
        deliveries = [*order, *chance.sample(order, len(order))]  # once in the order, once more in another
        steps = sorted(chance.sample(range(len(deliveries) + 1), 2))
        self.script = [
            *deliveries[: steps[0]],
            "open",
            *deliveries[steps[0] : steps[1]],
            "stop",
            *deliveries[steps[1] :],
        ]
        self._gateway = gateway
        self._session = session

    async def run(self) -> None:
        async with Phone(self._gateway.media_url, self.name) as phone:
            for step in self.script:
                if step == "open":
                    await phone.begin()
                    await phone.say(SAID, every=0.0)
                elif step == "stop":
                    await phone.hang_up()
                else:
                    assert await self._deliver(step) == 200

    async def _deliver(self, event_type: str) -> int:
        payload = {
            "call_control_id": f"v3:{self.name}",
            "from": "+15550100001",
            "to": "+15550100002",
            **({"direction": "incoming"} if event_type == "call.initiated" else {}),
            **({"hangup_cause": "normal_clearing"} if event_type == "call.hangup" else {}),
        }
        occurred_at = f"2026-11-20T10:00:0{LIFE.index(event_type)}.000000Z"
        data = {
            "event_type": event_type,
            "id": f"{self.name} {event_type}",
            "occurred_at": occurred_at,
            "payload": payload,
        }
        body = json.dumps({"data": data}).encode()
        headers = sign(body, key=SIGNING_KEY, now=time.time())
        url = f"{self._gateway.http_url}/webhooks/telnyx"
        async with self._session.post(url, data=body, headers=headers) as answer:
            return answer.status


@pytest.fixture
async def telnyx() -> AsyncIterator[tuple[Telnyx, str]]:
    one = Telnyx()
    app = web.Application()
    app.router.add_post("/v2/calls/{call}/actions/{action}", one.handle)
    async with TestServer(app) as server:
        yield one, str(server.make_url("/v2"))


def record_of(record: dict[str, Any]) -> dict[str, Any]:
    """What must not depend on the order: all but the ids, the times, and whether there was time left to act."""
    same = {name: record[name] for name in ("state", "direction", "from", "to", "hangup_cause", "problems")}
    reached = [state for state in record["reached"] if state != "stream_requested"]
    return {**same, "reached": sorted(reached), "end_reason": record["media"]["end_reason"]}


async def test_in_every_order_and_doubled_the_state_is_the_same(tmp_path: Path, telnyx: tuple[Telnyx, str]) -> None:
    server, base_url = telnyx
    database_in(tmp_path)
    settings = Settings(
        media_listen="127.0.0.1:0",
        http_listen="127.0.0.1:0",
        media_auth="none",
        sinks=(),
        data_dir=tmp_path,
        api_key=API_KEY,
        telnyx_api_key="KEY",
        telnyx_base_url=base_url,
        telnyx_public_key=base64.b64encode(bytes(SIGNING_KEY.verify_key)).decode(),
    )
    orders = list(itertools.permutations(LIFE))
    log = structlog.wrap_logger(None, processors=[structlog.testing.LogCapture()])
    async with asyncio.timeout(60), Gateway(settings, log=log) as gateway, aiohttp.ClientSession() as session:
        todo: Iterator[Caller] = (Caller(gateway, session, number, order) for number, order in enumerate(orders))

        async def work() -> None:
            for caller in todo:
                await caller.run()

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        url, headers = f"{gateway.http_url}/v1/calls?limit=1000", {"Authorization": f"Bearer {API_KEY}"}
        while True:
            async with session.get(url, headers=headers) as answer:
                shown = await answer.json()
            if all(call["state"] == "stored" for call in shown["calls"]):
                break
            await asyncio.sleep(0.01)
    assert len(shown["calls"]) == len(orders) == 120
    assert {json.dumps(record_of(call)) for call in shown["calls"]} == {
        json.dumps(
            {
                "state": "stored",
                "direction": "incoming",
                "from": "+15550100001",
                "to": "+15550100002",
                "hangup_cause": "normal_clearing",
                "problems": [],
                "reached": ["answered", "ended", "ringing", "stopped", "stored", "streaming"],
                "end_reason": "stop",
            }
        )
    }
    assert shown["counters"]["webhooks_verified"] == 2 * 5 * 120
    assert shown["counters"]["webhooks_duplicated"] == 5 * 120
    assert set(server.commands.values()) == {1}  # whatever was asked of Telnyx was asked once
