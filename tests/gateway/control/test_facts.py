import pytest

from gateway.control.facts import facts_of
from gateway.lifecycle import (
    Answered,
    Fact,
    HungUp,
    Initiated,
    Parties,
    StreamingFailed,
    StreamingReported,
)
from tests.gateway.control.conftest import an_event

NOBODY = Parties(None, None)
BOTH = Parties("+15550100001", "+15550100002")
NUMBERS = {"from": "+15550100001", "to": "+15550100002"}


@pytest.mark.parametrize(
    ("event_type", "payload", "facts"),
    [
        ("call.initiated", {"direction": "incoming", **NUMBERS}, (Initiated("incoming"), BOTH)),
        ("call.initiated", {}, (Initiated(None), NOBODY)),
        ("call.answered", NUMBERS, (Answered(), BOTH)),
        ("call.hangup", {"hangup_cause": "timeout", **NUMBERS}, (HungUp("timeout"), BOTH)),
        ("call.hangup", {}, (HungUp(None), NOBODY)),
        ("streaming.started", {"stream_url": "wss://x"}, (StreamingReported("7", "started"),)),
        ("streaming_stopped", {}, (StreamingReported("7", "stopped"),)),
        ("streaming.failed", {"stream_id": "S", "stream_type": "websocket"}, (StreamingFailed("S"),)),
        ("streaming.failed", {}, (StreamingFailed("7"),)),
        ("streaming.failed", {"stream_type": "dialogflow"}, ()),
        ("call.dtmf.received", {"digit": "1"}, ()),
        ("call.something.new", {}, ()),
        ("call.hangup", {"hangup_cause": "x" * 1000}, (HungUp("x" * 128), NOBODY)),
    ],
)
def test_the_facts_of_an_event(event_type: str, payload: dict[str, str], facts: tuple[Fact, ...]) -> None:
    assert facts_of(an_event(event_type, event_id="7", **payload)) == facts
