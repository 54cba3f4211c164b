"""Delivery of webhooks: signed, concurrently, again where that failed."""

import asyncio
import base64
import itertools
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

import pytest
from aiohttp import web
from nacl.signing import VerifyKey

from gateway.simulator import Simulator
from gateway.simulator.switches import Switches
from gateway.simulator.webhooks import Post, PostError, WebhookRequest

from .application import NUMBERS, Application, application, ignore, simulator, speech, timelapse, until

BRIEF = speech(0.02)


def check_signature(running: Simulator, headers: dict[str, str], body: bytes) -> None:
    """As an application would with PyNaCl alone; raises if it is wrong."""
    timestamp = headers["telnyx-timestamp"]
    key = VerifyKey(base64.b64decode(running.public_key))
    key.verify(timestamp.encode() + b"|" + body, base64.b64decode(headers["telnyx-signature-ed25519"]))
    assert abs(time.time() - int(timestamp)) < 30


def of_type(app: Application, event_type: str) -> list[tuple[dict[str, str], bytes]]:
    return [one for one in app.webhooks if json.loads(one[1])["data"]["event_type"] == event_type]


async def test_every_webhook_is_signed_and_in_telnyx_envelope() -> None:
    async with application(ignore) as app, simulator(app) as running:
        call = running.place_call(**NUMBERS, speech=BRIEF, silence_after=0)
        await call.wait_finished()
        assert len(app.webhooks) == 5
        for headers, body in app.webhooks:
            check_signature(running, headers, body)
            assert headers["User-Agent"] == "telnyx-webhooks"
            document = json.loads(body)
            assert document["meta"] == {"attempt": 1, "delivered_to": app.webhook_url}
            assert set(document["data"]) == {"record_type", "event_type", "id", "occurred_at", "payload"}
            assert document["data"]["record_type"] == "event"
            payload = document["data"]["payload"]
            assert payload["call_control_id"] == call.leg.call_control_id
            assert payload["client_state"] is None
        assert len({json.loads(body)["data"]["id"] for _, body in app.webhooks}) == 5


@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_a_webhook_that_may_be_taken_later_comes_again_with_the_same_id(status: int) -> None:
    async with application(ignore) as app, simulator(app) as running:
        app.statuses = [status, status]
        call = running.place_call(**NUMBERS, speech=BRIEF, silence_after=0)
        await call.wait_finished()
        initiated = of_type(app, "call.initiated")
        documents = [json.loads(body) for _, body in initiated]
        assert [document["meta"]["attempt"] for document in documents] == [1, 2, 3]
        assert len({document["data"]["id"] for document in documents}) == 1
        for headers, body in initiated:
            check_signature(running, headers, body)
        first = call.describe()["webhooks"][0]
        assert (first["attempts"], first["status"], first["delivered"]) == (3, 200, True)


async def test_another_refusal_is_final() -> None:
    async with application(ignore) as app, simulator(app, answer_timeout=0.05) as running:
        app.statuses = [403]
        call = running.place_call(**NUMBERS, speech=BRIEF)
        await call.wait_finished()
        assert app.events() == ["call.initiated", "call.hangup"]
        assert call.describe()["webhooks"][0]["status"] == 403
        assert call.describe()["webhooks"][0]["delivered"] is False


async def test_an_application_that_is_not_there_is_tried_until_the_delays_are_used_up() -> None:
    async with application(ignore) as app, simulator(app, answer_timeout=0.05) as running:
        call = running.place_call(**NUMBERS, speech=BRIEF, webhook_url="http://127.0.0.1:9/nobody")
        await call.wait_finished()
        assert app.webhooks == []
        for webhook in call.describe()["webhooks"]:
            assert (webhook["attempts"], webhook["status"]) == (3, None)
            assert "ClientConnectorError" in webhook["error"]


async def test_a_webhook_that_fails_does_not_hold_up_the_next() -> None:
    async with application(ignore) as app, simulator(app, answer_timeout=0.05, retry_delays=(0.3,)) as running:
        app.statuses = [500]
        call = running.place_call(**NUMBERS, speech=BRIEF)
        await call.wait_finished()
        assert app.events() == ["call.initiated", "call.hangup", "call.initiated"]


