import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.control.sse import EventStreams
from gateway.feed import CallFeed

NOW = 1_763_640_000.0
FIRST = int(NOW * 1e6) + 1
Client = TestClient[web.Request, web.Application]


@asynccontextmanager
async def following(feed: CallFeed, **options: float) -> AsyncIterator[Client]:
    """A server of events of `v3:a` at `/one`, and of all calls at `/all`."""
    streams = EventStreams(feed, **options)  # type: ignore[arg-type]

    async def one(request: web.Request) -> web.StreamResponse:
        return await streams.answer(request, "v3:a")

    async def every(request: web.Request) -> web.StreamResponse:
        return await streams.answer(request, None)

    app = web.Application()
    app.add_routes([web.get("/one", one), web.get("/all", every)])
    app.on_shutdown.append(streams.close)
    async with asyncio.timeout(10), TestClient(TestServer(app)) as client:
        yield client


def feed(**limits: int) -> CallFeed:
    return CallFeed(clock=lambda: NOW, **limits)


async def test_events_are_told_as_the_standard_has_them() -> None:
    calls = feed()
    async with following(calls) as client, client.get("/one") as stream:
        calls.publish("v3:b", "other", {})
        calls.publish("v3:a", "gather.ended", {"digits": "1\n2"})
        assert stream.headers["Content-Type"] == "text/event-stream"
        assert await stream.content.readuntil(b"\n\n") == b"retry: 2000\n\n"
        lines = (await stream.content.readuntil(b"\n\n")).decode().split("\n")
    assert lines[:2] == [f"id: {FIRST + 1}", "event: gather.ended"]
    assert lines[2].startswith("data: {")
    assert '"digits":"1\\n2"' in lines[2]
    assert lines[3:] == ["", ""]


async def test_who_comes_back_goes_on_behind_the_last_event() -> None:
    calls = feed()
    for name in ("one", "two", "three"):
        calls.publish("v3:a", name, {})
    async with following(calls) as client:
        async with client.get("/one", headers={"Last-Event-ID": str(FIRST + 1)}) as stream:
            await stream.content.readuntil(b"\n\n")
            assert (await stream.content.readuntil(b"\n\n")).startswith(b"id: %d\nevent: three\n" % (FIRST + 2))
        async with client.get("/all", headers={"Last-Event-ID": "1"}) as stream:
            await stream.content.readuntil(b"\n\n")
            assert b"event: feed.gap\n" in await stream.content.readuntil(b"\n\n")


async def test_much_that_was_missed_is_written_down_a_little_at_a_time() -> None:
    calls = feed()
    turn = 0
    written_in: Counter[int] = Counter()

    async def count_turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    def reading(octets: bytes) -> dict[str, str]:
        written_in[turn] += 1
        return {"number": octets.decode()}

    for number in range(400):
        calls.publish_octets("v3:a", "event", b"%d" % number, reading)
    counting = asyncio.create_task(count_turns())
    async with following(calls) as client, client.get("/one") as stream:
        await stream.content.readuntil(b"\n\n")
        for number in range(400):
            assert b'{"number":"%d"}' % number in await stream.content.readuntil(b"\n\n")
    counting.cancel()
    assert sum(written_in.values()) == 400
    assert max(written_in.values()) <= 50


@pytest.mark.parametrize("last_id", ["x", "-1", "1.5", "9" * 19, "\u0661"])
async def test_a_last_event_id_that_is_no_number_is_refused(last_id: str) -> None:
    async with following(feed()) as client, client.get("/one", headers={"Last-Event-ID": last_id}) as answer:
        assert answer.status == 400


async def test_silence_is_broken_by_comments() -> None:
    async with following(feed(), heartbeat=0.01) as client, client.get("/one") as stream:
        await stream.content.readuntil(b"\n\n")
        assert await stream.content.readuntil(b"\n\n") == b":\n\n"


async def test_there_is_a_bound_on_readers_and_one_that_leaves_makes_room() -> None:
    calls = feed()
    async with following(calls, max_readers=1, heartbeat=0.01) as client:
        async with client.get("/one") as first:
            await first.content.readuntil(b"\n\n")
            async with client.get("/all") as second:
                assert (second.status, second.headers["Retry-After"]) == (503, "5")
        while calls.readers:  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.005)


async def test_a_reader_that_stops_reading_is_cut_off_and_counted_and_the_others_hear_everything() -> None:
    calls = feed()
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(following(calls, write_timeout=0.1))
        host, port = client.server.host, client.server.port
        assert port is not None
        deaf = socket.socket()
        stack.callback(deaf.close)
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect((host, port))
        deaf.sendall(b"GET /one HTTP/1.1\r\nHost: x\r\n\r\n")
        async with client.get("/one") as stream:
            await stream.content.readuntil(b"\n\n")
            while calls.readers < 2:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.005)
            heard = published = 0
            while not calls.readers_dropped:
                calls.publish("v3:a", "one", {"text": "x" * 60_000})
                published += 1
                while heard < published:
                    heard += b"event: one\n" in await stream.content.readuntil(b"\n\n")
                await asyncio.sleep(0)
            while calls.readers > 1:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.005)
            assert calls.readers_dropped == 1
            calls.publish("v3:a", "last", {})
            assert b"event: last\n" in await stream.content.readuntil(b"\n\n")


async def test_a_server_that_stops_ends_its_streams() -> None:
    calls = feed()
    async with following(calls) as client:
        stream = await client.get("/one")
        await stream.content.readuntil(b"\n\n")
        loop = asyncio.get_running_loop()
        begin = loop.time()
        await client.server.close()
        assert loop.time() - begin < 5
        assert await stream.content.read() == b""
    assert calls.readers == 0
