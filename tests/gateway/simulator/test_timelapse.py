import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from gateway.simulator.timelapse import TimeLapseLoop

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T], *, speed: float | None = None) -> T:
    with asyncio.Runner(loop_factory=lambda: TimeLapseLoop(speed=speed)) as runner:
        return runner.run(main)


def test_an_hour_passes_at_once_and_on_the_loops_clock_in_full() -> None:
    async def wait() -> float:
        loop = asyncio.get_running_loop()
        before = loop.time()
        await asyncio.sleep(3600)
        return loop.time() - before

    began = time.monotonic()
    assert run(wait()) == pytest.approx(3600, abs=0.001)
    assert time.monotonic() - began < 60


def test_timers_fire_in_their_order_and_at_their_time() -> None:
    async def collect() -> list[tuple[str, float]]:
        loop = asyncio.get_running_loop()
        start = loop.time()
        fired: list[tuple[str, float]] = []

        def fire(name: str) -> None:
            fired.append((name, round(loop.time() - start, 3)))

        for name, delay in (("late", 90.0), ("early", 0.5), ("middle", 7.25)):
            loop.call_later(delay, fire, name)
        await asyncio.sleep(100)
        return fired

    assert run(collect()) == [("early", 0.5), ("middle", 7.25), ("late", 90.0)]


def test_work_takes_none_of_the_loops_time() -> None:
    async def work() -> float:
        loop = asyncio.get_running_loop()
        before = loop.time()
        time.sleep(0.05)  # noqa: ASYNC251 - stands for work
        await asyncio.sleep(0)
        return loop.time() - before

    assert run(work()) == 0


def test_what_a_socket_brings_is_seen_before_the_clock_goes_on() -> None:
    async def talk() -> tuple[bytes, float]:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readline())
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            loop = asyncio.get_running_loop()
            asked = loop.time()
            async with asyncio.timeout(5):
                reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
                writer.write(b"hello\n")
                answered = await reader.readline()
            writer.close()
            return answered, loop.time() - asked

    answered, took = run(talk())
    assert answered == b"hello\n"
    assert took < 1


def test_a_thread_has_its_real_time_where_the_speed_is_bounded() -> None:
    async def wait() -> float:
        began = time.monotonic()
        await asyncio.sleep(10)
        return time.monotonic() - began

    assert run(wait(), speed=100) >= 0.1


def test_without_a_timer_the_loop_waits_for_threads() -> None:
    async def wait() -> float:
        began = time.monotonic()
        await asyncio.to_thread(time.sleep, 0.05)
        return time.monotonic() - began

    assert run(wait()) >= 0.05
