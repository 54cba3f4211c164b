from dataclasses import replace
from typing import Any

import pytest

from gateway.bench.tally import Tally
from gateway.bench.verdict import Limits, doubts, failures
from tests.gateway.bench.levels import level


def test_a_good_level_is_not_complained_of() -> None:
    assert doubts(level(), Limits()) == []
    assert failures(level(), Limits()) == []


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"late": 0.006}, "the load was late: p99 6.0 ms behind its deadlines, limit 5 ms"),
        ({"cpu": 0.95}, "the load had no CPU left: 95% of a core, limit 90%"),
    ],
)
def test_a_load_that_was_not_in_order_is_doubted_and_not_the_far_side(fields: dict[str, Any], complaint: str) -> None:
    assert doubts(level(**fields), Limits()) == [complaint]
    assert failures(level(**fields), Limits()) == []


@pytest.mark.parametrize(
    ("limits", "fields", "complaint"),
    [
        (Limits(), {"trip": 0.021}, "p99 is 21.00 ms, limit 20 ms"),
        (Limits(max_p50_ms=0.5), {}, "p50 is 1.00 ms, limit 0.5 ms"),
        (Limits(), {"lost": 2}, "2 of 1000 were lost (0.200%), limit 0.000%"),
        (Limits(max_server_cpu=0.4), {}, "the server's CPU 0.50 of a core, limit 0.4"),
        (Limits(max_growth_mib=7), {}, "the server's memory grew by 8.00 MiB, limit 7"),
        (Limits(), {"server_gone": True}, "the server's process has ended"),
        (Limits(max_loss=1), {"lost": 1000}, "nothing was answered that could be recognised: see --measure"),
    ],
)
def test_each_limit_is_looked_at(limits: Limits, fields: dict[str, Any], complaint: str) -> None:
    assert failures(level(**fields), limits) == [complaint]


def test_a_limit_may_be_wide() -> None:
    wide = Limits(max_p99_ms=30, max_loss=0.01, max_server_cpu=0.6, max_growth_mib=20)
    assert failures(level(trip=0.021, lost=2), wide) == []


def test_calls_that_came_to_nothing_count_with_their_reasons() -> None:
    one = level()
    one.tally.refused["refused: HTTP/1.1 503"] += 2
    one.tally.closed["closed by the far side with 1013"] += 1
    (complaint,) = failures(one, Limits())
    assert complaint.startswith("3 calls were refused or closed (refused: HTTP/1.1 503: 2, closed by")
    assert failures(one, Limits(max_failed=3)) == []


def test_where_loss_is_not_known_there_is_no_limit_to_it() -> None:
    assert failures(level(lost=10, tells_loss=False), Limits()) == []


def test_memory_that_stays_has_not_grown_though_it_was_filled_at_first() -> None:
    moments = level().moments
    flat = [replace(moment, server_memory=10**8) for moment in moments[1:]]
    assert level(moments=[moments[0], *flat]).growth_mib == 0
    assert level(moments=[]).growth_mib is None


def test_tallies_add_up() -> None:
    first, second = Tally(sent=1, backlog=7), Tally(sent=2, ended=1, backlog=5)
    second.round_trips.add([0.5])
    second.closed["gone"] += 1
    first.add(second)
    assert (first.sent, first.ended, first.backlog, first.closed["gone"], len(first.round_trips)) == (3, 1, 7, 1, 1)
