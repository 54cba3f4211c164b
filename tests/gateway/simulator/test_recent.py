"""Commands that came twice."""

from gateway.simulator.recent import RecentCommands


def test_a_repetition_within_a_minute_gets_the_first_answer() -> None:
    recent = RecentCommands()
    recent.remember("a", {"result": "ok"}, now=1000.0)
    assert recent.result("a", now=1059.9) == {"result": "ok"}
    assert recent.result("a", now=1060.0) is None
    assert recent.result("b", now=1000.0) is None


def test_a_command_without_an_id_is_never_a_repetition() -> None:
    recent = RecentCommands()
    recent.remember(None, {"result": "ok"}, now=0.0)
    assert recent.result(None, now=0.0) is None


def test_of_too_many_the_oldest_is_forgotten() -> None:
    recent = RecentCommands()
    for number in range(1001):
        recent.remember(str(number), {"number": number}, now=0.0)
    assert recent.result("0", now=0.0) is None
    assert recent.result("1", now=0.0) == {"number": 1}
    assert recent.result("1000", now=0.0) == {"number": 1000}


def test_an_id_that_comes_again_later_counts_anew() -> None:
    recent = RecentCommands()
    recent.remember("a", {"call": 1}, now=0.0)
    recent.remember("a", {"call": 2}, now=100.0)
    assert recent.result("a", now=159.0) == {"call": 2}
