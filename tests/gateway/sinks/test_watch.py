"""Who is told when the event loop stood still."""

import gc

from gateway.sinks.watch import StallWatch
from tests.fakes import FakeClock


class Listener:
    def __init__(self) -> None:
        self.stalls = 0

    def loop_stalled(self) -> None:
        self.stalls += 1


def test_a_late_timer_is_a_stall_and_everyone_watched_is_told() -> None:
    clock = FakeClock()
    first, second = Listener(), Listener()
    with StallWatch(clock.call_later, clock, limit=0.01) as watch:
        watch.add(first)
        watch.add(second)
        clock.run_until(101.0)
        assert (watch.stalls, first.stalls) == (0, 0)
        clock.late = 0.03
        clock.run_until(101.09)
        clock.late = 0.0
        clock.run_until(102.0)
        watch.discard(second)
        clock.late = 0.02
        clock.run_until(102.08)
    assert (first.stalls, second.stalls) == (2, 1)
    assert watch.describe() == {"loop_stalls": 2, "loop_stall_longest": 0.03}


def test_it_looks_only_while_something_is_watched_and_keeps_nobody_alive() -> None:
    clock = FakeClock()
    with StallWatch(clock.call_later, clock, limit=0.01) as watch:
        assert clock.pending == []
        listener = Listener()
        watch.add(listener)
        assert len(clock.pending) == 1
        del listener
        gc.collect()
        clock.run_until(101.0)
        assert clock.pending == []
        kept = Listener()
        watch.add(kept)
        assert len(clock.pending) == 1
    assert clock.pending == []
