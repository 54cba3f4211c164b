"""When the event loop counts as overloaded, and when no more."""

import pytest

from gateway.server.load import LoopLag, LoopWatch
from tests.fakes import FakeClock
from tests.gateway.control.conftest import Log

LIMIT = 0.04


def lag(*late: float) -> LoopLag:
    made = LoopLag(LIMIT)
    for each in late:
        made.add(each)
    return made


def test_a_loop_that_keeps_up_is_not_overloaded() -> None:
    assert not lag(*[0.002] * 100).overloaded
    assert not lag(*[LIMIT] * 100).overloaded


@pytest.mark.parametrize("stall", [0.2, 3.0])
def test_a_single_stall_says_nothing_however_long(stall: float) -> None:
    assert not lag(stall).overloaded
    assert not lag(*[0.001] * 20, stall, *[0.001] * 20).overloaded


def test_stalls_now_and_then_say_nothing_either() -> None:
    assert not lag(*[0.2, 0.001] * 50).overloaded


def test_more_than_half_of_the_looks_of_two_seconds_have_to_be_late() -> None:
    assert not lag(*[0.001] * 20, *[0.05] * 10).overloaded
    assert lag(*[0.001] * 20, *[0.05] * 11).overloaded
    assert not lag(*[0.05] * 10).overloaded
    assert lag(*[0.05] * 11).overloaded


def test_it_is_over_when_nine_looks_of_ten_were_below_half_the_limit() -> None:
    overloaded = [0.05] * 20
    assert lag(*overloaded, *[0.001] * 17).overloaded
    assert not lag(*overloaded, *[0.001] * 18).overloaded
    assert not lag(*overloaded, *[0.001] * 9, 0.3, 0.3, *[0.001] * 9).overloaded
    assert lag(*overloaded, *[LIMIT * 0.6] * 100).overloaded  # would be fine for one that is not overloaded


def test_each_change_is_told_once() -> None:
    made = LoopLag(LIMIT)
    changes = [made.add(late) for late in [0.05] * 40 + [0.0] * 40]
    assert [number for number, changed in enumerate(changes) if changed] == [10, 57]


def test_the_median_is_that_of_the_last_looks() -> None:
    assert lag().median == 0.0
    assert lag(0.3).median == 0.3
    assert lag(*[0.5] * 30, *[0.01] * 11).median == 0.01


def test_late_timers_are_seen_logged_and_counted(log: Log) -> None:
    clock = FakeClock()
    with LoopWatch(clock.call_later, clock, limit=LIMIT, log=log.logger) as watch:
        clock.run_until(105.0)
        assert not watch.overloaded
        clock.late = 0.1
        clock.run_until(110.0)
        assert watch.overloaded
        assert watch.describe() == {"loop_overloaded": 1, "loop_overloads": 1}
        clock.late = 0.0
        clock.run_until(115.0)
        assert watch.describe() == {"loop_overloaded": 0, "loop_overloads": 1}
    assert [(line["event"], line["log_level"], line["limit_ms"]) for line in log.lines] == [
        ("event loop is late, new calls are refused", "warning", 40.0),
        ("event loop keeps up again", "info", 40.0),
    ]
    assert log.lines[0]["lag_ms"] == 100.0
    assert clock.pending == []


def test_without_a_limit_nobody_looks(log: Log) -> None:
    clock = FakeClock()
    with LoopWatch(clock.call_later, clock, limit=0.0, log=log.logger) as watch:
        assert clock.pending == []
        assert not watch.overloaded
