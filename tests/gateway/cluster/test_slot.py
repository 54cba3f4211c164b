from pathlib import Path

import pytest

from gateway.cluster.slot import WorkerSlot


def slot(index: int, count: int) -> WorkerSlot:
    return WorkerSlot(index, count, Path("/run/x"), b"key")


@pytest.mark.parametrize(("limit", "count", "share"), [(500, 1, 500), (500, 2, 250), (500, 3, 167), (1, 4, 1)])
def test_a_limit_is_divided_and_rounded_up(limit: int, count: int, share: int) -> None:
    assert slot(0, count).share(limit) == share


def test_every_worker_leads_a_call_to_the_same_one_and_calls_are_spread() -> None:
    ids = [f"v3:{number}" for number in range(3000)]
    led = [slot(0, 3).registrar(one) for one in ids]
    assert led == [slot(2, 3).registrar(one) for one in ids]
    assert all(900 < led.count(worker) < 1100 for worker in range(3))


def test_who_is_alone_has_every_call_and_a_key_of_its_own() -> None:
    one = WorkerSlot.alone()
    assert (one.index, one.count, one.registrar("v3:a"), one.share(7)) == (0, 1, 0, 7)
    assert one.admission_key != WorkerSlot.alone().admission_key


def test_the_sockets_of_two_workers_have_names_of_their_own() -> None:
    one = slot(0, 2)
    assert len({one.http_path(0), one.http_path(1), one.media_path(0), one.media_path(1)}) == 4
