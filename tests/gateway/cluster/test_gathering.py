from pathlib import Path

import aiohttp

from gateway.cluster.gathering import added_up
from gateway.lifecycle import HungUp, Initiated
from tests.gateway.cluster.sides import call_of, running
from tests.gateway.control.conftest import Log
from tests.gateway.control.conftest import log as log

OURS, THEIRS, GONE = call_of(0), call_of(1), call_of(1, beside=call_of(1))


def test_counters_add_up_whatever_they_are() -> None:
    first = {"calls": 1, "refused": {"busy": 2, "store": 0}, "store": {"failure": None}, "of_one": 5, "ok": True}
    second = {"calls": 2.5, "refused": {"busy": 1}, "store": {"failure": "disk full"}, "ok": True}
    assert added_up([first, second]) == {
        "calls": 3.5,
        "refused": {"busy": 3, "store": 0},
        "store": {"failure": "disk full"},
        "of_one": 5,
        "ok": True,
    }
    assert added_up([]) == {}


async def test_every_worker_shows_the_calls_and_counters_of_all(tmp_path: Path, log: Log) -> None:
    async with running(tmp_path, log) as sides:
        sides[0].directory.tell(OURS, Initiated("incoming"))
        sides[1].directory.tell(THEIRS, Initiated("outgoing"))
        sides[1].directory.tell(GONE, Initiated("incoming"), HungUp("normal_clearing"))
        for side in sides:
            _, page = await side.ask("GET", "/v1/calls")
            assert {call["call_control_id"] for call in page["calls"]} == {OURS, THEIRS, GONE}
            assert (page["workers_missing"], page["counters"]["calls_running"]) == ([], 2)
            assert page["counters"]["sinks"] == {"written": 1}
            _, live = await side.ask("GET", "/v1/calls?live=true&x=%0d%0a%23%20y")
            assert {call["call_control_id"] for call in live["calls"]} == {OURS, THEIRS}
            assert (await side.ask("GET", "/v1/calls?limit=x%0d%0ay"))[0] == 400


async def test_pages_of_all_workers_follow_each_other(tmp_path: Path, log: Log) -> None:
    async with running(tmp_path, log) as sides:
        calls = [
            call for side in sides for call in (f"v3:{number}" for number in range(30)) if side.owners.is_ours(call)
        ]
        for call in calls:
            next(side for side in sides if side.owners.is_ours(call)).directory.tell(call, Initiated("incoming"))
        seen: list[str] = []
        path = "/v1/calls?limit=7"
        while path:
            _, page = await sides[0].ask("GET", path)
            seen += [call["call_control_id"] for call in page["calls"]]
            path = f"/v1/calls?limit=7&cursor={page['next_cursor']}" if page["next_cursor"] else ""
        assert sorted(seen) == sorted(calls)


async def test_a_worker_that_is_not_there_is_named_and_its_calls_are_shown_as_they_were_stored(
    tmp_path: Path, log: Log
) -> None:
    async with running(tmp_path, log) as sides:
        sides[0].directory.tell(OURS, Initiated("incoming"))
        sides[1].directory.tell(THEIRS, Initiated("incoming"))
        await sides[1].stop()
        _, page = await sides[0].ask("GET", "/v1/calls")
        assert {(call["call_control_id"], call["state"]) for call in page["calls"]} == {
            (OURS, "ringing"),
            (THEIRS, "ringing"),
        }
        assert (page["workers_missing"], page["counters"]["calls_running"]) == ([1], 1)
        assert await sides[0].ask("GET", "/readyz") == (200, {"status": "ready", "workers_missing": [1]})
        await sides[1].start()


async def test_ready_are_all_or_none(tmp_path: Path, log: Log) -> None:
    async with running(tmp_path, log) as sides:
        assert await sides[0].ask("GET", "/readyz") == (200, {"status": "ready", "workers_missing": []})
        sides[1].ready = False
        for side in sides:
            status, problem = await side.ask("GET", "/readyz")
            assert (status, problem["detail"]) == (503, "worker 1: not ready for new calls: it is full")
            async with aiohttp.ClientSession() as session, session.get(f"{side.url}/healthz") as answer:
                assert answer.status == 200