@asynccontextmanager
async def listener(*answers: float | str) -> AsyncIterator[tuple[str, list[str]]]:
    """Answer the webhooks that come with these statuses, after these seconds, or by a redirect; the last one again.

    Gives the URL, and what came: event type and attempt.
    """
    came: list[str] = []

    async def take(request: web.Request) -> web.Response:
        document = await request.json()
        came.append(f"{document['data']['event_type']} {document['meta']['attempt']}")
        answer = answers[min(len(came), len(answers)) - 1]
        if isinstance(answer, str):
            return web.Response(status=307, headers={"Location": answer})
        if answer >= 100:
            return web.Response(status=round(answer))
        await asyncio.sleep(answer)
        return web.Response()

    server = web.Application()
    server.add_routes([web.post("/", take)])
    runner = web.AppRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/", came
    finally:
        await runner.cleanup()


@timelapse
async def test_no_webhook_waits_for_the_answer_to_another() -> None:
    async with (
        application(ignore, acts=False) as app,
        listener(1.5) as (url, came),
        simulator(app, webhook_url=url, answer_timeout=0.2) as running,
    ):
        call = running.place_call(**NUMBERS, speech=BRIEF)
        await asyncio.sleep(0.5)
        assert came == ["call.initiated 1", "call.hangup 1"]
        await call.wait_finished()
        assert all(webhook["delivered"] for webhook in call.describe()["webhooks"])


@timelapse
async def test_an_answer_that_comes_too_late_is_none() -> None:
    async with (
        application(ignore, acts=False) as app,
        listener(9.0, 200) as (url, came),
        simulator(app, webhook_url=url, answer_timeout=8.0, webhook_timeout=1.0, retry_delays=(1.0,)) as running,
    ):
        call = running.place_call(**NUMBERS, speech=BRIEF)
        await call.wait_finished()
        assert came[:2] == ["call.initiated 1", "call.initiated 2"]
        first = [entry for entry in call.timeline.entries(kind="webhook") if entry["event_type"] == "call.initiated"]
        assert [(entry["attempt"], entry["status"]) for entry in first] == [(1, None), (2, 200)]
        assert "Timeout" in first[0]["error"]
        assert first[0]["took_ms"] == pytest.approx(1000, abs=100)


@timelapse
async def test_the_failover_url_gets_what_the_first_one_failed_twice() -> None:
    async with (
        application(ignore, acts=False) as app,
        listener(500) as (url, came),
        listener(200) as (other, came_there),
        simulator(app, webhook_url=url, failover_url=other, answer_timeout=60.0, within=100) as running,
    ):
        call = running.place_call(**NUMBERS, speech=BRIEF)
        await until(lambda: len(came_there) == 1)
        assert (came, came_there) == (["call.initiated 1", "call.initiated 2"], ["call.initiated 3"])
        described = call.describe()["webhooks"][0]
        assert (described["attempts"], described["delivered"], described["url"]) == (3, True, other)


@timelapse
async def test_a_command_may_send_webhooks_elsewhere_and_say_when_they_come_again() -> None:
    async with (
        application(ignore, acts=False) as app,
        listener(503, 503, 200) as (url, came),
        listener(200) as (second, came_second),
        listener(200) as (third, came_third),
        simulator(app, within=60) as running,
    ):
        fields = {
            "webhook_url": url,
            "webhook_retries_policies": {"call.initiated": {"retries_ms": [3000, 5000]}},
            "webhook_urls": {"call.answered": [second, third]},
        }
        call_control_id = await app.dial(**fields)
        await until(lambda: len(came_third) == 1 and len(came) == 3)
        assert app.webhooks == []
        assert came == ["call.initiated 1", "call.initiated 2", "call.initiated 3"]
        assert came_second == came_third == ["call.answered 1"]
        entries = running.exchange.look_up(call_control_id).timeline.entries(kind="webhook")
        times = [datetime.fromisoformat(one["time"]) for one in entries if one["event_type"] == "call.initiated"]
        waits = [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(times)]
        assert waits == [pytest.approx(3, abs=0.1), pytest.approx(5, abs=0.1)]


