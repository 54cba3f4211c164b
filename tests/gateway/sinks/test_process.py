"""Sinks in a worker process: the same contract, and what a process can do that a thread cannot: die."""

import json
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from gateway.errors import SinkError
from gateway.sinks.base import StreamInfo
from gateway.sinks.events import SinkFailed, SinkRestarted
from gateway.sinks.process import WorkerProcesses, pickled
from tests.fakes import ListSink
from tests.gateway.cycles import no_cycles
from tests.gateway.sinks.blocking import ShortLived, Told
from tests.gateway.sinks.streams import Sinks, delivered, frames, stream_info, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def processes() -> AsyncIterator[WorkerProcesses]:
    """One for all tests: a process takes its time to start."""
    async with WorkerProcesses() as processes:
        yield processes


def told_to(parameters: dict[str, str]) -> StreamInfo:
    return stream_info(custom_parameters=parameters)


async def test_a_sink_in_a_process_hears_its_tracks_and_is_opened_and_closed_there(processes: WorkerProcesses) -> None:
    sinks = Sinks({"sink": Told}, processes=processes)
    sinks.write(*frames(0, 2))
    async with sinks.running():
        sinks.write(*frames(2, 10), *frames(3, 4, "played"), *frames(0, 3, "outbound"))
        await until(lambda: sinks.told("sink")["frames"] == 11)
    told = sinks.told("sink")
    assert (told["state"], told["frames"], told["frames_dropped"]) == ("closed", 11, 0)
    assert told["heard"] == [*(["inbound", n] for n in range(10)), ["played", 3]]
    assert (told["entered"], told["left"], told["stream"], told["report"]) == (True, True, "stream-1", {})
    assert told["pid"] != os.getpid()
    assert json.dumps(told)


async def test_what_a_sink_publishes_in_a_process_is_published_here_in_its_order(processes: WorkerProcesses) -> None:
    published: list[tuple[str, Any]] = []
    info = stream_info(
        custom_parameters={"2": "tell", "5": "tell", "6": "raise"},
        publish=lambda event_type, data: published.append((event_type, data)),
    )
    sinks = Sinks({"sink": Told}, processes=processes)
    async with sinks.running(info):
        sinks.write(*frames(0, 10))
        await until(lambda: sinks.told("sink")["state"] == "failed")
    assert published == [("sound.heard", {"number": 2}), ("sound.heard", {"number": 5})]


async def test_streams_share_the_process_of_their_sink_and_have_threads_of_their_own(
    processes: WorkerProcesses,
) -> None:
    first, second = Sinks({"sink": Told}, processes=processes), Sinks({"sink": Told}, processes=processes)
    async with first.running(), second.running():
        first.write(*frames(0, 3))
        second.write(*frames(5, 7))
    assert [number for _, number in first.told("sink")["heard"]] == [0, 1, 2]
    assert [number for _, number in second.told("sink")["heard"]] == [5, 6]
    assert first.told("sink")["pid"] == second.told("sink")["pid"]
    assert first.told("sink")["thread"] != second.told("sink")["thread"]


@pytest.mark.parametrize(("deed", "error"), [("raise", "ValueError: enough"), ("exit", "SystemExit: 3")])
async def test_what_a_sink_raises_comes_back_and_is_its_own(processes: WorkerProcesses, deed: str, error: str) -> None:
    bad, good = Sinks({"sink": Told}, processes=processes), Sinks({"sink": Told}, processes=processes)
    async with good.running(), bad.running(told_to({"5": deed})):
        bad.write(*frames(0, 8))
        good.write(*frames(0, 8))
        await until(lambda: bad.told("sink")["state"] == "failed")
        bad.write(*frames(8, 10))
    told = bad.told("sink")
    assert (told["error"], told["frames"], told["frames_dropped"]) == (f"SinkError: {error}", 5, 5)
    assert bad.events == [SinkFailed("sink", f"SinkError: {error}", None)]
    assert [number for _, number in good.told("sink")["heard"]] == list(range(8))


