from typing import Any

import msgspec
import pytest

from gateway.decision import Decision
from gateway.directory import CallRecord
from gateway.errors import StoreError
from gateway.lifecycle import Answered, CallLifecycle, Decided, HungUp, Initiated


def life(*facts: Any) -> CallLifecycle:
    return CallLifecycle((fact, 0.0) for fact in facts)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"action": "hang up"}, "action is 'hang up', want one of answer, reject, ignore"),
        ({"media": "wav"}, "media is 'wav', want one of stream, fork, none"),
        ({"cause": "BUSY"}, "cause is 'BUSY', want one of CALL_REJECTED, USER_BUSY"),
        ({"codec": "pcmu"}, "codec is 'pcmu', want one of PCMU"),
        ({"sample_rate": 44_100}, "sample_rate is '44100', want one of 8000"),
        ({"agent": object}, "agent is type, want a text"),
        ({"sinks": "recorder"}, "sinks is no tuple of names"),
        ({"sinks": (1,)}, "sinks is no tuple of names"),
    ],
)
def test_what_is_no_decision_is_refused_by_its_field(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Decision(**fields)


def test_a_decision_comes_back_from_the_record_as_it_was() -> None:
    decision = Decision(codec="L16", sample_rate=16_000, agent="echo", sinks=("recorder", "null"), rule="sales")
    record = CallRecord("v3:a", life(Initiated("incoming"), Decided(decision)))
    assert CallRecord.thaw("v3:a", record.freeze()).life.decision == decision


def test_a_kept_decision_that_makes_no_sense_is_an_unreadable_record() -> None:
    kept = b'{"facts":[[{"fact":"decided","decision":{"action":"explode"}},1.0]]}'
    with pytest.raises(StoreError, match="cannot be read"):
        CallRecord.thaw("v3:a", kept)


@pytest.mark.parametrize(
    ("decision", "encoding", "sample_rate"),
    [
        (Decision(), "PCMA", 8000),
        (Decision(codec="L16"), "L16", 16_000),
        (Decision(codec="L16", sample_rate=8000), "L16", 8000),
        (Decision(codec="G722"), "G722", 8000),
    ],
)
def test_a_codec_without_a_rate_has_its_usual_one(decision: Decision, encoding: str, sample_rate: int) -> None:
    assert decision.stream_codec(("PCMA", 8000)) == (encoding, sample_rate)


def test_what_is_wanted_follows_from_what_was_decided() -> None:
    ringing = Initiated("incoming")

    def wants(decision: Decision | None, *facts: Any) -> tuple[bool, bool, bool]:
        call = life(*facts, *([] if decision is None else [Decided(decision)]))
        return call.wants_answer, call.wants_rejection, call.wants_stream

    assert wants(None, ringing) == (True, False, False)
    assert wants(Decision(), ringing) == (True, False, False)
    assert wants(Decision(action="reject"), ringing) == (False, True, False)
    assert wants(Decision(action="reject"), Initiated("outgoing")) == (False, False, False)
    assert wants(Decision(action="reject"), ringing, HungUp()) == (False, False, False)
    assert wants(Decision(action="ignore"), ringing) == (False, False, False)
    assert wants(Decision(action="ignore"), ringing, Answered()) == (False, False, False)
    assert wants(Decision(media="none"), ringing, Answered()) == (False, False, False)
    assert wants(Decision(media="fork"), ringing, Answered()) == (False, False, True)


def test_two_decisions_lead_to_the_same_one_in_any_order() -> None:
    one, two = Decided(Decision(action="reject")), Decided(Decision(agent="echo"))
    assert life(one, two).decision == life(two, one).decision


def test_decisions_are_values() -> None:
    assert msgspec.json.decode(msgspec.json.encode(Decision(sinks=())), type=Decision) == Decision(sinks=())
    assert len({Decision(sinks=("a",)), Decision(sinks=("a",))}) == 1
