import asyncio
import random
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from gateway.lifecycle import MediaSocket, SocketStage, StreamRequested
from tests.gateway.cluster.sides import Side, call_of, fake_telnyx, running, until
from tests.gateway.control.conftest import Log
from tests.gateway.control.conftest import log as log

DIAL = {"to": "+15550100001", "from": "+15550100002", "connection_id": "1"}


async def test_a_webhook_is_handled_by_the_worker_that_the_call_leads_to_wherever_it_comes_in(
    tmp_path: Path, log: Log
) -> None:
    async with running(tmp_path, log) as sides:
        for worker in (0, 1):
            call = call_of(worker)
            for side, event, payload in (
                (sides[0], "call.initiated", {"direction": "incoming"}),
                (sides[1], "call.hangup", {"hangup_cause": "normal_clearing"}),
            ):
                assert await side.post(event, call, f"{call} {event}", **payload) == 200
            await until(partial(_told, sides[worker].hung_up))
            assert sides[1 - worker].directory.get(call) is None
            assert [await side.state(call) for side in sides] == ["ended", "ended"]
        assert [side.hung_up for side in sides] == [[call_of(0)], [call_of(1)]]


async def _told(what: Sequence[object]) -> bool:
    return bool(what)


async def test_a_duplicate_at_the_other_worker_acts_once(tmp_path: Path, log: Log) -> None:
    call = call_of(1)
    async with fake_telnyx() as telnyx, running(tmp_path, log, telnyx_base_url=telnyx.url) as sides:
        for side in (*sides, *sides):
            assert await side.post("call.initiated", call, "one", direction="incoming") == 200
        await until(lambda: _told(telnyx.actions(call)))
        _, answer = await sides[0].ask("GET", "/v1/calls")
        assert telnyx.actions(call) == ["answer"]
        counters = answer["counters"]
        assert (counters["webhooks_verified"], counters["webhooks_duplicated"], counters["webhooks_passed"]) == (
            4,
            3,
            2,
        )


async def test_an_event_of_no_call_is_known_again_at_the_other_worker(tmp_path: Path, log: Log) -> None:
    async with running(tmp_path, log) as sides:
        for side in (*sides, *sides):
            assert await side.post("conference.created", None, "one") == 200
        _, answer = await sides[0].ask("GET", "/v1/calls")
        assert answer["counters"]["webhooks_duplicated"] == 3


async def test_a_webhook_of_a_call_that_is_being_dialled_waits_for_the_worker_that_dials(
    tmp_path: Path, log: Log
) -> None:
    async with fake_telnyx() as telnyx, running(tmp_path, log, telnyx_base_url=telnyx.url) as sides:
        telnyx.dialled = call = call_of(1)
        telnyx.answer_dial.clear()
        dialling = asyncio.ensure_future(sides[0].ask("POST", "/v2/calls", DIAL))
        await until(lambda: _told(telnyx.actions("")))
        ringing = asyncio.ensure_future(sides[1].post("call.initiated", call, "one", direction="outgoing"))
        await asyncio.sleep(0.1)
        assert not ringing.done()
        telnyx.answer_dial.set()
        assert (await ringing, (await dialling)[0]) == (200, 200)
        assert await sides[1].post("call.answered", call, "two") == 200
        await until(lambda: _told(telnyx.actions(call)))
        assert telnyx.actions(call) == ["streaming_start"]
        assert [side.directory.get(call) is not None for side in sides] == [True, False]


