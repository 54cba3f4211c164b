"""The fork's ports: real sockets on this machine."""

import asyncio
import contextlib
import json
import socket
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from gateway.call import EndReason
from gateway.config import PortRange
from gateway.directory import CallDirectory
from gateway.errors import AdmissionError
from gateway.forked_call import ForkOptions
from gateway.lifecycle import CallState
from gateway.protocol.rtp import build_rtp
from gateway.server.fork import ForkServer, ForkTargets
from tests.fakes import ListSink
from tests.rtp import RtpSender, free_ports, voices


class Caller:
    """Sends to a fork from a socket of its own."""

    def __init__(self, target: str) -> None:
        scheme, host, port = target.split(":")
        assert scheme == "udp"
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect((host, int(port)))
        self._sender = RtpSender(seed=int(port))

    def say(self, payloads: list[bytes]) -> None:
        for _, packet in self._sender.voice(payloads):
            self.send(build_rtp(packet))

    def send(self, datagram: bytes) -> None:
        with contextlib.suppress(ConnectionRefusedError):  # of the datagram before: the port is closed
            self.socket.send(datagram)


@asynccontextmanager
async def server(
    *sinks: ListSink,
    ports: int = 8,
    directory: CallDirectory | None = None,
    public_host: str | None = None,
    listen: PortRange | None = None,
    share: tuple[int, int] = (0, 1),
    **options: Any,
) -> AsyncIterator[ForkServer]:
    with capture_logs():
        async with (
            asyncio.timeout(10),
            ForkServer(
                listen or free_ports(ports),
                public_host=public_host,
                directory=directory or CallDirectory(),
                options=ForkOptions(sinks={f"sink {n}": sink.factory for n, sink in enumerate(sinks)}, **options),
                clock=time.monotonic,
                log=structlog.get_logger(),
                share=share,
            ) as forks,
        ):
            yield forks


@asynccontextmanager
async def calling(target: str) -> AsyncIterator[Caller]:
    caller = Caller(target)
    try:
        yield caller
    finally:
        caller.socket.close()


