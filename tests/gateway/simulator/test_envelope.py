"""What is written into a webhook."""

import json
from urllib.parse import parse_qs, urlsplit

from gateway.simulator.envelope import Event, write_body, write_query

PAYLOAD = {"call_control_id": "v3:a", "client_state": None, "from": "+1", "tags": ["a", "b"]}
EVENT = Event("call.machine.detection.ended", PAYLOAD, 1000.25, id="7a1c7a54")
WHEN = "1970-01-01T00:16:40.250000Z"


def test_version_2_has_an_envelope() -> None:
    assert json.loads(write_body(EVENT, "2", attempt=3, url="http://a/")) == {
        "data": {
            "record_type": "event",
            "event_type": "call.machine.detection.ended",
            "id": "7a1c7a54",
            "occurred_at": WHEN,
            "payload": PAYLOAD,
        },
        "meta": {"attempt": 3, "delivered_to": "http://a/"},
    }


def test_version_1_has_none_and_other_names() -> None:
    assert json.loads(write_body(EVENT, "1", attempt=1, url="http://a/")) == {
        "record_type": "event",
        "id": "7a1c7a54",
        "event_type": "call_machine_detection_ended",
        "created_at": WHEN,
        "payload": {**PAYLOAD, "occurred_at": WHEN},
    }


def test_a_get_carries_the_payload_as_parameters() -> None:
    url = write_query(EVENT, "2", url="http://a/hook?customer=42")
    assert url.startswith("http://a/hook?customer=42&")
    assert parse_qs(urlsplit(url).query) == {
        "customer": ["42"],
        "event_type": ["call.machine.detection.ended"],
        "id": ["7a1c7a54"],
        "occurred_at": [WHEN],
        "call_control_id": ["v3:a"],
        "from": ["+1"],
        "tags": ['["a", "b"]'],
    }
    assert "event_type=call_machine_detection_ended" in write_query(EVENT, "1", url="http://a/")


def test_each_event_has_an_id_of_its_own() -> None:
    assert Event("call.hangup", {}, 0.0).id != Event("call.hangup", {}, 0.0).id