@pytest.mark.parametrize(("switch", "delivered"), [("fail", False), ("follow", True)])
@timelapse
async def test_a_redirect_is_followed_or_counts_as_failure(
    switch: Literal["fail", "follow"], *, delivered: bool
) -> None:
    async with (
        application(ignore, acts=False) as app,
        listener(200) as (goal, came),
        listener(goal) as (url, _),
        simulator(app, webhook_url=url, answer_timeout=1.0, switches=Switches(webhook_redirects=switch)) as running,
    ):
        call = running.place_call(**NUMBERS, speech=BRIEF)
        await call.wait_finished()
        assert [webhook["delivered"] for webhook in call.describe()["webhooks"]] == [delivered] * 2
        assert len(came) == 2 * delivered


@timelapse
async def test_a_webhook_may_be_a_get_with_the_payload_in_its_query() -> None:
    async with application(ignore, acts=False) as app, simulator(app) as running:
        call_control_id = await app.dial(webhook_url=app.webhook_url, webhook_url_method="GET", client_state="YQ==")
        await until(lambda: len(app.queries) == 2)
        assert app.webhooks == []
        initiated, answered = app.queries
        assert (initiated["event_type"], answered["event_type"]) == ("call.initiated", "call.answered")
        assert (initiated["call_control_id"], initiated["client_state"]) == (call_control_id, "YQ==")
        timestamp = running.exchange.clock.unix()
        assert len(base64.b64decode(initiated["signature"])) == 64
        assert abs(timestamp - time.time()) < 10


@timelapse
async def test_version_1_has_another_shape() -> None:
    async with application(ignore, acts=False) as app:
        shapes: list[dict[str, Any]] = []

        def wrap(post: Post) -> Post:
            async def look(request: WebhookRequest) -> int:
                shapes.append(json.loads(request.body))
                return 200

            return look

        async with simulator(app, webhook_api_version="1", answer_timeout=0.1, wrap_post=wrap) as running:
            call = running.place_call(**NUMBERS, speech=BRIEF)
            await call.wait_finished()
        assert [shape["event_type"] for shape in shapes] == ["call_initiated", "call_hangup"]
        assert "data" not in shapes[0]


@timelapse
async def test_whoever_wraps_the_post_decides_what_arrives() -> None:
    """The seam for faults: lost, doubled, and with a signature that is wrong."""
    async with application(ignore, acts=False) as app:

        def wrap(post: Post) -> Post:
            async def meddle(request: WebhookRequest) -> int:
                if request.event_type == "call.initiated" and request.attempt == 1:
                    raise PostError("lost")
                await post(request)
                return await post(replace(request, headers=request.headers | {"telnyx-signature-ed25519": "AAAA"}))

            return meddle

        async with simulator(app, answer_timeout=0.1, wrap_post=wrap) as running:
            call = running.place_call(**NUMBERS, speech=BRIEF)
            await call.wait_finished()
            assert sorted(app.events()) == ["call.hangup"] * 2 + ["call.initiated"] * 2
            assert call.describe()["webhooks"][0]["attempts"] == 2
            headers = [headers["telnyx-signature-ed25519"] for headers, _ in app.webhooks]
            assert headers.count("AAAA") == 2


@timelapse
async def test_webhooks_of_one_call_are_bounded_and_the_timeline_says_so() -> None:
    async with application(ignore, acts=False) as app, simulator(app, within=200) as running:
        call = running.place_call(**NUMBERS, speech=None, silence_after=None)
        url = f"{app.rest_url}/calls/{call.leg.call_control_id}/actions"
        assert (await app.request("POST", f"{url}/answer", {}))[0] == 200
        for _ in range(1000):
            call.tell("call.bridged", call.leg.parties())
        await until(lambda: len(app.webhooks) >= 1000)
        assert len(call.describe()["webhooks"]) == 1000
        assert "too many" in call.timeline.entries(kind="webhook")[0]["error"]
