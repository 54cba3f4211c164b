"""A call whose media socket falls, and the next socket of the same call."""

import asyncio
import itertools

import pytest

from gateway.agents.base import Agent
from gateway.call import Call
from gateway.lifecycle import CallState
from gateway.protocol.messages import MediaFormat
from tests.fakes import ListSink
from tests.gateway.control.conftest import Log
from tests.gateway.server.media_port import Caller, MediaPort, media_port
from tests.gateway.server.wire import until

A = bytes(range(120)) + bytes(range(130, 170))  # without 127, which PCMU decodes to the same as 255
B = bytes(range(80, 120)) + bytes(range(130, 250))


async def fall(port: MediaPort, caller: Caller) -> None:
    """Cut the connection without a word; returns when the server knows."""
    caller.socket.transport.abort()
    await until(lambda: port.server.describe()["streams_lost"] == 1)


@pytest.mark.parametrize("stream_id", ["STREAM", "ANOTHER"])
async def test_a_new_socket_goes_on_with_the_call_under_whatever_name(log: Log, stream_id: str) -> None:
    sink = ListSink()
    async with media_port(log, reconnect_grace=5.0, sinks={"list": sink.factory}) as port:
        token = port.token()
        async with port.call(token=token) as first:
            assert await first.echoes(A)
            await fall(port, first)
            assert port.server.calls_running == 1
            assert port.state() is CallState.STREAMING
            async with port.socket("v3:a", stream_id, token=token) as second:
                await second.begin()
                assert await second.echoes(B)
                await second.send(second.carrier.send_stop())
                report = await port.stopped()
    assert port.server.calls_started == 1
    assert port.server.reconnects == 1
    assert (report["reconnects"], report["stream_id"], report["end_reason"]) == (1, stream_id, "stop")
    assert report["received"]["packets_received"] == 2
    assert [gap["cause"] for gap in report["received"]["ledger"]["gaps"]] in ([], ["reconnect"])
    inbound = [frame for frame in sink.frames if frame.track == "inbound"]
    assert [frame.payload for frame in inbound if frame.payload] == [A, B]
    assert all(a.timestamp + len(a.samples) == b.timestamp for a, b in itertools.pairwise(inbound))


async def test_when_nobody_comes_back_the_call_ends_as_lost(log: Log) -> None:
    async with media_port(log, reconnect_grace=0.05) as port, port.call() as caller:
        caller.socket.transport.abort()
        report = await port.stopped()
    assert report["end_reason"] == "link_lost"
    assert port.server.describe()["streams_lost"] == 0
    assert port.server.sessions_ended == {"link_lost": 1}


async def test_stop_ends_the_call_at_once(log: Log) -> None:
    async with media_port(log, reconnect_grace=60.0) as port, port.call() as caller:
        await caller.send(caller.carrier.send_stop())
        assert (await port.stopped())["end_reason"] == "stop"


async def test_a_hang_up_ends_the_waiting_of_that_call_and_of_no_other(log: Log) -> None:
    async with media_port(log, reconnect_grace=60.0) as port, port.call("v3:a") as caller, port.call("v3:b") as other:
        caller.socket.transport.abort()
        other.socket.transport.abort()
        await until(lambda: port.server.describe()["streams_lost"] == 2)
        port.server.call_over("v3:a")
        assert (await port.stopped("v3:a"))["end_reason"] == "link_lost"
        assert port.server.calls_running == 1


async def test_the_newer_of_two_sockets_of_a_stream_wins_and_the_older_can_end_nothing(log: Log) -> None:
    async with media_port(log, reconnect_grace=5.0) as port:
        token = port.token()
        async with port.call(token=token) as older:
            assert await older.echoes(A)
            async with port.socket(token=token) as newer:
                await newer.begin()
                assert await older.closed() == (4000, "the stream came in again")
                assert await newer.echoes(B)
                await asyncio.sleep(0)
                assert port.server.calls_running == 1
                await newer.send(newer.carrier.send_stop())
                report = await port.stopped()
    assert report["reconnects"] == 1
    assert port.server.sessions_ended == {"stop": 1}


async def test_a_socket_that_is_silent_gives_way_to_another_of_its_call(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.server.media_server._QUIET", 0.05)
    async with media_port(log, reconnect_grace=5.0) as port:
        token = port.token()
        async with port.call(token=token) as dead, port.socket("v3:a", "ANOTHER", token=token) as alive:
            assert await dead.echoes(A)
            await asyncio.sleep(0.1)  # what it is about: real time in which nothing comes
            await alive.begin()
            assert await dead.closed() == (4000, "the stream came in again")
            assert await alive.echoes(B)
            assert port.server.calls_started == 1


async def test_two_streams_of_one_call_that_both_speak_are_two(log: Log) -> None:
    async with media_port(log, reconnect_grace=5.0) as port, port.call("v3:a", "ONE") as one:
        assert await one.echoes(A)
        async with port.call("v3:a", "TWO") as two:
            assert await two.echoes(A)
            assert await one.echoes(B)
    assert port.server.reconnects == 0


async def test_what_the_agent_says_meanwhile_is_heard_on_the_next_socket(log: Log) -> None:
    said = asyncio.Event()

    class Talker(Agent):
        async def run(self, call: Call) -> None:
            await said.wait()
            call.play(call_sound, 8000)
            await call.wait_ended()

    from audio_codecs import decode_ulaw

    call_sound = decode_ulaw(A * 3)
    async with media_port(log, reconnect_grace=5.0, agent=Talker) as port:
        token = port.token()
        async with port.call(token=token) as first:
            await first.say(A)
            await fall(port, first)
            said.set()
            async with port.socket(token=token) as second:
                await second.begin()
                assert await second.hear(480) == A * 3


async def test_a_stream_that_takes_another_codec_is_another_call(log: Log) -> None:
    async with media_port(log, auth="none", reconnect_grace=5.0) as port, port.call() as first:
        await fall(port, first)
        async with port.call(media_format=MediaFormat("PCMA", 8000)) as second:
            assert await second.echoes(A)
    assert (port.server.calls_started, port.server.reconnects) == (2, 0)
    assert port.server.sessions_ended["replaced"] == 1


async def test_a_lost_call_keeps_its_room_for_itself(log: Log) -> None:
    async with media_port(log, reconnect_grace=5.0, max_calls=1) as port:
        token = port.token()
        async with port.call(token=token) as first:
            await fall(port, first)
            async with port.socket("v3:b", token=port.token("v3:b")) as stranger:
                assert (await stranger.closed())[0] == 1013
            async with port.socket(token=token) as second:
                await second.begin()
                assert await second.echoes(A)


async def test_a_shutdown_ends_a_call_that_waits(log: Log) -> None:
    async with media_port(log, reconnect_grace=60.0) as port, port.call() as caller:
        await fall(port, caller)
    assert port.server.sessions_ended == {"shutdown": 1}
