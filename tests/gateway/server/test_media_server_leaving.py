import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
from websockets.exceptions import ConnectionClosed

from audio_codecs import encode_ulaw
from gateway.server.transport import Limits
from gateway.sinks.base import AudioSink, StreamInfo
from tests.fakes import ListSink, noise
from tests.gateway.control.conftest import Log
from tests.gateway.server.media_port import Caller, media_port
from tests.gateway.server.wire import RawClient, close_frame, until, upgrade

pytestmark = pytest.mark.usefixtures("transport")

SOUND = encode_ulaw(noise(160))


def packets(count: int) -> list[bytes]:
    """Packets of 20 ms, no two alike."""
    return [encode_ulaw(noise(160, seed)) for seed in range(count)]


async def test_a_draining_server_takes_no_new_calls_and_waits_for_the_running_one(log: Log) -> None:
    async with media_port(log) as port, port.call() as running, RawClient(port.server.address) as early:
        drain = asyncio.create_task(port.server.drain(5.0))
        await until(lambda: port.server.draining)
        assert port.server.full
        await early.send(upgrade(f"/media/{port.token('v3:b')}"))  # its TCP connection was there before
        await early.answer()
        assert await early.closed_with() == (1013, "no room for another call")
        with pytest.raises(OSError, match=r"refused|Connect call failed"):
            async with port.socket("v3:c", token=port.token("v3:c")):
                pytest.fail("the door stands open")
        assert await running.echoes(SOUND)
        assert not drain.done()
        await running.send(running.carrier.send_stop())
        await running.closed()
        assert await drain is True


async def test_a_drain_that_takes_too_long_says_so_and_ends_nothing(log: Log) -> None:
    async with media_port(log) as port, port.call() as running:
        assert await port.server.drain(0.05) is False
        assert await running.echoes(SOUND)
    assert [line["calls"] for line in port.logged("drain timed out")] == [1]


async def test_a_drain_without_calls_is_over_at_once(log: Log) -> None:
    async with media_port(log) as port:
        assert await port.server.drain(0.0) is True


async def test_leaving_closes_running_calls_with_1001_and_waits_for_their_sinks(log: Log) -> None:
    closed: list[str] = []

    @asynccontextmanager
    async def slow_to_close(info: StreamInfo) -> AsyncIterator[AudioSink]:
        yield ListSink()
        await asyncio.sleep(0.05)
        closed.append(info.call_control_id)

    async with AsyncExitStack() as stack:
        async with media_port(log, sinks={"slow": slow_to_close}) as port:
            callers = [await stack.enter_async_context(port.call(f"v3:{number}")) for number in range(3)]
            for caller in callers:
                assert await caller.echoes(SOUND)
        assert sorted(closed) == ["v3:0", "v3:1", "v3:2"]
        for number, caller in enumerate(callers):
            assert await caller.closed() == (1001, "gateway shuts down")
            assert (await port.stopped(f"v3:{number}"))["end_reason"] == "shutdown"


async def test_a_caller_that_goes_on_talking_still_learns_why_the_server_leaves(log: Log) -> None:
    async def talk(caller: Caller) -> None:
        with suppress(ConnectionClosed):
            while True:
                await caller.say(SOUND)
                await asyncio.sleep(0)

    async with AsyncExitStack() as stack:
        async with media_port(log, agent=None) as port:
            callers = [await stack.enter_async_context(port.call(f"v3:{number}")) for number in range(3)]
            talking = [asyncio.create_task(talk(caller)) for caller in callers]
            await asyncio.sleep(0.05)
        for caller, task in zip(callers, talking, strict=True):
            assert await caller.closed() == (1001, "gateway shuts down")
            await task


async def test_leaving_gives_the_closing_handshake_its_time(log: Log) -> None:
    open_still: list[int] = []

    async def answer(client: RawClient) -> None:
        assert await client.closed_with() == (1001, "gateway shuts down")
        await asyncio.sleep(0.05)
        open_still.append(port.server.describe()["sockets_open"])
        await client.send(close_frame(1001))
        client.half_close()

    async with AsyncExitStack() as stack:
        async with media_port(log) as port:
            client = await stack.enter_async_context(port.silent(f"/{port.token()}"))
            answering = asyncio.create_task(answer(client))
        await answering
    assert open_still == [1]
    assert port.server.describe()["sockets_dropped"] == {}


async def test_leaving_does_not_wait_for_sockets_that_never_finish(log: Log) -> None:
    async with AsyncExitStack() as stack:
        async with media_port(log, limits=Limits(close_timeout=0.1)) as port:
            await stack.enter_async_context(RawClient(port.server.address))  # says nothing at all
            waiting = await stack.enter_async_context(port.silent(f"/{port.token()}"))
            stranger = await stack.enter_async_context(port.silent())
            started = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - started < 1.0
        await until(lambda: port.server.describe()["sockets_open"] == 0)
        for client in (waiting, stranger):
            assert await client.closed_with() == (1001, "gateway shuts down")
