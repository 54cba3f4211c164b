from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.directory import CallDirectory, CallRecord, CallState


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
    record = directory.reach("v3:a", CallState.ANSWERED)
    assert directory.get("v3:a") is record
    assert (record.state, record.reached) == (CallState.ANSWERED, {CallState.ANSWERED: 1.0})


def test_a_record_only_moves_forward_and_keeps_each_first_time() -> None:
    directory = CallDirectory(clock=Clock())
    for state in (CallState.STREAMING, CallState.INITIATED, CallState.STREAMING, CallState.ANSWERED):
        record = directory.reach("v3:a", state)
    assert record.state is CallState.STREAMING
    assert record.reached == {CallState.STREAMING: 1.0, CallState.INITIATED: 2.0, CallState.ANSWERED: 4.0}


@given(st.lists(st.sampled_from(CallState), min_size=1))
def test_the_state_is_the_furthest_that_was_reached_in_any_order(states: list[CallState]) -> None:
    directory = CallDirectory()
    for state in states:
        record = directory.reach("v3:a", state)
    assert record.state is max(states)
    assert set(record.reached) == set(states)
    assert ids(directory) == ["v3:a"]


def test_an_ended_call_is_still_known_and_stands_before_the_running_ones() -> None:
    directory = CallDirectory()
    for call in ("a", "b", "c"):
        directory.reach(call, CallState.ANSWERED)
    directory.reach("b", CallState.ENDED)
    assert ids(directory) == ["b", "a", "c"]
    assert directory.reach("b", CallState.ANSWERED).state is CallState.ENDED
    assert ids(directory) == ["b", "a", "c"]


def test_a_call_whose_stream_stopped_makes_room_for_running_ones_as_an_ended_one_does() -> None:
    directory = CallDirectory(keep_open=1)
    directory.reach("a", CallState.STOPPED)
    directory.reach("b", CallState.STREAMING)
    assert ids(directory) == ["a", "b"]
    assert directory.reach("a", CallState.ENDED).reached.keys() == {CallState.STOPPED, CallState.ENDED}


def test_of_ended_calls_the_oldest_are_forgotten() -> None:
    directory = CallDirectory(keep_ended=2)
    for call in ("a", "b", "c"):
        directory.reach(call, CallState.ENDED)
    directory.reach("running", CallState.ANSWERED)
    assert ids(directory) == ["b", "c", "running"]
    assert directory.get("a") is None


def test_of_calls_that_never_end_the_oldest_are_forgotten() -> None:
    directory = CallDirectory(keep_open=2)
    for call in ("a", "b", "c"):
        directory.reach(call, CallState.STREAMING)
    assert ids(directory) == ["b", "c"]


def test_only_the_first_problems_are_kept() -> None:
    record = CallRecord("v3:a")
    for number in range(100):
        record.note_problem(str(number))
    assert record.problems == [str(number) for number in range(20)]


def test_a_record_describes_itself_in_json_ready_values_and_in_the_order_of_life() -> None:
    directory = CallDirectory(clock=Clock())
    record = directory.reach("v3:a", CallState.ANSWERED)
    directory.reach("v3:a", CallState.INITIATED)
    record.direction = "incoming"
    record.note_problem("one")
    report: dict[str, Any] = {"frames": 0}
    record.media = lambda: report
    expected: dict[str, Any] = {
        "call_control_id": "v3:a",
        "state": "answered",
        "direction": "incoming",
        "reached": {"initiated": 2.0, "answered": 1.0},
        "hangup_cause": None,
        "problems": ["one"],
        "media": {"frames": 0},
    }
    assert record.describe() == expected
    assert list(record.describe()["reached"]) == ["initiated", "answered"]
    report["frames"] = 50
    assert record.describe()["media"] == {"frames": 50}


def test_a_description_is_a_copy() -> None:
    record = CallRecord("v3:a")
    record.describe()["problems"].append("not ours")
    assert record.problems == []
    assert record.describe()["media"] is None
