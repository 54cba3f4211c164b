"""When a sink is opened again."""

from gateway.sinks.delivery import Restart
from gateway.sinks.restarts import Restarts


def test_without_a_rule_there_is_no_restart() -> None:
    restarts = Restarts(None)
    assert not restarts.opened(now=0.0)
    assert restarts.failed(now=1000.0) is None


def test_the_waits_grow_until_the_attempts_are_used_up() -> None:
    restarts = Restarts(Restart(first=1, longest=3, attempts=4))
    assert [restarts.failed(now=0.0) for _ in range(6)] == [1, 2, 3, 3, None, None]


def test_a_life_that_was_long_enough_forgets_the_attempts_before_it_and_no_other_does() -> None:
    restarts = Restarts(Restart(first=1, attempts=2, healthy=60))
    assert not restarts.opened(now=0.0)
    assert restarts.failed(now=1.0) == 1
    assert restarts.opened(now=2.0)
    assert restarts.failed(now=61.9) == 2
    assert restarts.opened(now=64.0)
    assert restarts.failed(now=124.0) == 1
    assert restarts.failed(now=1000.0) == 2  # it was not open in between
    assert restarts.failed(now=1000.0) is None
    assert restarts.count == 2
