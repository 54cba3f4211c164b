"""The models against the list of documented fields: `tests/vectors/telnyx/README.md` says how it was made."""

import json

import pytest

from gateway.protocol.events import EVENTS, parse_event
from tests.gateway.protocol.fields import Comparison, documented, samples

FIELDS = documented("events")
SAMPLES = samples("events")

WITHOUT_SCHEMA = {"call.sip_info.received"}
"""Only in Telnyx's prose."""


def test_every_event_is_documented() -> None:
    assert set(FIELDS) | WITHOUT_SCHEMA == set(EVENTS)


@pytest.mark.parametrize("event_type", FIELDS)
def test_a_model_has_every_documented_field(event_type: str) -> None:
    payload = EVENTS[event_type].model_fields["payload"].default
    assert Comparison(type(payload), exactly=False).problems(FIELDS[event_type]) == []


@pytest.mark.parametrize("event_type", FIELDS)
def test_a_sample_has_every_documented_field_and_no_other(event_type: str) -> None:
    payload = SAMPLES[event_type]["data"]["payload"]
    beyond_the_schema = {"call.hangup": {"end_time"}, "call.gather.ended": {"gather_id"}}
    assert set(payload) == set(FIELDS[event_type]) | beyond_the_schema.get(event_type, set())
    assert not parse_event(json.dumps(SAMPLES[event_type]).encode()).payload.model_extra


@pytest.mark.parametrize("event_type", FIELDS)
def test_a_sample_has_documented_values(event_type: str) -> None:
    payload = SAMPLES[event_type]["data"]["payload"]
    for name, spec in FIELDS[event_type].items():
        if "enum" in spec and payload[name] is not None:
            assert payload[name] in spec["enum"], name
