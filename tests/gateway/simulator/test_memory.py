"""Connections in memory behave as those over a network do."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from gateway.simulator.memory import MemoryTransport
from gateway.simulator.timelapse import TimeLapseLoop

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


def between(server: Handler, client: Talk) -> None:
    """Run both ends of one connection."""

    async def main() -> None:
        served = asyncio.Event()

        async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await server(reader, writer)
            served.set()

        listening = await asyncio.start_server(serve_one, "127.0.0.1", 0)
        async with listening, asyncio.timeout(60):
            reader, writer = await asyncio.open_connection("127.0.0.1", listening.sockets[0].getsockname()[1])
            assert isinstance(writer.transport, MemoryTransport)
            await client(reader, writer)
            writer.close()
            await served.wait()

    with asyncio.Runner(loop_factory=TimeLapseLoop) as runner:
        runner.run(main())


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1000):
        writer.write(data)
        await writer.drain()
    writer.close()


def test_octets_go_both_ways_in_order_and_an_end_of_file_is_answered() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        octets = bytes(range(256)) * 1000
        writer.write(octets)
        writer.write_eof()
        assert await reader.read() == octets

    between(echo, talk)


def test_a_reset_reaches_the_other_end_as_one_and_takes_what_waits_with_it() -> None:
    ended: list[BaseException | bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            ended.append(await reader.read())
        except ConnectionResetError as error:
            ended.append(error)
        writer.close()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        writer.write(b"lost")
        writer.transport.abort()
        while not ended:  # noqa: ASYNC110 - the other end tells nobody
            await asyncio.sleep(0.01)

    between(listen, talk)
    assert isinstance(ended[0], ConnectionResetError)


def test_a_writer_whose_reader_does_not_read_is_paused_and_goes_on_later() -> None:
    go_on = asyncio.Event()

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await go_on.wait()
        while await reader.read(65_536):
            pass
        writer.close()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes(1_000_000))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await writer.drain()
        assert writer.transport.get_write_buffer_size() > 500_000
        go_on.set()
        await writer.drain()
        writer.write_eof()
        assert await reader.read() == b""

    between(late, talk)


def test_a_websocket_runs_over_it_with_both_ends_of_the_library() -> None:
    async def answer(socket: ServerConnection) -> None:
        async for text in socket:
            await socket.send(text)

    async def main() -> None:
        async with serve(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with connect(f"ws://127.0.0.1:{port}", proxy=None) as socket:
                assert isinstance(socket.transport, MemoryTransport)
                await socket.send("hello" * 50_000)
                assert await socket.recv() == "hello" * 50_000

    with asyncio.Runner(loop_factory=TimeLapseLoop) as runner:
        runner.run(main())


def test_a_port_that_was_closed_refuses() -> None:
    async def main() -> None:
        listening = await asyncio.start_server(echo, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        listening.close()
        await listening.wait_closed()
        with pytest.raises(OSError, match=r"refused|Connect call failed"):
            await asyncio.open_connection("127.0.0.1", port)

    with asyncio.Runner(loop_factory=TimeLapseLoop) as runner:
        runner.run(main())