async def test_a_call_that_is_announced_too_late_moves_with_all_that_was_told_of_it(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.cluster.inbox._SETTLING", 0.05)
    async with fake_telnyx() as telnyx, running(tmp_path, log, telnyx_base_url=telnyx.url) as sides:
        telnyx.dialled = call = call_of(1)
        telnyx.answer_dial.clear()
        dialling = asyncio.ensure_future(sides[0].ask("POST", "/v2/calls", DIAL))
        assert await sides[0].post("call.initiated", call, "one", direction="outgoing") == 200
        assert await sides[1].state(call) == "ringing"
        assert sides[0].directory.get(call) is None
        telnyx.answer_dial.set()
        await dialling
        assert [side.directory.get(call) is not None for side in sides] == [True, False]
        assert [await side.state(call) for side in sides] == ["ringing", "ringing"]
        sides[1].directory.tell(call, StreamRequested("a"))  # the answer to a command of before
        await until(lambda: _is(sides[1], call, "stream_requested"))
        assert sides[1].directory.get(call) is None
        _, page = await sides[1].ask("GET", "/v1/calls")
        assert [shown["state"] for shown in page["calls"]] == ["stream_requested"]
        sides[1].directory.tell(call, MediaSocket("one", SocketStage.STARTED, "S"))
        await until(lambda: _is(sides[0], call, "streaming"))
        assert [side.directory.get(call) is not None for side in sides] == [False, True]
        assert sides[1].directory.give_away(call) is not None
        assert [side.owners.owner_of(call) for side in sides] == [1, 1]


async def _is(side: Side, call: str, state: str) -> bool:
    return await side.state(call) == state


async def test_an_event_goes_after_its_call_that_has_moved_since_it_was_taken(tmp_path: Path, log: Log) -> None:
    call = call_of(1)
    async with running(tmp_path, log) as sides:
        assert await sides[1].post("call.initiated", call, "one", direction="incoming") == 200
        await until(lambda: _is(sides[1], call, "ringing"))
        for number in range(3):  # keys are held for a tenth of a second
            assert await sides[1].post("call.dtmf.received", call, f"key {number}", digit=str(number)) == 200
        sides[0].directory.tell(call, MediaSocket("one", SocketStage.STARTED, "S"))
        await until(lambda: _is(sides[1], call, "streaming"))
        events = sides[0].feed
        with events.follow(call, None) as (reader, before):
            async with asyncio.timeout(5):
                told = [event.event_type for event in before]
                while told.count("call.dtmf.received") < 3:
                    told += [event.event_type for event in await reader.read()]
        assert await sides[1].store.unfinished_webhooks() == []
        assert await sides[0].post("call.dtmf.received", call, "key 1", digit="1") == 200
        _, page = await sides[0].ask("GET", "/v1/calls")
        assert page["counters"]["webhooks_duplicated"] == 1


async def test_a_call_that_begins_at_two_workers_at_once_comes_to_one_of_them(tmp_path: Path, log: Log) -> None:
    call = call_of(2, workers=3)
    async with running(tmp_path, log, workers=3) as sides:
        for side in sides[:2]:
            side.directory.tell(call, MediaSocket(f"at {side.slot.index}", SocketStage.STARTED, "S"))
        await until(lambda: _settled(sides, call))
        assert [side.owners.owner_of(call) for side in sides] == [0, 0, 0]
        assert [side.directory.get(call) is not None for side in sides] == [True, False, False]
        record = sides[0].directory.get(call)
        assert record is not None
        assert {fact.socket for fact in record.life.facts if isinstance(fact, MediaSocket)} == {"at 0", "at 1"}


async def _settled(sides: list[Side], call: str) -> bool:
    return not any(side.owners.begun for side in sides) and sides[1].directory.get(call) is None


async def test_what_a_worker_left_is_handled_by_itself_and_once(tmp_path: Path, log: Log) -> None:
    call, other = call_of(1), call_of(0)
    async with running(tmp_path, log) as sides:
        done: list[object] = []
        body = (
            b'{"data": {"event_type": "call.hangup", "id": "one", "payload": {"call_control_id": "%b"}}}'
            % call.encode()
        )
        sides[1].store.keep_webhook("one", body, done.append)  # and then it was killed
        await until(lambda: _told(done))
        await sides[1].stop()
        await sides[0].stop()
        await sides[0].start()
        assert await sides[0].post("call.initiated", other, "two", direction="incoming") == 200
        assert await sides[0].post("call.answered", call, "three") == 503  # its worker is not there
        await sides[1].start()
        assert (sides[0].directory.get(call), sides[0].hung_up) == (None, [])
        await until(lambda: _told(sides[1].hung_up))
        assert await sides[0].post("call.hangup", call, "one") == 200
        _, answer = await sides[0].ask("GET", "/v1/calls")
        counters = answer["counters"]
        assert (counters["webhooks_recovered"], counters["webhooks_duplicated"], sides[1].hung_up) == (1, 1, [call])


async def test_whatever_comes_in_where_and_in_which_order_each_call_ends_well_at_one_worker(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.cluster.inbox._SETTLING", 0.1)
    chance = random.Random(7)
    calls = [f"v3:{number}" for number in range(40)]
    life = [
        ("call.initiated", {"direction": "incoming"}),
        ("call.answered", {}),
        ("call.hangup", {"hangup_cause": "normal_clearing"}),
    ]
    async with fake_telnyx() as telnyx, running(tmp_path, log, workers=3, telnyx_base_url=telnyx.url) as sides:
        deliveries = [(call, event, payload) for call in calls for event, payload in life] * 2
        chance.shuffle(deliveries)

        async def work() -> None:
            while deliveries:
                call, event, payload = deliveries.pop()
                assert await chance.choice(sides).post(event, call, f"{call} {event}", **payload) == 200

        await asyncio.gather(*(work() for _ in range(20)))
        for call in calls:
            await until(lambda call=call: _is(chance.choice(sides), call, "ended"))  # type: ignore[misc]
        assert all(side.slot.registrar(call) == side.slot.index for side in sides for call in side.hung_up)
        assert sorted(call for side in sides for call in side.hung_up) == sorted(calls)
        _, page = await sides[0].ask("GET", "/v1/calls?limit=1000")
        assert sorted(call["call_control_id"] for call in page["calls"]) == sorted(calls)
        assert [call["problems"] for call in page["calls"] if call["problems"]] == []
        counters = page["counters"]
        assert (counters["webhooks_verified"], counters["webhooks_duplicated"]) == (240, 120)
        asked = [(call, body["command_id"]) for _, call, body in telnyx.commands]
        assert len(asked) == len(set(asked))
