"""Delivery of webhooks: signed, in order, again where it failed."""

import base64
import json
import time

import pytest
from nacl.signing import VerifyKey

from gateway.simulator import Simulator

from .application import NUMBERS, Application, application, ignore, simulator, speech

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
