"""The calls of one process, against far sides on a socket; and the figures of a load that was late."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from websockets.asyncio.server import ServerConnection

from gateway.bench.generator import Generator
from gateway.bench.level import Level
from gateway.bench.plan import CallPlan
from gateway.bench.tally import Tally
from gateway.bench.verdict import Limits, doubts
from tests.gateway.bench.far_side import close_at_once, echo, far_side, plan, read_only, until


@asynccontextmanager
async def load(
    made: CallPlan, calls: int, *, clock: Callable[[], float] = time.perf_counter
) -> AsyncIterator[Generator]:
    generator = Generator(made, clock=clock)
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(generator.run())
        generator.want(calls)
        await until(lambda: generator.settled)
        try:
            yield generator
        finally:
            generator.stop()


async def measured(
    made: CallPlan, calls: int, seconds: float = 0.6, *, clock: Callable[[], float] = time.perf_counter
) -> Tally:
    async with load(made, calls, clock=clock) as generator:
        generator.meter.open(clock())
        await asyncio.sleep(seconds)
        generator.meter.close(clock())
        await asyncio.sleep(0.3)
        return generator.meter.take()


async def test_each_call_sends_fifty_frames_a_second_and_each_comes_back() -> None:
    async with far_side(echo) as url:
        tally = await measured(plan(url), 5)
    assert 5 * 25 <= tally.sent <= 5 * 33
    assert tally.asked == tally.answered == tally.sent
    assert len(tally.round_trips) == tally.sent
    assert (tally.doubled, tally.foreign, tally.refused, tally.closed) == (0, 0, {}, {})


async def test_the_deadlines_of_all_calls_are_spread_over_the_20_ms() -> None:
    deadlines: list[float] = []

    def note(due: float, now: float) -> None:
        deadlines.append(due)

    async with far_side(read_only) as url, load(plan(url, measure="ping", two_way=False), 20) as generator:
        generator.meter.sent = note  # type: ignore[method-assign]
        await until(lambda: len(deadlines) > 100)
    moments = sorted(due % 0.02 for due in deadlines)
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert max(gaps) < 2.5 * 0.02 / 20


async def test_a_load_on_a_clock_that_runs_away_is_late_and_its_figures_are_doubted() -> None:
    def hasty() -> float:
        return 4 * time.perf_counter()

    async with far_side(echo) as url:
        tally = await measured(plan(url), 3, clock=hasty)
    found = doubts(Level(3, 3, 1.0, tally, [0.1]), Limits())
    assert len(found) == 1
    assert found[0].startswith("the load was late: p99 ")


async def test_a_load_that_stood_still_does_not_say_all_it_missed_at_once() -> None:
    jumped = 0.0

    def clock() -> float:
        return time.perf_counter() + jumped

    async with far_side(echo) as url, load(plan(url), 2, clock=clock) as generator:
        generator.meter.open(clock())
        jumped = 30.0
        await asyncio.sleep(0.4)
        tally = generator.meter.take()
    assert tally.sent < 100, "not 3000"
    assert tally.lateness.longest > 29


async def test_calls_come_and_go_as_they_are_wanted() -> None:
    open_sockets: set[ServerConnection] = set()

    async def note(socket: ServerConnection) -> None:
        open_sockets.add(socket)
        await echo(socket)
        open_sockets.discard(socket)

    async with far_side(note) as url, load(plan(url), 3) as generator:
        assert len(open_sockets) == 3
        generator.want(1)
        assert generator.settled
        await until(lambda: len(open_sockets) == 1)
        generator.want(4)
        await until(lambda: generator.settled)
        assert generator.up == 4
        assert generator.meter.take().closed == {}


async def test_calls_that_end_are_replaced_and_nothing_of_them_is_lost() -> None:
    async with far_side(echo) as url:
        tally = await measured(plan(url, call_seconds=1.0), 3, 1.6)
    assert tally.ended >= 1
    assert tally.loss == 0
    assert tally.sent >= 3 * 50


async def test_calls_that_are_closed_are_counted_with_the_reason_and_not_tried_again() -> None:
    opened = 0

    async def count(socket: ServerConnection) -> None:
        nonlocal opened
        opened += 1
        await close_at_once(socket)

    async with far_side(count) as url:
        generator = Generator(plan(url))
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            tasks.create_task(generator.run())
            generator.want(3)
            await until(lambda: generator.meter.tally.closed.total() == 3)
            assert generator.settled
            generator.stop()
    assert generator.meter.take().closed == {"closed by the far side with 1013": 3}
    assert opened == 3


async def test_where_nobody_listens_each_call_is_refused(unused_tcp_port: int) -> None:
    async with load(plan(f"ws://127.0.0.1:{unused_tcp_port}/media"), 2) as generator:
        (reason,) = generator.meter.take().refused
        assert "refused" in reason.lower() or "Connect call failed" in reason
        assert generator.up == 0
