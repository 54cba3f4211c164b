"""Whose turn it is: everyone's once an interval, never everyone's at once."""

import random
from collections import Counter

from gateway.sinks.recorder.schedule import FlushSchedule


def schedule() -> FlushSchedule[int]:
    return FlushSchedule(interval=0.8, tick=0.02, now=100.0)


def test_everyone_is_due_once_an_interval() -> None:
    turns = schedule()
    for item in range(7):
        turns.add(item)
    last: dict[int, float] = {}
    for step in range(1, 400):
        now = 100.0 + step * 0.02 + 0.001
        for item in turns.due(now=now):
            assert now - last.get(item, now - 0.8) <= 0.82
            assert now - last.get(item, now - 0.8) >= 0.78
            last[item] = now
    assert set(last) == set(range(7))
    assert min(last.values()) > 100.0 + 399 * 0.02 - 0.82


def test_two_hundred_are_spread_evenly() -> None:
    turns = schedule()
    for item in range(200):
        turns.add(item)
    batches = [turns.due(now=100.001 + step * 0.02) for step in range(1, 41)]
    assert [len(batch) for batch in batches] == [5] * 40
    assert Counter(item for batch in batches for item in batch) == dict.fromkeys(range(200), 1)


def test_who_leaves_makes_room_for_who_comes() -> None:
    turns = schedule()
    for item in range(200):
        turns.add(item)
    gone = random.Random(1).sample(range(200), 100)
    for item in gone:
        turns.remove(item)
    for item in range(200, 300):
        turns.add(item)
    batches = [turns.due(now=100.001 + step * 0.02) for step in range(1, 41)]
    assert max(len(batch) for batch in batches) == 5
    assert not set(gone) & {item for batch in batches for item in batch}


def test_after_a_stall_everyone_is_due_once() -> None:
    turns = schedule()
    for item in range(60):
        turns.add(item)
    assert sorted(turns.due(now=160.0)) == list(range(60))
    assert turns.due(now=160.0) == []


def test_a_turn_is_not_lost_between_uneven_ticks() -> None:
    turns = schedule()
    for item in range(40):
        turns.add(item)
    rng, now, counts = random.Random(2), 100.0, Counter[int]()
    while now < 108.0:
        now += rng.uniform(0.001, 0.09)
        counts.update(turns.due(now=now))
    assert all(9 <= counts[item] <= 11 for item in range(40))
    assert sum(counts.values()) >= 400


def test_removing_a_stranger_does_nothing() -> None:
    schedule().remove(5)
