"""The log of everything."""

from gateway.simulator.clock import Clock
from gateway.simulator.timeline import CallTimeline, Timeline
from tests.fakes import FakeClock


def make() -> tuple[FakeClock, Timeline]:
    fake = FakeClock()
    return fake, Timeline(Clock(fake, lambda: 900.0 + fake.now, fake.call_later))


def test_what_a_call_notes_stands_in_both_logs_with_one_number() -> None:
    fake, timeline = make()
    call, other = CallTimeline(timeline, "v3:a"), CallTimeline(timeline, "v3:b")
    call.note("call", state="parked")
    fake.run_until(101.5)
    other.note("call", state="parked")
    timeline.note("command", status=401)
    assert call.entries() == [
        {
            "number": 1,
            "time": "1970-01-01T00:16:40.000000Z",
            "kind": "call",
            "call_control_id": "v3:a",
            "state": "parked",
        }
    ]
    assert [(entry["number"], entry["time"][17:21]) for entry in timeline.entries()] == [
        (1, "40.0"),
        (2, "41.5"),
        (3, "41.5"),
    ]


def test_it_can_be_read_on_from_a_number_and_by_kind() -> None:
    _, timeline = make()
    for kind in ("call", "webhook", "call"):
        timeline.note(kind)
    assert [entry["number"] for entry in timeline.entries(after=1)] == [2, 3]
    assert [entry["number"] for entry in timeline.entries(kind="call")] == [1, 3]


def test_it_is_bounded_and_tells_what_it_dropped() -> None:
    _, timeline = make()
    call = CallTimeline(timeline, "v3:a")
    for _ in range(20_003):
        call.note("media")
    assert (len(timeline.entries()), timeline.dropped) == (20_000, 3)
    assert (len(call.entries()), call.dropped) == (5_000, 15_003)
    assert call.entries()[-1]["number"] == timeline.entries()[-1]["number"] == 20_003
