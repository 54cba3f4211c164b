"""What a call and its socket were made of is freed as both are gone, and not by a garbage collection."""

import asyncio
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from audio_codecs import encode_ulaw
from gateway.agents.echo import Echo
from gateway.call import Call
from gateway.directory import CallDirectory
from gateway.forked_call import ForkedCall
from gateway.lifecycle import CallState
from gateway.sinks.level import level
from gateway.sinks.recorder import Recorder
from gateway.sinks.url import SinkConfig
from tests.fakes import ListSink, noise
from tests.gateway.control.conftest import Log
from tests.gateway.cycles import no_cycles
from tests.gateway.server.media_port import MediaPort, media_port
from tests.gateway.server.test_fork import calling
from tests.gateway.server.test_fork import server as fork_server
from tests.gateway.server.wire import until
from tests.rtp import voices

SOUND = encode_ulaw(noise(160))


async def freed(call: "weakref.ref[Any]") -> None:
    """Give the last steps of tasks and sockets their time; whether it was enough, the test says."""
    for _ in range(100):
        if call() is not None:
            await asyncio.sleep(0.01)


@asynccontextmanager
async def recording_port(log: Log, folder: Path) -> AsyncIterator[MediaPort]:
    async with Recorder(folder, log=log.logger) as recorder:
        meter = level(SinkConfig(path="", options={}, data_dir=folder, log=log.logger))
        sinks = {"recorder": recorder.open, "level": meter}
        async with media_port(log, agent=Echo, sinks=sinks, reconnect_grace=0.01) as port:
            yield port
            await until(lambda: not recorder.describe()["recordings_completing"])


async def course(port: MediaPort, call_control_id: str, how: str) -> "weakref.ref[Call]":
    """One call, to its end and that of its socket."""
    async with port.call(call_control_id) as caller:
        assert await caller.echoes(SOUND)
        found = port.server.find_call(call_control_id)
        assert found is not None
        call = weakref.ref(found)
        del found
        match how:
            case "stop":
                await caller.send(caller.carrier.send_stop())
                await caller.closed()
            case "lost":
                caller.socket.transport.abort()
            case "closed":
                await caller.socket.close()
            case "binary":
                await caller.socket.send(b"no text")
                await caller.closed()
    await port.stopped(call_control_id)
    await until(lambda: port.server.describe()["sockets_open"] == 0)
    port.server._pacer.close()  # it would keep the call for a second yet
    await freed(call)
    return call


@pytest.mark.usefixtures("transport")
@pytest.mark.parametrize("how", ["stop", "lost", "closed", "binary"])
async def test_a_call_and_its_socket_are_freed_with_their_end(log: Log, tmp_path: Path, how: str) -> None:
    async with recording_port(log, tmp_path) as port:
        await course(port, "first", how)  # makes what is made once
        with no_cycles():
            call = await course(port, "second", how)
        assert call() is None, "something keeps it"
        assert port.directory.get("second") is not None  # the record, without the call


async def fork_course(call_control_id: str, directory: CallDirectory) -> "weakref.ref[ForkedCall]":
    async with fork_server(ListSink("inbound"), directory=directory) as forks:
        targets = await forks.open(call_control_id)
        async with calling(targets.rx) as person:
            person.say(voices(3))
            await until(lambda: directory.get(call_control_id) is not None)
        found = forks.get(call_control_id)
        assert found is not None
        call = weakref.ref(found)
        del found
        forks.close(call_control_id)
        record = directory.get(call_control_id)
        assert record is not None
        await until(lambda: CallState.STORED in record.life.reached())
    await freed(call)
    return call


async def test_a_forked_call_is_freed_with_its_end() -> None:
    directory = CallDirectory()
    await fork_course("first", directory)
    with no_cycles():
        call = await fork_course("second", directory)
    assert call() is None, "something keeps it"
    record = directory.get("second")
    assert record is not None
    assert record.media is not None
    assert record.media()["end_reason"] == "stop"
