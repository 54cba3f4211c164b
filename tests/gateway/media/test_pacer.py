import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.media.pacer import SLOT_SECONDS, Pacer
from tests.fakes import FakeClock

LATEST = SLOT_SECONDS + 0.001 + 1e-9


class Sleepers:
    """Wakes that note when they came."""

    def __init__(self, clock: FakeClock) -> None:
        self.pacer = Pacer(clock.call_later, clock)
        self.woken: list[tuple[str, float]] = []

    def sleep_until(self, deadline: float, name: str = "") -> None:
        self.pacer.wake_at(deadline, lambda now: self.woken.append((name, now)))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.woken]


@given(st.lists(st.floats(0.0, 3.0), max_size=30), st.floats(0.0, 1e5), st.floats(0.0, 1.0))
def test_each_is_woken_once_after_its_deadline_and_at_most_a_slot_and_a_millisecond_late(
    delays: list[float], start: float, pause: float
) -> None:
    clock = FakeClock(start)
    sleepers = Sleepers(clock)
    deadlines = {}
    for number, delay in enumerate(delays):
        if number == len(delays) // 2:
            clock.run_until(start + pause)  # the others come while some sleep already
        deadlines[str(number)] = max(clock.now, start + delay)
        sleepers.sleep_until(start + delay, str(number))
    clock.run_until(start + 5.0)
    assert sorted(sleepers.names) == sorted(deadlines)
    for name, now in sleepers.woken:
        assert deadlines[name] <= now <= deadlines[name] + LATEST
    assert clock.pending == []


def test_a_deadline_just_behind_a_slot_is_not_met_with_that_slot() -> None:
    for slot in range(1, 1000):
        deadline = math.nextafter(slot * SLOT_SECONDS, math.inf)
        clock = FakeClock(0.0)
        sleepers = Sleepers(clock)
        sleepers.sleep_until(deadline)
        clock.run_until(slot * SLOT_SECONDS)
        assert sleepers.woken == []
        clock.run_until(deadline + LATEST)
        assert len(sleepers.woken) == 1


def test_slots_are_woken_in_the_order_of_time_and_within_a_slot_in_the_order_of_asking() -> None:
    clock = FakeClock()
    sleepers = Sleepers(clock)
    for delay, name in ((0.0312, "c"), (0.0111, "a"), (0.0511, "e"), (0.0121, "b"), (0.0311, "d")):
        sleepers.sleep_until(clock.now + delay, name)
    clock.run_until(clock.now + 1)
    assert sleepers.names == ["a", "b", "c", "d", "e"]


def test_an_earlier_deadline_re_arms_the_one_timer() -> None:
    clock = FakeClock()
    sleepers = Sleepers(clock)
    sleepers.sleep_until(101.0, "later")
    sleepers.sleep_until(100.5, "sooner")
    (timer,) = clock.pending
    assert timer.at == pytest.approx(100.5)
    clock.run_until(100.51)
    assert sleepers.names == ["sooner"]
    (timer,) = clock.pending
    assert timer.at == pytest.approx(101.0)


def test_the_timer_waits_for_whole_milliseconds_and_at_least_one() -> None:
    clock = FakeClock(100.0003)
    sleepers = Sleepers(clock)
    sleepers.sleep_until(99.0)
    (timer,) = clock.pending
    assert timer.at - clock.now == pytest.approx(0.001)
    sleepers.pacer.close()
    sleepers.sleep_until(100.05)
    (timer,) = clock.pending
    assert timer.at - clock.now == pytest.approx(0.050)  # 49.7 ms, rounded up


def test_a_wake_may_ask_to_be_woken_again() -> None:
    clock = FakeClock()
    pacer = Pacer(clock.call_later, clock)
    woken: list[float] = []

    def wake(now: float) -> None:
        woken.append(now)
        if len(woken) < 50:
            pacer.wake_at(100.0 + 0.02 * len(woken), wake)

    pacer.wake_at(100.0, wake)
    clock.run_until(102.0)
    assert len(woken) == 50
    for number, now in enumerate(woken):
        assert 100.0 + 0.02 * number <= now + 1e-9
        assert now <= 100.0 + 0.02 * number + LATEST


def test_all_that_became_due_while_the_loop_stood_still_are_woken_in_one_go() -> None:
    clock = FakeClock(late=0.3)
    sleepers = Sleepers(clock)
    for number in range(10):
        sleepers.sleep_until(100.0 + 0.02 * number, str(number))
    clock.run_until(100.35)
    assert sleepers.names == [str(number) for number in range(10)]
    assert len({now for _, now in sleepers.woken}) == 1


def test_nobody_is_woken_once_the_pacer_is_closed() -> None:
    clock = FakeClock()
    sleepers = Sleepers(clock)
    sleepers.sleep_until(100.1)
    sleepers.pacer.close()
    sleepers.pacer.close()
    clock.run_until(101.0)
    assert sleepers.woken == []
    assert clock.pending == []


def test_calls_that_begin_together_get_different_places_in_the_20_ms() -> None:
    clock = FakeClock()
    pacer = Pacer(clock.call_later, clock)
    phases = [pacer.phase() for _ in range(8)]
    assert len(set(phases)) == 4
    assert phases[:4] == phases[4:]
    assert all(0 < phase < 0.02 for phase in phases)
    slots = {round((phase + 0.005 / 2) / 0.005) for phase in phases}
    assert len(slots) == 4