async def until(condition: Callable[[], object]) -> None:
    """Wait for what a socket has to bring about."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.005)


def port_of(target: str) -> int:
    return int(target.rpartition(":")[2])


async def test_a_fork_has_an_even_port_for_each_direction() -> None:
    sink = ListSink("inbound", "outbound")
    async with server(sink) as forks:
        targets = await forks.open("v3:call")
        assert port_of(targets.rx) % 2 == port_of(targets.tx) % 2 == 0
        assert port_of(targets.rx) != port_of(targets.tx)
        async with calling(targets.rx) as person, calling(targets.tx) as other:
            person.say(voices(5))
            other.say(voices(5, seed=2))
            await until(lambda: len(sink.frames) == 10)
    heard = defaultdict[str, list[bytes]](list)
    for frame in sink.frames:
        heard[frame.track].append(frame.payload)
    assert heard == {"inbound": voices(5), "outbound": voices(5, seed=2)}
    assert sink.closed == 1


@pytest.mark.parametrize(("host", "told"), [("198.51.100.7", "198.51.100.7"), ("2001:db8::7", "[2001:db8::7]")])
async def test_telnyx_is_told_the_public_host(host: str, told: str) -> None:
    async with server(public_host=host) as forks:
        targets = await forks.open("v3:call")
        assert targets.rx.startswith(f"udp:{told}:")


async def test_workers_have_ports_of_their_own() -> None:
    ports = free_ports(8)
    async with server(listen=ports, share=(0, 2)) as one, server(listen=ports, share=(1, 2)) as other:
        told = [target for forks in (one, other) for target in await forks.open("v3:call")]
        assert [port_of(target) - ports.first for target in told] == [0, 4, 2, 6]
        one.close("v3:call")
        await until(lambda: not one.forks_running)
        with pytest.raises(AdmissionError):  # a port that has just been closed is not for the other one
            await other.open("v3:another")


async def test_the_call_is_in_the_directory_from_its_first_sound_to_its_last_sink() -> None:
    directory = CallDirectory()
    async with server(ListSink(), directory=directory) as forks:
        targets = await forks.open("v3:call")
        assert directory.get("v3:call") is None
        async with calling(targets.rx) as caller:
            caller.say(voices(5))
            await until(lambda: directory.get("v3:call") is not None)
            record = directory.get("v3:call")
            assert record is not None
            assert record.state is CallState.STREAMING
            assert record.describe()["media"]["inbound_codec"] == "PCMU/8000"
            forks.close("v3:call")
            await until(lambda: CallState.STORED in record.life.reached())
        described = record.describe()
        assert described["media"]["end_reason"] == "stop"
        assert described["media"]["received"]["packets_received"] == 5
        assert described["media"]["sinks"]["sink 0"]["state"] == "closed"
        assert json.loads(json.dumps(described)) == described


async def test_closed_ports_are_used_again_but_last() -> None:
    async with server(ports=8) as forks:
        first = await forks.open("v3:first")
        forks.close("v3:first")
        second = await forks.open("v3:second")
        assert not set(first) & set(second)
        forks.close("v3:second")
        assert await forks.open("v3:third") == first


async def test_without_a_free_port_there_is_no_fork_and_nothing_stays_open() -> None:
    async with server(ports=6) as forks:  # three even ones: a fork and a half
        await forks.open("v3:first")
        for _ in range(3):
            with pytest.raises(AdmissionError, match="no UDP port is free for a fork"):
                await forks.open("v3:second")
        assert forks.forks_running == 1
        forks.close("v3:first")
        await asyncio.sleep(0)
        await forks.open("v3:third")


async def test_ports_that_others_have_are_passed_over() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        async with server(ports=6) as forks:
            other.bind(("127.0.0.1", forks._ports[0]))
            targets = await forks.open("v3:call")
            assert [port_of(target) for target in targets] == list(forks._ports[1:])


async def test_a_newer_fork_of_the_same_call_ends_the_older() -> None:
    async with server() as forks:
        await forks.open("v3:call")
        older = forks.get("v3:call")
        assert older is not None
        await forks.open("v3:call")
        assert older.end_reason is EndReason.REPLACED
        newer = forks.get("v3:call")
        assert newer is not None
        assert newer.end_reason is None
        assert (forks.forks_running, forks.describe()["forks_opened"]) == (1, 2)
    assert forks.describe()["forks_ended"] == {"replaced": 1, "shutdown": 1}


async def test_closing_a_fork_there_is_not_does_nothing() -> None:
    async with server() as forks:
        forks.close("v3:call")
        assert forks.get("v3:call") is None


async def test_a_port_that_nobody_sends_to_is_given_back() -> None:
    directory = CallDirectory()
    async with server(directory=directory, start_timeout=0.01) as forks:
        await forks.open("v3:call")
        await until(lambda: forks.forks_running == 0)
        assert forks.describe()["forks_ended"] == {"no_start": 1}


async def test_draining_waits_for_the_running_forks_and_takes_no_new_ones() -> None:
    async with server() as forks:
        await forks.open("v3:call")
        draining = asyncio.create_task(forks.drain(5))
        await asyncio.sleep(0)
        with pytest.raises(AdmissionError, match="takes no new calls"):
            await forks.open("v3:other")
        forks.close("v3:call")
        assert await draining is True


async def test_draining_does_not_wait_for_ever() -> None:
    async with server() as forks:
        await forks.open("v3:call")
        assert await forks.drain(0.01) is False


async def test_leaving_ends_every_fork_and_closes_its_sinks() -> None:
    sink, directory = ListSink(), CallDirectory()
    async with server(sink, directory=directory) as forks:
        for name in ("v3:one", "v3:two"):
            targets: ForkTargets = await forks.open(name)
            async with calling(targets.rx) as caller:
                caller.say(voices(3))
        await until(lambda: len(sink.frames) == 6)
    assert sink.closed == 2
    for name in ("v3:one", "v3:two"):
        record = directory.get(name)
        assert record is not None
        assert record.describe()["media"]["end_reason"] == "shutdown"
