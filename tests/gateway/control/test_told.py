import json
from typing import Any

from gateway.control.told import tell_webhook
from gateway.feed import CallFeed
from gateway.protocol.events import CallAnswered
from gateway.protocol.events.call import LegPayload
from tests.gateway.control.conftest import an_event


async def test_a_webhook_is_told_under_its_name_with_what_it_says() -> None:
    feed = CallFeed()
    payload: dict[str, Any] = {"from": "+15550100001", "direction": "incoming", "younger": [1]}
    tell_webhook(feed, an_event("call.initiated", **payload))
    with feed.follow("v3:a", None) as (_, (event,)):
        told = json.loads(event.text)
    assert told["event_type"] == "call.initiated"
    assert told["data"]["occurred_at"] == "2026-11-20T10:00:00.000000Z"
    assert {name: told["data"]["payload"][name] for name in payload} == payload


async def test_where_a_token_may_stand_is_not_told() -> None:
    feed = CallFeed()
    url = "wss://gateway.example/media/the-token"
    tell_webhook(feed, an_event("streaming.started", stream_url=url))
    tell_webhook(feed, an_event("streaming.failed", stream_params={"stream_url": url}, failure_reason="refused"))
    tell_webhook(feed, an_event("call.answered", stream_url=url, stream_auth_token="the-token"))
    with feed.follow("v3:a", None) as (_, events):
        assert len(events) == 3
        assert b"the-token" not in b"".join(event.text for event in events)
        assert b"refused" in events[1].text


async def test_what_belongs_to_no_call_is_told_to_nobody() -> None:
    feed = CallFeed()
    tell_webhook(feed, an_event("call.cost", call_control_id=None))
    assert feed.published == 0


async def test_an_event_that_was_not_read_from_octets_is_told_as_well() -> None:
    feed = CallFeed()
    payload = LegPayload.model_validate({"call_control_id": "v3:a", "from": "+15550100001"})
    tell_webhook(feed, CallAnswered(id="1", event_type="call.answered", payload=payload))
    with feed.follow("v3:a", None) as (_, (event,)):
        assert json.loads(event.text)["data"]["payload"] == {"call_control_id": "v3:a", "from": "+15550100001"}
