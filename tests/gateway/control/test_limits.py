import itertools

from hypothesis import given
from hypothesis import strategies as st

from gateway.control.limits import RateGate, SlidingWindow


def test_a_window_may_be_filled_at_once_and_then_moves_on() -> None:
    window = SlidingWindow(3, 5.0)
    assert [window.reserve(now=now, deadline=100.0) for now in (0.0, 0.0, 1.0)] == [0.0, 0.0, 1.0]
    assert [window.reserve(now=2.0, deadline=100.0) for _ in range(4)] == [5.0, 5.0, 6.0, 10.0]
    assert window.reserve(now=30.0, deadline=100.0) == 30.0


def test_a_place_beyond_the_deadline_is_not_taken() -> None:
    window = SlidingWindow(1, 5.0)
    assert window.reserve(now=0.0, deadline=10.0) == 0.0
    assert window.reserve(now=1.0, deadline=5.0) is None
    assert window.reserve(now=1.0, deadline=5.1) == 5.0


@given(st.lists(st.floats(0, 2), max_size=100), st.integers(1, 5))
def test_no_window_ever_has_more_than_its_limit(gaps: list[float], limit: int) -> None:
    window = SlidingWindow(limit, 5.0)
    places = [window.reserve(now=now, deadline=1e9) for now in itertools.accumulate(gaps)]
    taken = sorted(place for place in places if place is not None)
    assert len(taken) == len(gaps)
    for earlier, later in zip(taken, taken[limit:], strict=False):
        assert later - earlier >= 5.0 - 1e-9


def test_a_gate_that_an_answer_closed_opens_in_its_time_and_only_for_its_kind() -> None:
    gate = RateGate()
    assert gate.opens("dial", now=1.0) == 1.0
    gate.close("dial", until=5.0)
    gate.close("dial", until=3.0)
    assert gate.opens("dial", now=1.0) == 5.0
    assert gate.opens("hangup", now=1.0) == 1.0
    assert gate.opens("dial", now=6.0) == 6.0