async def test_a_stream_that_has_ended_leaves_no_cycles(processes: WorkerProcesses) -> None:
    async def course() -> None:
        sinks = Sinks({"sink": Told}, processes=processes)
        async with sinks.running():
            sinks.write(*frames(0, 3))
        assert sinks.told("sink")["state"] == "closed"

    await course()
    with no_cycles():
        await course()


async def test_a_sink_that_cannot_be_made_says_why(processes: WorkerProcesses) -> None:
    sinks = Sinks({"sink": Told}, processes=processes)
    async with sinks.running(told_to({"refuse": ""})):
        await until(lambda: sinks.told("sink")["state"] == "failed")
    assert sinks.told("sink")["error"] == "SinkError: OSError: no model"


async def test_a_sink_that_cannot_say_what_it_is_keeps_its_sound(processes: WorkerProcesses) -> None:
    sinks = Sinks({"sink": Told}, processes=processes)
    async with sinks.running(told_to({"speechless": ""})):
        sinks.write(*frames(0, 3))
    told = sinks.told("sink")
    assert (told["state"], told["frames"], told["problem"]) == ("closed", 3, "cannot describe itself: TypeError")


async def test_a_sink_that_hangs_holds_up_no_other_and_not_the_end_of_the_call(processes: WorkerProcesses) -> None:
    stuck = Sinks({"sink": delivered(Told, by="process", linger=0, close_timeout=0.05)}, processes=processes)
    good = Sinks({"sink": delivered(Told, by="process", linger=0, close_timeout=0.05)}, processes=processes)
    async with good.running():
        async with stuck.running(told_to({"1": "hang"})):
            stuck.write(*frames(0, 5))
            await until(lambda: stuck.told("sink")["frames_waiting"] == 0)
        good.write(*frames(0, 5))
        await until(lambda: good.told("sink")["frames"] == 5)
    told = stuck.told("sink")
    assert (told["state"], told["frames"], told["frames_dropped"]) == ("closed", 0, 5)


async def test_when_the_process_dies_its_sinks_fail_and_are_restarted_in_another(processes: WorkerProcesses) -> None:
    sinks, other = Sinks({"sink": ShortLived}, processes=processes), Sinks({"sink": Told}, processes=processes)
    async with other.running(), sinks.running(told_to({"3": "die"})):
        sinks.write(*frames(0, 3))
        await until(lambda: sinks.told("sink")["frames"] == 3)
        pid = sinks.told("sink")["pid"]
        sinks.write(*frames(3, 4))
        await until(lambda: sinks.told("sink")["state"] == "restarting")
        sinks.write(*frames(4, 8))
        other.write(*frames(0, 3))
        await until(lambda: sinks.told("sink")["frames"] == 7)
    told = sinks.told("sink")
    assert (told["state"], told["restarts"], told["frames_dropped"]) == ("closed", 1, 1)
    assert [number for _, number in told["heard"]] == [4, 5, 6, 7]
    assert told["pid"] != pid
    error = "SinkError: its worker process ended with -9"
    assert sinks.events == [SinkFailed("sink", error, 0.01), SinkRestarted("sink", 1)]
    assert other.told("sink")["frames"] == 3


async def test_without_worker_processes_such_a_sink_fails() -> None:
    sinks = Sinks({"sink": Told})
    async with sinks.running():
        await until(lambda: sinks.told("sink")["state"] == "failed")
    assert "no worker processes" in sinks.told("sink")["error"]


async def test_a_sink_that_another_process_cannot_find_is_refused() -> None:
    with pytest.raises(SinkError, match="does not find it"):
        pickled(ListSink().factory)
    main: Any = type("Main", (), {"__module__": "__main__"})
    with pytest.raises(SinkError, match="put the sink into a module"):
        pickled(main)
