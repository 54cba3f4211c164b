import asyncio
from pathlib import Path

from gateway.cluster.owners import Owners
from gateway.cluster.slot import WorkerSlot
from tests.gateway.cluster.sides import call_of


def owners(index: int = 0, *, workers: int = 2, max_calls: int = 100) -> Owners:
    return Owners(WorkerSlot(index, workers, Path(), b""), max_calls=max_calls)


def no() -> bool:
    return False


def yes() -> bool:
    return True


OURS, THEIRS = call_of(0), call_of(1)


async def test_a_call_belongs_where_its_id_leads_and_the_way_is_the_same_everywhere() -> None:
    calls = [f"v3:{number}" for number in range(1000)]
    shares = [[call for call in calls if owners(index, workers=4).is_ours(call)] for index in range(4)]
    assert sorted(call for share in shares for call in share) == sorted(calls)
    assert all(150 < len(share) < 350 for share in shares)
    assert [owners(index).owner_of("v3:\ud800") for index in (0, 1)] == [owners(0).owner_of("v3:\ud800")] * 2


async def test_what_begins_where_the_id_leads_is_not_announced() -> None:
    calls = owners()
    assert calls.tell(OURS, streams=no)
    assert (calls.begun, calls.wake.is_set(), calls.knows(OURS)) == ({}, False, False)


async def test_what_begins_elsewhere_is_announced_once() -> None:
    calls = owners()
    assert calls.tell(THEIRS, streams=no)
    assert (list(calls.begun), calls.wake.is_set(), calls.owner_of(THEIRS)) == ([THEIRS], True, 0)
    told = asyncio.ensure_future(calls.announced(THEIRS, timeout=5.0))
    await asyncio.sleep(0)
    assert not told.done()
    calls.begun.pop(THEIRS).set_result(None)
    await told
    assert calls.tell(THEIRS, streams=no)
    assert calls.begun == {}
    await calls.announced(THEIRS, timeout=5.0)


async def test_nobody_waits_for_an_announcement_for_ever() -> None:
    calls = owners()
    calls.tell(THEIRS, streams=no)
    await calls.announced(THEIRS, timeout=0.01)
    assert not calls.begun[THEIRS].done()


async def test_who_waits_for_word_of_a_call_hears_it_at_once() -> None:
    calls = owners()
    waiting = [asyncio.ensure_future(calls.settled(OURS, timeout=5.0)) for _ in range(2)]
    await asyncio.sleep(0)
    calls.moved(OURS, 1, given=False)
    assert await asyncio.gather(*waiting) == [1, 1]
    assert await calls.settled(OURS, timeout=0.0) == 1


async def test_nobody_waits_for_word_of_a_call_that_has_come_here_meanwhile() -> None:
    calls = owners()
    waiting = asyncio.ensure_future(calls.settled(OURS, timeout=5.0))
    await asyncio.sleep(0)
    assert calls.tell(OURS, streams=no)
    assert await waiting == 0


async def test_where_nobody_speaks_up_the_call_belongs_where_its_id_leads() -> None:
    assert await owners().settled(OURS, timeout=0.01) == 0


async def test_what_was_given_away_is_not_taken_back_by_what_is_still_told_of_it() -> None:
    calls = owners()
    calls.moved(OURS, 1, given=True)
    assert not calls.tell(OURS, streams=no)
    assert (calls.owner_of(OURS), calls.begun, calls.late, calls.wake.is_set()) == (1, {}, {OURS}, True)


async def test_what_was_given_away_comes_back_to_where_a_media_socket_opens() -> None:
    calls = owners()
    calls.moved(OURS, 1, given=True)
    assert calls.tell(OURS, streams=yes)
    assert (calls.owner_of(OURS), list(calls.begun), calls.late) == (0, [OURS], set())


async def test_a_call_that_others_have_is_taken_over_where_it_begins_anew() -> None:
    calls = owners()
    calls.moved(OURS, 1, given=False)  # its media socket comes in here after that
    assert calls.tell(OURS, streams=no)
    assert (calls.owner_of(OURS), list(calls.begun)) == (0, [OURS])


async def test_owners_of_before_are_known_again_and_the_oldest_are_forgotten() -> None:
    calls = owners(max_calls=2)
    third = call_of(1, beside=THEIRS)
    calls.restore([(OURS, 1), (THEIRS, 0), (call_of(0, beside=OURS), 0), (third, 0)])
    assert [calls.owner_of(call) for call in (OURS, THEIRS, third)] == [0, 0, 0]
    assert calls.owner_of(OURS) == calls.slot.registrar(OURS)
