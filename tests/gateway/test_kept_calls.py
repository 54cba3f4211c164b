from pathlib import Path

from gateway.cluster.owners import Owners
from gateway.kept_calls import restore_calls
from gateway.lifecycle import Answered, CallState, HungUp, Initiated, MediaSocket, SocketStage
from gateway.store.store import open_store
from tests.gateway.cluster.sides import call_of, slots
from tests.gateway.store.conftest import Log
from tests.gateway.store.conftest import log as log
from tests.gateway.store.template import database_in


async def directory_in(folder: Path, log: Log, *calls: str, keep: int = 1000) -> list[tuple[str, CallState]]:
    """Open a store and its directory, and say which calls it has; with calls to add that have ended, one by one."""
    async with open_store(database_in(folder), log=log.logger) as store:
        directory = await restore_calls(store, longest_call=3600.0, log=log.logger, keep=keep)
        found = [(record.call_control_id, record.state) for record in directory]
        for call in calls:
            directory.tell(call, Initiated("incoming"), HungUp("normal_clearing"))
            await store.flush()
        return found


async def test_past_calls_are_known_after_a_restart(tmp_path: Path, log: Log) -> None:
    assert await directory_in(tmp_path, log, "a", "b", "c") == []
    assert await directory_in(tmp_path, log) == [(call, CallState.ENDED) for call in "abc"]
    assert await directory_in(tmp_path, log, keep=2) == [(call, CallState.ENDED) for call in "bc"]


async def test_a_call_in_the_middle_of_a_stream_is_taken_back_and_goes_on(tmp_path: Path, log: Log) -> None:
    async with open_store(database_in(tmp_path), log=log.logger) as store:
        directory = await restore_calls(store, longest_call=3600.0, log=log.logger)
        record = directory.tell("a", Answered(), MediaSocket("one", SocketStage.STARTED, "S"))
        record.media = lambda: {"frames": 7}
    async with open_store(database_in(tmp_path), log=log.logger) as store:
        directory = await restore_calls(store, longest_call=3600.0, log=log.logger)
        again = directory.get("a")
        assert again is not None
        assert (again.state, again.describe()["media"]) == (CallState.STOPPED, {"frames": 7})
        directory.tell("a", HungUp())
        await store.flush()
        frozen = await store.find_call("a")
        assert frozen is not None
        assert b"hungup" in frozen


async def test_a_record_that_cannot_be_read_is_left_out_and_told(tmp_path: Path, log: Log) -> None:
    async with open_store(database_in(tmp_path), log=log.logger) as store:
        store.save_call("bad", lambda: ("ended", store._clock(), b"{}"))
    assert await directory_in(tmp_path, log, "good") == []
    assert [line["event"] for line in log.lines] == ["call not restored"]
    assert await directory_in(tmp_path, log) == [("good", CallState.ENDED)]


async def test_of_several_workers_each_takes_back_its_own_calls_and_knows_whose_the_others_are(
    tmp_path: Path, log: Log
) -> None:
    calls = [call_of(0), call_of(1), call_of(1, beside=call_of(1))]
    for worker, mine in ((0, calls[:2]), (1, calls[2:])):  # the second began where its id does not lead
        owners = Owners(slots(2, tmp_path)[worker])
        async with open_store(database_in(tmp_path), log=log.logger, worker=worker, workers=2) as store:
            directory = await restore_calls(store, longest_call=3600.0, log=log.logger, owners=owners)
            for call in mine:
                directory.tell(call, Initiated("incoming"))
            assert list(owners.begun) == [call for call in mine if owners.slot.registrar(call) != worker]
    for worker, mine in ((0, calls[:2]), (1, calls[2:])):
        owners = Owners(slots(2, tmp_path)[worker])
        async with open_store(database_in(tmp_path), log=log.logger, worker=worker, workers=2) as store:
            directory = await restore_calls(store, longest_call=3600.0, log=log.logger, owners=owners)
            assert [record.call_control_id for record in directory] == mine
            assert ([owners.owner_of(call) for call in calls], owners.begun) == ([0, 0, 1], {})


async def test_what_is_told_of_a_call_that_was_given_away_is_not_kept_here(tmp_path: Path, log: Log) -> None:
    told: list[str] = []
    call, owners = call_of(0), Owners(slots(2, tmp_path)[0])
    async with open_store(database_in(tmp_path), log=log.logger, workers=2) as store:
        directory = await restore_calls(
            store,
            longest_call=3600.0,
            log=log.logger,
            owners=owners,
            on_change=lambda record: told.append(record.state.name),
        )
        directory.tell(call, Initiated("outgoing"))
        owners.moved(call, 1, given=directory.give_away(call) is not None)
        directory.tell(call, HungUp())
        await store.flush()
        assert (told, owners.late) == (["RINGING"], {call})
        assert await store.find_call(call) is None  # the other worker writes it
