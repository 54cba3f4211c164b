import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RemoteProtocolError
from gateway.protocol.events import (
    CallAnswered,
    CallHangup,
    CallInitiated,
    Event,
    StreamingFailed,
    StreamingStarted,
    StreamingStopped,
    UnknownEvent,
    parse_event,
)


def webhook(event_type: str, payload: dict[str, Any] | None = None, **data: Any) -> bytes:
    """A webhook as Telnyx writes it."""
    data = {"record_type": "event", "event_type": event_type, "id": "5a1c7a54", "payload": payload or {}, **data}
    return json.dumps({"data": data, "meta": {"attempt": 1, "delivered_to": "https://example.test"}}).encode()


def test_the_documented_sample_is_read() -> None:
    event = parse_event(
        webhook(
            "call.answered",
            {
                "call_control_id": "v3:abcDEF123",
                "connection_id": "1684641123236054244",
                "call_leg_id": "aebb45bc-87dd-11f0-9d4e-02420a1f0b69",
                "call_session_id": "aeb5639a-87dd-11f0-af54-02420a1f0b69",
                "client_state": "c3RhdGU=",
                "from": "+15550100001",
                "to": "+15550100002",
                "start_time": "2026-11-20T09:59:55.000000Z",
                "state": "answered",
            },
            occurred_at="2026-11-20T10:00:00.521992Z",
        )
    )
    assert isinstance(event, CallAnswered)
    assert (event.id, event.occurred_at) == ("5a1c7a54", "2026-11-20T10:00:00.521992Z")
    assert event.payload.call_control_id == "v3:abcDEF123"
    assert (event.payload.from_, event.payload.to) == ("+15550100001", "+15550100002")
    assert "+1555" not in repr(event)


@pytest.mark.parametrize(
    ("event_type", "model", "field", "value"),
    [
        ("call.initiated", CallInitiated, "direction", "incoming"),
        ("call.answered", CallAnswered, "state", "answered"),
        ("call.hangup", CallHangup, "hangup_cause", "normal_clearing"),
        ("streaming.started", StreamingStarted, "stream_url", "wss://example.test"),
        ("streaming.stopped", StreamingStopped, "stream_url", "wss://example.test"),
        ("streaming.failed", StreamingFailed, "failure_reason", "connection_failed"),
    ],
)
def test_each_event_is_known_by_its_type(event_type: str, model: type[Event], field: str, value: str) -> None:
    event = parse_event(webhook(event_type, {"call_control_id": "v3:a", "client_state": None, field: value}))
    assert type(event) is model
    assert getattr(event.payload, field) == value
    assert event.payload.client_state is None


@pytest.mark.parametrize("what", ["started", "stopped", "failed"])
@pytest.mark.parametrize("spelling", ["call.streaming.{}", "streaming_{}", "callStreaming{}"])
def test_other_spellings_of_streaming_are_taken(what: str, spelling: str) -> None:
    written = spelling.format(what.capitalize() if spelling.startswith("callS") else what)
    assert parse_event(webhook(written)).event_type == f"streaming.{what}"


def test_an_unknown_event_keeps_its_payload() -> None:
    event = parse_event(webhook("call.dtmf.received", {"call_control_id": "v3:a", "digit": "5"}))
    assert isinstance(event, UnknownEvent)
    assert event.event_type == "call.dtmf.received"
    assert event.payload.call_control_id == "v3:a"
    assert event.payload.model_extra == {"digit": "5"}


@pytest.mark.parametrize("event_type", ["call.initiated", "call.hangup", "streaming.failed", "call.cost"])
def test_every_payload_field_may_be_missing(event_type: str) -> None:
    assert parse_event(webhook(event_type)).payload.call_control_id is None
    without = json.dumps({"data": {"id": "1", "event_type": event_type}}).encode()
    assert parse_event(without).payload.call_control_id is None


def test_unknown_fields_are_kept() -> None:
    event = parse_event(webhook("call.hangup", {"call_quality_stats": {"inbound": {"mos": "4.50"}}}))
    assert event.payload.model_extra == {"call_quality_stats": {"inbound": {"mos": "4.50"}}}


def test_a_number_is_taken_where_a_text_is_documented() -> None:
    event = parse_event(webhook("call.hangup", {"sip_hangup_cause": 486}))
    assert isinstance(event, CallHangup)
    assert event.payload.sip_hangup_cause == "486"


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
        (b'{"data": {"event_type": "call.hangup"}}', "id: Field required"),
        (b'{"data": {"event_type": "call.cost"}}', "id: Field required"),
        (b'{"data": {"event_type": "call.cost", "id": ""}}', "id: "),
        (webhook("call.hangup", id="x" * 129), "id: "),
        (webhook("call.hangup", {"call_control_id": "x" * 513}), "payload.call_control_id: "),
        (webhook("call.hangup", {"hangup_cause": {}}), "payload.hangup_cause: "),
    ],
)
def test_what_is_no_webhook_is_a_remote_error_that_names_the_field(body: bytes, words: str) -> None:
    with pytest.raises(RemoteProtocolError, match=f"^not a webhook: {words}"):
        parse_event(body)


def test_the_error_does_not_quote_the_body() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        parse_event(webhook("call.answered", {"from": ["+15550100001"]}))
    assert "+1555" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(
    st.binary()
    | JSON.map(lambda value: json.dumps({"data": {"id": "1", "event_type": "call.hangup", "payload": value}}).encode())
)
def test_any_body_gives_an_event_or_a_remote_error(body: bytes) -> None:
    try:
        event = parse_event(body)
    except RemoteProtocolError:
        return
    assert event.id == "1"
