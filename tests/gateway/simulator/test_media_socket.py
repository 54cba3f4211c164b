"""The media socket from Telnyx's end, against a real server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve

from gateway.simulator.media_socket import MediaSocket, SocketError
from tests.fakes import FakeClock


@asynccontextmanager
async def connected(
    handler: Callable[[ServerConnection], Awaitable[None]], clock: FakeClock | None = None
) -> AsyncIterator[MediaSocket]:
    async with asyncio.timeout(10), serve(handler, "127.0.0.1", 0, compression=None, max_size=None) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        socket = await MediaSocket.open(url, headers={"x": "y"}, ping_interval=None, now=clock or FakeClock())
        try:
            yield socket
        finally:
            socket.cut()


async def test_texts_go_and_come_in_order() -> None:
    async def echo(server: ServerConnection) -> None:
        assert server.request is not None
        await server.send(server.request.headers["x"])
        async for text in server:
            await server.send(text)

    async with connected(echo) as socket:
        for word in (b"one", b"two"):
            socket.send(word)
        came: list[str | bytes] = []
        async for text in socket.texts():
            came.append(text)
            if len(came) == 3:
                await socket.close(1000)
        assert came == ["y", "one", "two"]
        with pytest.raises(SocketError, match="fell"):
            socket.send(b"late")


async def test_a_cut_is_no_good_bye() -> None:
    closed: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

    async def wait(server: ServerConnection) -> None:
        await server.wait_closed()
        closed.set_result(server.close_code)

    async with connected(wait) as socket:
        socket.cut()
        assert await closed == 1006


async def test_a_socket_that_falls_says_so() -> None:
    async def fall(server: ServerConnection) -> None:
        server.transport.abort()

    async with connected(fall) as socket:
        with pytest.raises(SocketError, match="fell"):
            async for _ in socket.texts():
                pass


async def test_what_the_application_does_not_read_is_given_up_after_five_seconds() -> None:
    over = asyncio.Event()

    async def deaf(server: ServerConnection) -> None:
        server.transport.pause_reading()
        await over.wait()
        server.transport.abort()

    clock = FakeClock()
    async with connected(deaf, clock) as socket:
        await asyncio.sleep(0.05)  # until it has stopped reading
        for _ in range(12):  # more than the system's own buffers take
            socket.send(b"x" * 1_000_000)
        clock.now += 4.9
        socket.send(b"still")
        clock.now += 0.2
        with pytest.raises(SocketError, match="not read for 5 s"):
            socket.send(b"no more")
        over.set()


@pytest.mark.parametrize("url", ["ws://127.0.0.1:9/", "ws://127.0.0.1:99999/", "http://127.0.0.1/", "ws://"])
async def test_a_socket_that_cannot_be_opened_says_why(url: str) -> None:
    with pytest.raises(SocketError, match="cannot be opened"):
        await MediaSocket.open(url, headers=None, ping_interval=None, now=FakeClock())
