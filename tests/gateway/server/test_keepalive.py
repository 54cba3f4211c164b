from hypothesis import given
from hypothesis import strategies as st

from gateway.server.keepalive import KeepAlive, Verdict

INTERVAL = 20.0
TIMEOUT = 10.0


def watch(*, now: float = 0.0) -> KeepAlive:
    return KeepAlive(INTERVAL, TIMEOUT, now=now)


def test_a_new_socket_is_alive_for_one_interval() -> None:
    keepalive = watch(now=5.0)
    assert keepalive.deadline() == 25.0
    assert keepalive.check(now=24.9) is Verdict.ALIVE


def test_a_socket_that_speaks_is_never_asked() -> None:
    keepalive = watch()
    for now in range(1000):
        keepalive.last_heard = float(now)
        assert keepalive.check(now=now + INTERVAL / 2) is Verdict.ALIVE


def test_silence_is_asked_about_once_and_then_is_death() -> None:
    keepalive = watch()
    assert keepalive.check(now=20.0) is Verdict.ASK
    assert keepalive.deadline() == 30.0
    assert keepalive.check(now=25.0) is Verdict.ALIVE
    assert keepalive.check(now=29.9) is Verdict.ALIVE
    assert keepalive.check(now=30.0) is Verdict.DEAD


def test_the_time_to_answer_begins_with_the_question_and_not_when_it_was_due() -> None:
    keepalive = watch()
    assert keepalive.check(now=100.0) is Verdict.ASK
    assert keepalive.deadline() == 110.0
    assert keepalive.check(now=109.9) is Verdict.ALIVE


def test_anything_heard_after_the_question_is_an_answer() -> None:
    keepalive = watch()
    assert keepalive.check(now=20.0) is Verdict.ASK
    keepalive.last_heard = 29.0
    assert keepalive.deadline() == 49.0
    assert keepalive.check(now=31.0) is Verdict.ALIVE
    assert keepalive.check(now=49.0) is Verdict.ASK
    assert keepalive.check(now=59.0) is Verdict.DEAD


def test_an_answer_in_the_same_instant_counts() -> None:
    keepalive = watch()
    assert keepalive.check(now=20.0) is Verdict.ASK
    keepalive.last_heard = 20.0
    assert keepalive.check(now=30.0) is Verdict.ALIVE


@given(st.lists(st.floats(min_value=0.01, max_value=100.0), max_size=20))
def test_checked_at_its_deadlines_a_socket_is_dead_after_interval_and_timeout(gaps: list[float]) -> None:
    """Whenever the other end speaks last, its death shows at the same time after that, by few checks."""
    keepalive = watch()
    heard = 0.0
    for gap in gaps:
        asked = False
        while keepalive.deadline() <= heard + gap:
            deadline = keepalive.deadline()
            verdict = keepalive.check(now=deadline)
            asked = asked or verdict is Verdict.ASK
            if verdict is Verdict.DEAD:
                assert asked
                assert abs(deadline - (heard + INTERVAL + TIMEOUT)) < 1e-6
                return
        heard += gap
        keepalive.last_heard = heard
    assert all(gap <= INTERVAL + TIMEOUT + 1e-6 for gap in gaps)
