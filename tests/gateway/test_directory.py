import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.directory import CallDirectory, CallRecord
from gateway.errors import StoreError
from gateway.lifecycle import (
    Answered,
    CallState,
    Fact,
    HungUp,
    Initiated,
    MediaSocket,
    Parties,
    SocketStage,
    StreamRequested,
)

STREAMING = MediaSocket("one", SocketStage.STARTED, "S")
STOPPED = MediaSocket("one", SocketStage.STOPPED, "S")


class Clock:
    """Says a second more each time."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def ids(directory: CallDirectory) -> list[str]:
    return [record.call_control_id for record in directory]


def test_a_call_is_recorded_when_it_is_first_told_of() -> None:
    directory = CallDirectory(clock=Clock())
    assert directory.get("v3:a") is None
    record = directory.tell("v3:a", Initiated("incoming"), Parties("+15550100001", "+15550100002"))
    assert directory.get("v3:a") is record
    assert (record.state, record.life.direction, record.started_at) == (CallState.RINGING, "incoming", 1.0)
    assert directory.tell("v3:a", Answered()) is record
    assert record.life.reached() == {CallState.RINGING: 1.0, CallState.ANSWERED: 2.0}


FACTS: tuple[Fact, ...] = (Initiated("incoming"), Answered(), StreamRequested("r"), STREAMING, STOPPED, HungUp("x"))


@given(st.lists(st.sampled_from(FACTS), min_size=1))
def test_there_is_one_record_in_one_place_whatever_is_told(facts: list[Fact]) -> None:
    directory = CallDirectory(keep_ended=1, keep_open=1)
    for fact in facts:
        record = directory.tell("v3:a", fact)
        assert directory.get("v3:a") is record
        assert ids(directory) == ["v3:a"]
    assert record.life.facts.keys() == set(facts)


def test_an_ended_call_is_still_known_and_stands_before_the_running_ones() -> None:
    directory = CallDirectory()
    for call in ("a", "b", "c"):
        directory.tell(call, Answered())
    directory.tell("b", HungUp())
    assert ids(directory) == ["b", "a", "c"]
    assert directory.tell("b", Answered()).state is CallState.ENDED
    assert ids(directory) == ["b", "a", "c"]


def test_a_call_whose_stream_stopped_makes_room_for_running_ones_as_an_ended_one_does() -> None:
    directory = CallDirectory(keep_open=1)
    directory.tell("a", STREAMING, STOPPED)
    directory.tell("b", STREAMING)
    assert ids(directory) == ["a", "b"]


def test_a_call_that_streams_again_counts_as_running_again() -> None:
    directory = CallDirectory(keep_ended=1)
    directory.tell("a", STREAMING, STOPPED)
    directory.tell("a", MediaSocket("two", SocketStage.STARTED, "T"))
    directory.tell("b", HungUp())
    directory.tell("c", HungUp())
    assert ids(directory) == ["c", "a"]


def test_of_ended_calls_the_oldest_are_forgotten() -> None:
    directory = CallDirectory(keep_ended=2)
    for call in ("a", "b", "c"):
        directory.tell(call, HungUp())
    directory.tell("running", Answered())
    assert ids(directory) == ["b", "c", "running"]
    assert directory.get("a") is None


def test_of_calls_that_never_end_the_oldest_are_forgotten() -> None:
    directory = CallDirectory(keep_open=2)
    for call in ("a", "b", "c"):
        directory.tell(call, STREAMING)
    assert ids(directory) == ["b", "c"]


def test_whoever_keeps_the_records_is_told_of_news_and_of_nothing_else() -> None:
    changed: list[tuple[str, CallState, int]] = []
    directory = CallDirectory(
        changed=lambda record: changed.append((record.call_control_id, record.state, len(record.problems)))
    )
    directory.tell("a", Answered())
    directory.tell("a", Answered())
    directory.tell("a")
    directory.tell("a", problem="one")
    directory.tell("a", HungUp(), problem="two")
    directory.tell("b", problem="of a call that nobody has told of")
    assert changed == [
        ("a", CallState.ANSWERED, 0),
        ("a", CallState.ANSWERED, 1),
        ("a", CallState.ENDED, 2),
        ("b", CallState.DIALLED, 1),
    ]


def test_only_the_first_problems_are_kept() -> None:
    directory = CallDirectory()
    for number in range(100):
        record = directory.tell("v3:a", problem=str(number))
    assert record.problems == [str(number) for number in range(20)]


def test_a_record_describes_itself_in_json_ready_values_and_in_the_order_of_life() -> None:
    directory = CallDirectory(clock=Clock())
    record = directory.tell("v3:a", Answered())
    directory.tell("v3:a", Initiated("incoming"), Parties("+15550100001", "sip:b@example.test"), problem="one")
    report: dict[str, Any] = {"frames": 0}
    record.media = lambda: report
    expected: dict[str, Any] = {
        "call_control_id": "v3:a",
        "state": "answered",
        "direction": "incoming",
        "from": "+15550100001",
        "to": "sip:b@example.test",
        "reached": {"ringing": 2.0, "answered": 1.0},
        "hangup_cause": None,
        "problems": ["one"],
        "media": {"frames": 0},
    }
    assert record.describe() == expected
    assert list(record.describe()["reached"]) == ["ringing", "answered"]
    assert json.loads(json.dumps(record.describe())) == expected
    report["frames"] = 50
    assert record.describe()["media"] == {"frames": 50}


def test_a_description_is_a_copy() -> None:
    record = CallRecord("v3:a")
    record.describe()["problems"].append("not ours")
    assert record.problems == []
    assert record.describe()["media"] is None


# --- beyond the process ---------------------------------------------------------------------------------------------


def test_a_record_that_is_frozen_and_thawed_is_the_same() -> None:
    directory = CallDirectory(clock=Clock())
    record = directory.tell("v3:a", *FACTS, Parties("+15550100001", None), problem="one")
    record.media = lambda: {"end_reason": "stop", "sinks": {"recorder": {"frames": 7}}}
    again = CallRecord.thaw("v3:a", record.freeze())
    assert again.describe() == record.describe()
    assert again.life.facts == record.life.facts
    assert CallRecord.thaw("v3:b", CallRecord("v3:b").freeze()).describe() == CallRecord("v3:b").describe()


@pytest.mark.parametrize(
    "octets", [b"", b"{}", b"[]", b'{"facts": [["answered", 1]]}', b'{"facts": [[{"fact": "new"}, 1]]}', b"\xff"]
)
def test_what_is_no_record_is_a_store_error(octets: bytes) -> None:
    with pytest.raises(StoreError, match="a call's record cannot be read"):
        CallRecord.thaw("v3:a", octets)


def restored(*facts: Fact, age: float = 60.0) -> tuple[CallRecord, list[CallRecord]]:
    """A record of an earlier process, so many seconds old, as this one takes it back; and what is to be kept of it."""
    changed: list[CallRecord] = []
    directory = CallDirectory(changed=changed.append, clock=lambda: 10_000.0)
    record = CallRecord("v3:a")
    for fact in facts:
        record.life.tell(fact, now=10_000.0 - age)
    directory.restore(record, longest_call=3600.0)
    assert directory.get("v3:a") is record
    return record, changed


def test_a_call_that_was_over_is_taken_back_as_it_was() -> None:
    record, changed = restored(*FACTS, MediaSocket("one", SocketStage.STORED, "S"), age=1e6)
    assert (record.state, record.problems, changed) == (CallState.STORED, [], [])


def test_a_stream_that_the_restart_cut_is_over() -> None:
    record, changed = restored(Answered(), STREAMING, MediaSocket("two", SocketStage.CONNECTED))
    assert record.state is CallState.STOPPED
    assert record.life.sockets_open == []
    assert record.problems == ["the gateway was restarted during the stream"] * 2
    assert changed == [record, record]
    assert not record.life.wants_stream


def test_a_call_that_rang_as_the_process_ended_is_still_ringing() -> None:
    record, changed = restored(Initiated("incoming"))
    assert record.life.wants_answer
    assert changed == []


def test_a_call_that_cannot_have_lasted_until_now_has_ended() -> None:
    record, _ = restored(Answered(), STREAMING, age=3601.0)
    assert (record.state, record.life.hangup_cause) == (CallState.ENDED, None)
    assert record.problems[-1] == "nobody told of the hang-up"


# --- calls that move to another worker -------------------------------------------------------------------------------


def test_a_call_moves_with_all_that_was_told_of_it_and_its_sockets_end() -> None:
    changed: list[str] = []
    given: list[str] = []
    here = CallDirectory(clock=Clock(), given=given.append)
    record = here.tell(
        "v3:a", Initiated("incoming"), STREAMING, MediaSocket("two", SocketStage.CONNECTED), problem="bad"
    )
    record.media = lambda: {"frames": 7}
    frozen = here.give_away("v3:a")
    assert frozen is not None
    assert (ids(here), given, here.give_away("v3:a")) == ([], ["v3:a"], None)

    there = CallDirectory(clock=lambda: 50.0, changed=lambda record: changed.append(record.call_control_id))
    there.tell("v3:a", Answered(), problem="worse")
    there.take_over("v3:a", frozen)
    again = there.get("v3:a")
    assert again is not None
    assert (again.state, again.started_at, again.problems) == (CallState.STOPPED, 1.0, ["bad", "worse"])
    assert (again.life.sockets_open, again.describe()["media"]) == ([], {"frames": 7})
    assert changed == ["v3:a", "v3:a"]
    there.take_over("v3:b", frozen)
    assert ids(there) == ["v3:a", "v3:b"]


def test_what_moves_does_not_take_the_place_of_what_is_here() -> None:
    here, there = CallDirectory(), CallDirectory()
    here.tell("v3:a", Initiated("incoming")).media = lambda: {"frames": 1}
    there.tell("v3:a", MediaSocket("here", SocketStage.STARTED, "S")).media = lambda: {"frames": 2}
    there.take_over("v3:a", here.give_away("v3:a") or b"")
    record = there.get("v3:a")
    assert record is not None
    assert (record.state, record.describe()["media"]) == (CallState.STREAMING, {"frames": 2})
    with pytest.raises(StoreError, match="cannot be read"):
        there.take_over("v3:a", b"[]")
