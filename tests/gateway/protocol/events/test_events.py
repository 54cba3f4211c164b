"""Reading a webhook: every event, every spelling, and what is odd in one."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RemoteProtocolError
from gateway.protocol.events import (
    EVENTS,
    CallAnalyzed,
    CallAnswered,
    CallConversationInsightsGenerated,
    CallDequeued,
    CallHangup,
    CallInitiated,
    StreamingStarted,
    UnknownEvent,
    parse_event,
)
from tests.gateway.protocol.fields import samples

SAMPLES = samples("events")


def webhook(event_type: str, payload: Any = None, **data: Any) -> bytes:
    """A webhook as Telnyx writes it."""
    data = {"record_type": "event", "event_type": event_type, "id": "5a1c7a54", "payload": payload or {}, **data}
    return json.dumps({"data": data, "meta": {"attempt": 1, "delivered_to": "https://example.test"}}).encode()


def test_there_is_a_sample_of_every_event() -> None:
    assert set(SAMPLES) == set(EVENTS)
    assert all(sample["data"]["event_type"] == event_type for event_type, sample in SAMPLES.items())


@pytest.mark.parametrize("event_type", EVENTS)
def test_a_sample_is_read_whole(event_type: str) -> None:
    event = parse_event(json.dumps(SAMPLES[event_type]).encode())
    assert type(event) is EVENTS[event_type]
    assert event.model_dump(mode="json", by_alias=True, exclude_unset=True) == SAMPLES[event_type]["data"]
    assert event.unreadable == {}


def test_fields_are_read_by_name() -> None:
    event = parse_event(json.dumps(SAMPLES["call.answered"]).encode())
    assert isinstance(event, CallAnswered)
    assert (event.id, event.occurred_at) == ("5a1c7a54-0000-4bca-a65a-000000000002", "2026-11-20T10:00:00.521992Z")
    assert (event.payload.from_, event.payload.to) == ("+15550100001", "+15550100002")
    assert event.payload.client_state == "c3RhdGU="
    assert event.payload.sip_headers is not None
    assert [(header.name, header.value) for header in event.payload.sip_headers] == [("User-to-User", "12345")]


@pytest.mark.parametrize("event_type", EVENTS)
def test_no_text_of_an_event_shows_a_number_or_a_client_state(event_type: str) -> None:
    body = webhook(event_type, {"from": "+15550100001", "to": "+15550100002", "client_state": "c3RhdGU="})
    event = parse_event(body)
    if {"from_", "to"} <= set(type(event.payload).model_fields):
        assert "+1555" not in repr(event)
    assert "c3RhdGU=" not in repr(event)


@pytest.mark.parametrize("event_type", EVENTS)
def test_every_field_of_a_payload_may_be_missing_or_null(event_type: str) -> None:
    nothing = parse_event(json.dumps({"data": {"id": "1", "event_type": event_type}}).encode())
    assert type(nothing) is EVENTS[event_type]
    assert nothing.payload.call_control_id is None
    nulls = dict.fromkeys(SAMPLES[event_type]["data"]["payload"])
    assert parse_event(webhook(event_type, nulls)).unreadable == {}
    no_payload = json.dumps({"data": {"id": "1", "event_type": event_type, "payload": None}}).encode()
    assert parse_event(no_payload).payload == nothing.payload


@pytest.mark.parametrize(
    ("spelling", "event_type"),
    [
        ("call.streaming.started", "streaming.started"),
        ("streaming_stopped", "streaming.stopped"),
        ("callStreamingFailed", "streaming.failed"),
        ("callSiprecStarted", "siprec.started"),
        ("callLeftQueue", "call.dequeued"),
        ("call.left_queue", "call.dequeued"),
        ("callEnqueued", "call.enqueued"),
        ("CallAIGatherEnded", "call.ai_gather.ended"),
        ("CallAIGatherMessageHistoryUpdated", "call.ai_gather.message_history_updated"),
        ("callConversationInsightsGenerated", "call.conversation_insights.generated"),
        ("transcription", "call.transcription"),
        ("callMachinePremiumDetectionEnded", "call.machine.premium.detection.ended"),
        ("call_fork_started", "call.fork.started"),
    ],
)
def test_other_spellings_are_taken(spelling: str, event_type: str) -> None:
    event = parse_event(webhook(spelling, {"call_control_id": "v3:a"}))
    assert type(event) is EVENTS[event_type]
    assert event.event_type == event_type
    assert event.payload.call_control_id == "v3:a"


def test_no_event_can_be_taken_for_another() -> None:
    for event_type in EVENTS:
        camel_case = "".join(part.capitalize() for part in event_type.replace("_", ".").split("."))
        for spelling in (event_type.replace(".", "_"), camel_case, f"call{camel_case}".replace("callCall", "call")):
            assert parse_event(webhook(spelling)).event_type == event_type


@pytest.mark.parametrize("event_type", ["call.new", "message.received", "Call Answered", "call.answered.v2"])
def test_an_unknown_event_is_passed_on_as_it_came(event_type: str) -> None:
    payload = {"call_control_id": "v3:a", "digit": "5", "deep": [{"x": None}]}
    event = parse_event(webhook(event_type, payload))
    assert isinstance(event, UnknownEvent)
    assert event.event_type == event_type
    assert event.payload.call_control_id == "v3:a"
    assert event.payload.model_extra == {"digit": "5", "deep": [{"x": None}]}


def test_unknown_fields_are_kept() -> None:
    event = parse_event(webhook("call.hangup", {"new": {"mos": "4.50"}, "tags": []}, later=True))
    assert event.payload.model_extra == {"new": {"mos": "4.50"}}
    assert event.model_extra == {"later": True}


def test_a_number_is_taken_for_a_text_and_a_text_for_a_number() -> None:
    event = parse_event(webhook("call.hangup", {"sip_hangup_cause": 486}))
    assert isinstance(event, CallHangup)
    assert event.payload.sip_hangup_cause == "486"
    dequeued = parse_event(webhook("call.dequeued", {"wait_time_secs": "33"}))
    assert isinstance(dequeued, CallDequeued)
    assert dequeued.payload.wait_time_secs == 33


def test_a_field_of_the_wrong_type_costs_itself_and_no_more() -> None:
    stats = {"inbound": {"mos": ["4.5"], "packet_count": "7"}, "outbound": 7}
    payload = {"call_control_id": "v3:a", "hangup_cause": {}, "hangup_source": "caller", "call_quality_stats": stats}
    event = parse_event(webhook("call.hangup", payload, occurred_at=[]))
    assert isinstance(event, CallHangup)
    assert (event.payload.call_control_id, event.payload.hangup_source) == ("v3:a", "caller")
    assert event.payload.hangup_cause is event.occurred_at is None
    assert event.payload.call_quality_stats is not None
    assert event.payload.call_quality_stats.inbound is not None
    assert event.payload.call_quality_stats.inbound.packet_count == "7"
    assert event.unreadable == {
        "occurred_at": [],
        "payload.hangup_cause": {},
        "payload.call_quality_stats.inbound.mos": ["4.5"],
        "payload.call_quality_stats.outbound": 7,
    }


def test_what_is_wrong_in_a_list_leaves_the_rest_of_the_list() -> None:
    headers = [7, {"name": "X-A", "value": "1"}, "x", {"name": [], "value": "2"}]
    event = parse_event(webhook("call.initiated", {"custom_headers": headers}))
    assert isinstance(event, CallInitiated)
    assert [(header.name, header.value) for header in event.payload.custom_headers or ()] == [("X-A", "1"), (None, "2")]
    assert dict(event.unreadable) == {
        "payload.custom_headers.0": 7,
        "payload.custom_headers.2": "x",
        "payload.custom_headers.3.name": [],
    }


def test_a_value_that_fits_no_branch_of_a_union_is_left_out_once() -> None:
    results = [{"insight_id": "1", "result": []}, {"insight_id": "2", "result": "x"}]
    event = parse_event(webhook("call.conversation_insights.generated", {"results": results}))
    assert isinstance(event, CallConversationInsightsGenerated)
    assert [(each.insight_id, each.result) for each in event.payload.results or ()] == [("1", None), ("2", "x")]
    analyzed = parse_event(webhook("call.analyzed", {"cost": [1], "duration_sec": 3.5}))
    assert isinstance(analyzed, CallAnalyzed)
    assert dict(analyzed.unreadable) == {"payload.cost": [1], "payload.duration_sec": 3.5}


def test_an_event_may_be_spelt_oddly_and_have_an_odd_field() -> None:
    event = parse_event(
        webhook("streaming_started", {"call_control_id": "v3:a", "stream_url": None, "client_state": {}})
    )
    assert isinstance(event, StreamingStarted)
    assert dict(event.unreadable) == {"payload.client_state": {}}
    unknown = parse_event(webhook("call.new", {"call_control_id": "v3:a", "connection_id": []}))
    assert (unknown.payload.call_control_id, dict(unknown.unreadable)) == ("v3:a", {"payload.connection_id": []})


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "body: Invalid JSON"),
        (b"\xff\xfe", "body: Invalid JSON"),
        (b"[" * 10_000, "body: Invalid JSON"),
        (rb'{"data": {"id": "\ud800", "event_type": "call.hangup"}}', "body: Invalid JSON"),
        (b"[]", "body: "),
        (b"{}", "data: Field required"),
        (b'{"data": null}', "data: "),
        (b'{"data": {"id": "1"}}', "data.event_type: Field required"),
        (b'{"data": {"id": "1", "event_type": 7}}', "data.event_type: "),
        (b'{"data": {"id": "1", "event_type": ""}}', "data.event_type: "),
        (b'{"data": {"event_type": "call.hangup"}}', "id: Field required"),
        (b'{"data": {"event_type": "call.new"}}', "id: Field required"),
        (b'{"data": {"event_type": "call.cost", "id": ""}}', "id: "),
        (b'{"data": {"event_type": "call.cost", "id": null}}', "id: "),
        (webhook("x" * 129), "data.event_type: "),
        (webhook("call.hangup", id="x" * 129), "id: "),
        (webhook("call.hangup", {"call_control_id": "x" * 513}), "payload.call_control_id: "),
        (webhook("call.hangup", {"call_control_id": ["v3:a"], "from": []}), "payload.call_control_id: "),
        (webhook("call.hangup", ["v3:a"]), "payload: "),
        (webhook("call.new", "v3:a"), "payload: "),
    ],
)
def test_what_is_no_webhook_is_a_remote_error_that_names_the_field(body: bytes, words: str) -> None:
    with pytest.raises(RemoteProtocolError, match=f"^not a webhook: {words}"):
        parse_event(body)


def test_the_error_does_not_quote_the_body() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        parse_event(webhook("call.answered", {"call_control_id": ["+15550100001"]}))
    assert "+1555" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def letters(event_type: str) -> str:
    """What all spellings of an event have in common."""
    return "".join(letter for letter in event_type.lower() if letter not in "._-").removeprefix("call")


SPELT = {letters(event_type): model for event_type, model in EVENTS.items()} | {"leftqueue": CallDequeued}


@given(st.data())
def test_no_field_but_the_ids_can_make_an_event_unusable(data: st.DataObject) -> None:
    event_type = data.draw(st.sampled_from(sorted(EVENTS)) | st.text(min_size=1, max_size=20))
    fields = SAMPLES.get(event_type, SAMPLES["call.hangup"])["data"]["payload"].keys() - {"call_control_id"}
    payload = data.draw(st.none() | st.dictionaries(st.sampled_from(sorted(fields)) | st.text(), JSON, max_size=4))
    event = parse_event(json.dumps({"data": {"id": "1", "event_type": event_type, "payload": payload}}).encode())
    assert type(event) is SPELT.get(letters(event_type), UnknownEvent)
    assert event.id == "1"


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_body_gives_an_event_or_a_remote_error(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_event(body)
