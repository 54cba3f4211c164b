from contextlib import AsyncExitStack

from audio_codecs import encode_ulaw
from gateway.server.transport import Limits
from tests.fakes import noise
from tests.gateway.control.conftest import Log
from tests.gateway.server.media_port import media_port
from tests.gateway.server.wire import RawClient, until

SOUND = encode_ulaw(noise(160))


def packets(count: int) -> list[bytes]:
    """Packets of 20 ms, no two alike."""
    return [encode_ulaw(noise(160, seed)) for seed in range(count)]


async def test_other_streams_of_the_same_call_and_the_same_stream_id_of_another_call_run_beside_it(log: Log) -> None:
    async with media_port(log) as port:
        token = port.token()
        async with (
            port.call(token=token) as first,
            port.call("v3:a", "OTHER", token=token) as second,
            port.call("v3:b") as third,
        ):
            assert port.server.calls_running == 3
            for seed, caller in enumerate((first, second, third)):
                assert await caller.echoes(encode_ulaw(noise(160, seed)))


async def test_calls_hear_nothing_of_each_other(log: Log) -> None:
    async with media_port(log) as port, AsyncExitStack() as stack:
        callers = [await stack.enter_async_context(port.call(f"v3:{number}")) for number in range(5)]
        said = [encode_ulaw(noise(1600, seed)) for seed in range(5)]
        for start in range(0, 1600, 160):
            for caller, sound in zip(callers, said, strict=True):
                await caller.say(sound[start : start + 160])
        for caller, sound in zip(callers, said, strict=True):
            assert await caller.hear(1600) == sound


async def test_one_call_too_many_is_turned_away_and_the_running_one_is_not_disturbed(log: Log) -> None:
    async with media_port(log, max_calls=1) as port, port.call("v3:a") as running:
        assert port.server.full
        async with port.socket("v3:b", token=port.token("v3:b")) as other:
            assert await other.closed() == (1013, "no room for another call")
        assert await running.echoes(SOUND)
        await running.send(running.carrier.send_stop())
        await running.closed()
        await until(lambda: not port.server.full)
        async with port.call("v3:c") as next_one:
            assert await next_one.echoes(SOUND)
    assert port.server.describe()["sessions_ended"] == {"overloaded": 1, "stop": 1, "link_lost": 1}


async def test_strangers_without_a_token_do_not_take_the_room_of_calls(log: Log) -> None:
    async with media_port(log, max_calls=3) as port, AsyncExitStack() as stack:
        for _ in range(10):
            await stack.enter_async_context(port.silent())
        for number in range(3):
            caller = await stack.enter_async_context(port.call(f"v3:{number}"))
            assert await caller.echoes(SOUND)
        assert port.server.full


async def test_a_token_that_comes_late_finds_no_room_where_there_is_none(log: Log) -> None:
    async with (
        media_port(log, max_calls=1) as port,
        port.socket("v3:b", late_token=port.token("v3:b")) as late,
        port.call("v3:a") as running,
    ):
        await late.send(late.carrier.send_connected())
        assert await late.closed() == (1013, "no room for another call")
        assert await running.echoes(SOUND)


async def test_the_one_hundred_and_first_socket_without_a_token_is_refused(log: Log) -> None:
    async with media_port(log, max_calls=500) as port, AsyncExitStack() as stack:
        for _ in range(100):
            await stack.enter_async_context(port.silent())
        client = await stack.enter_async_context(RawClient(port.server.address))
        assert await client.upgrade() == 401
        async with port.call() as caller:
            assert await caller.echoes(SOUND)


async def test_sockets_that_were_turned_away_and_linger_do_not_take_the_room_of_calls(log: Log) -> None:
    async with media_port(log, max_calls=1, limits=Limits(close_timeout=60)) as port, AsyncExitStack() as stack:
        async with port.call("v3:a") as running:
            turned_away = [await stack.enter_async_context(port.silent(f"/{port.token()}")) for _ in range(3)]
            for client in turned_away:
                assert await client.closed_with() == (1013, "no room for another call")
            await running.send(running.carrier.send_stop())
            await running.closed()
        assert port.server.describe()["sockets_open"] >= 3
        async with port.call("v3:b") as caller:
            assert await caller.echoes(SOUND)
