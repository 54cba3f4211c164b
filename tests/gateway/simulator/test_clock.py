"""Time that is handed in."""

import asyncio
import time

from gateway.simulator.clock import Clock, Timers
from tests.fakes import FakeClock, settle

from .application import timelapse


def make() -> tuple[FakeClock, Clock]:
    fake = FakeClock()
    return fake, Clock(fake, lambda: 1e9 + fake.now, fake.call_later)


async def test_a_sleeper_wakes_when_its_time_has_come() -> None:
    fake, clock = make()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        sleeper = tasks.create_task(clock.sleep(60.0))
        await settle()
        fake.run_until(159.9)
        await settle()
        assert not sleeper.done()
        fake.run_until(160.0)


async def test_a_sleeper_that_is_cancelled_leaves_no_timer() -> None:
    fake, clock = make()
    sleeper = asyncio.ensure_future(clock.sleep(60.0))
    await settle()
    assert len(fake.pending) == 1
    sleeper.cancel()
    await settle()
    assert fake.pending == []


def test_timers_are_given_up_together() -> None:
    fake, clock = make()
    timers, fired = Timers(clock), list[str]()
    for name, delay in (("a", 1.0), ("b", 2.0), ("c", 3.0)):
        timers.later(delay, lambda name=name: fired.append(name))  # type: ignore[misc]
    fake.run_until(101.0)
    timers.cancel()
    fake.run_until(200.0)
    assert fired == ["a"]
    timers.later(1.0, lambda: fired.append("d"))
    fake.run_until(201.0)
    assert fired == ["a", "d"]


@timelapse
async def test_the_loops_clock_is_real_unless_the_loop_says_otherwise() -> None:
    clock = Clock.of_loop()
    before = clock.now()
    assert abs(clock.unix() - time.time()) < 10
    await clock.sleep(3600)
    assert 3600 <= clock.now() - before < 3601
