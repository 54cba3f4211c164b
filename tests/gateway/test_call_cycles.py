"""An ended call leaves nothing that only the garbage collector frees: all calls would have to stand still for that."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Self

import pytest
import structlog
from structlog.testing import capture_logs

from audio_codecs import Samples, open_codec
from gateway.agents.base import AgentFactory
from gateway.agents.echo import Echo
from gateway.call import Call
from gateway.end_reason import EndReason
from gateway.errors import MediaServiceError, SinkError
from gateway.media.frame import AudioFrame
from gateway.services.options import ServiceOptions
from gateway.sinks.base import BOTH_SIDES, SinkSource, StreamInfo
from gateway.sinks.delivery import Delivery, Restart
from gateway.sinks.level import level
from gateway.sinks.recorder import Recorder
from gateway.sinks.services import SinkServices
from gateway.sinks.url import SinkConfig
from tests.fakes import FakeLine, acting, noise, settle, until
from tests.gateway.agents.websocket.program import program
from tests.gateway.cycles import no_cycles
from tests.gateway.services.test_call_services import Speaking
from tests.gateway.test_call import payloads
from tests.gateway.test_forked_call import Fork
from tests.rtp import RtpSender, voices


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


# --- agents -----------------------------------------------------------------------------------------------------------


async def reads(call: Call) -> None:
    async for item in call:
        if isinstance(item, AudioFrame):
            call.send_audio(item.samples)


async def plays(call: Call) -> None:
    await call.play(noise(800), 8000)
    call.mark("played")
    await call.wait_for_playout()
    call.send_dtmf("1")
    await call.play(noise(80_000), 8000)  # the call ends before


async def plays_a_generator(call: Call) -> None:
    async def sound() -> AsyncIterator[Samples]:
        while True:
            yield noise(160)

    await call.play(sound(), 8000)


class Listener:
    """Knows its call."""

    tracks = BOTH_SIDES

    def __init__(self, call: Call) -> None:
        self.call = call

    def write(self, frame: AudioFrame) -> None:
        if frame.track == "inbound":
            self.call.send_audio(frame.samples)


async def listens(call: Call) -> None:
    call.listen(Listener(call))
    call.detect_speech("energy")
    await call.wait_ended()


async def speaks(call: Call) -> None:
    await call.say("hello")


async def gathers(call: Call) -> None:
    await call.gather(prompt=lambda: call.play(noise(800), 8000), max_digits=1)


async def suppresses(call: Call) -> None:
    call.suppression_start()
    await call.wait_ended()
    call.suppression_stop()


async def fails(call: Call) -> None:
    await call.play(noise(800), 8000)
    raise RuntimeError("no more ideas")


async def stays(call: Call) -> None:
    await call.wait_ended()
    await asyncio.Event().wait()


async def comes_too_late(call: Call) -> None:
    await call.wait_ended()
    await settle()
    await listens(call)


AGENTS: Mapping[str, AgentFactory | None] = {"no agent": None, "echo": Echo} | {
    run.__name__: acting(run)
    for run in (
        reads,
        plays,
        plays_a_generator,
        listens,
        speaks,
        gathers,
        suppresses,
        fails,
        stays,
        comes_too_late,
    )
}


# --- sinks ------------------------------------------------------------------------------------------------------------


class Ear:
    """Knows its stream, as many do."""

    tracks = BOTH_SIDES

    def __init__(self, info: StreamInfo) -> None:
        self.info = info
        self.seconds = 0.0

    def write(self, frame: AudioFrame) -> None:
        self.seconds += len(frame.samples) / frame.sample_rate

    def describe(self) -> dict[str, Any]:
        return {"heard": self.seconds}


class Threaded(Ear):
    delivery = Delivery(by="thread")


class Resampled(Ear):
    delivery = Delivery(sample_rate=16_000)


class Spilling(Ear):
    delivery = Delivery(by="thread", frames=1, full="spill")


class Awaited:
    delivery = Delivery(by="task")
    tracks = BOTH_SIDES

    def __init__(self, info: StreamInfo) -> None:
        self.info = info

    async def write(self, frame: AudioFrame) -> None:
        await asyncio.sleep(0)


class Failing(Ear):
    def write(self, frame: AudioFrame) -> None:
        raise SinkError("deaf")


class FailingInThread(Failing):
    delivery = Delivery(by="thread")


class FailingToOpen(Failing):
    def __init__(self, info: StreamInfo) -> None:
        raise SinkError("no ears")


class FailingToOpenInThread(FailingToOpen):
    delivery = Delivery(by="thread")


class FailingToClose(Ear):
    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        raise SinkError("the disk is full")


class FailingInTask(Awaited):
    async def write(self, frame: AudioFrame) -> None:
        raise SinkError("deaf")


class Restarting(Failing):
    delivery = Delivery(restart=Restart(first=0.01))


SINKS: Mapping[str, SinkSource] = {
    sink.__name__: sink
    for sink in (
        Ear,
        Threaded,
        Resampled,
        Spilling,
        Awaited,
        Failing,
        FailingInThread,
        FailingToOpen,
        FailingToOpenInThread,
        FailingToClose,
        FailingInTask,
        Restarting,
    )
}


# --- courses ----------------------------------------------------------------------------------------------------------


class Line(FakeLine):
    """A call that is forgotten as it has ended."""

    @asynccontextmanager
    async def course(self, reason: EndReason = EndReason.STOP, *, frames: int = 3) -> AsyncIterator[Call]:
        async with self.running():
            await settle()
            self.say(*payloads(frames))
            for _ in range(5):
                self.wait(0.1)
                await settle()
            yield self.call
            self.call.end(reason)
        self.wait(60.0)  # until the pacer has forgotten it
        del self.call  # which knows its wire, as the wire does it


async def twice(course: Callable[[], Any]) -> None:
    """What is made once, for all calls, is there when the second one comes."""
    await course()
    with no_cycles():
        await course()


@pytest.mark.parametrize("agent", AGENTS)
async def test_an_ended_call_is_freed_whatever_its_agent_did(agent: str) -> None:
    async def course() -> None:
        services = ServiceOptions(speech=Speaking())
        line = Line(agent=AGENTS[agent], sinks={"ear": Ear}, agent_grace=0.01, services=services)
        async with line.course() as call:
            assert call.report()["sinks"]["ear"]["frames"]

    await twice(course)


@pytest.mark.parametrize("reason", [EndReason.LINK_LOST, EndReason.MAX_DURATION, EndReason.INTERNAL_ERROR])
async def test_an_ended_call_is_freed_whatever_its_end(reason: EndReason) -> None:
    async def course() -> None:
        line = Line(agent=Echo, sinks={"ear": Ear}, max_duration=0.0 if reason is EndReason.MAX_DURATION else 60.0)
        async with line.course(reason):
            if reason is EndReason.LINK_LOST:
                line.call.link_lost()
        assert line.ended == [reason]

    await twice(course)


@pytest.mark.parametrize("frames", [3, 80])  # sinks are timed at first
@pytest.mark.parametrize("sink", SINKS)
async def test_an_ended_call_is_freed_whatever_its_sink(sink: str, frames: int, tmp_path: Path) -> None:
    async def course() -> None:
        services = SinkServices(spill_folder=tmp_path, preroll=1.0)
        line = Line(agent=Echo, sinks={"ear": SINKS[sink]}, sink_services=services)
        async with line.course(frames=frames) as call:
            call.add_sink(SINKS[sink], "another")
            await settle()
            line.say(*payloads(2))
            with suppress(MediaServiceError):  # those that fail are over
                call.remove_sink("another")

    await twice(course)


async def test_an_ended_call_is_freed_after_it_was_recorded_and_measured(tmp_path: Path) -> None:
    log = structlog.get_logger()
    async with Recorder(tmp_path, log=log) as recorder:
        meter = level(SinkConfig(path="", options={}, data_dir=tmp_path, log=log))

        async def course() -> None:
            line = Line(
                agent=Echo,
                sinks={"recorder": recorder.open, "level": meter},
                services=ServiceOptions(recorder=recorder),
            )
            async with line.course(frames=80) as call:
                await call.record_start()
                line.say(*payloads(3))
            await until(lambda: not recorder.describe()["recordings_completing"])

        await twice(course)
        assert recorder.describe()["recordings_finished"] == 4


async def test_an_ended_call_is_freed_after_a_reconnect() -> None:
    async def course() -> None:
        line, other = Line(agent=Echo, sinks={"ear": Ear}), FakeLine()
        async with line.course() as call:
            call.link_lost()
            call.reconnect(
                "ANOTHER",
                stream=other.stream,
                inbound=lambda: open_codec("PCMU", 8000),
                transmit=other.transmit,
                on_end=line.ended.append,
                log=structlog.get_logger(),
            )
        del other.call

    await twice(course)


async def test_an_ended_call_is_freed_that_a_program_had() -> None:
    async with program() as served:

        async def course() -> None:
            async with Line(agent=served.agent(), sinks={"ear": Ear}).course():
                connection = await served.connection()
                await connection.told("start")
                assert (await connection.ask({"type": "mark", "name": "greeting"}))["ok"]

        await twice(course)


async def test_an_ended_fork_is_freed() -> None:
    async def course() -> None:
        fork = Fork()
        async with fork.running():
            fork.send(RtpSender(1).voice(voices(20)))
            await settle()
        fork.clock.run_until(fork.clock.now + 60.0)
        fork.started.clear()
        fork.ended.clear()
        del fork.call

    await twice(course)
