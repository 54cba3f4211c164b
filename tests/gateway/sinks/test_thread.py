"""One thread, its jobs in order."""

import os
import sys
import threading
from functools import partial

import pytest

from gateway.errors import SinkError
from gateway.sinks.thread import WorkerThread
from tests.gateway.sinks.streams import until


async def test_jobs_are_done_in_order_in_one_thread_that_is_not_ours() -> None:
    thread, done, names = WorkerThread("test"), list[int](), set[str]()

    def job(number: int) -> int:
        done.append(number)
        names.add(threading.current_thread().name)
        return number * 2

    futures = [thread.submit(partial(job, number)) for number in range(100)]
    assert await thread.run(lambda: job(100)) == 200
    assert [future.result() for future in futures] == [2 * number for number in range(100)]
    assert (done, names) == (list(range(101)), {"test"})
    thread.stop()
    await until(lambda: "test" not in {other.name for other in threading.enumerate()})


@pytest.mark.parametrize(("error", "seen"), [(ValueError("no"), ValueError), (SystemExit(3), SinkError)])
async def test_what_a_job_raises_is_given_back_and_the_thread_goes_on(
    error: BaseException, seen: type[Exception]
) -> None:
    thread = WorkerThread("test")

    def job() -> None:
        raise error

    with pytest.raises(seen):
        await thread.run(job)
    assert await thread.run(lambda: "well") == "well"
    thread.stop()


async def test_a_job_that_nobody_waits_for_any_more_is_done_all_the_same() -> None:
    thread, go, done = WorkerThread("test"), threading.Event(), list[int]()
    thread.submit(lambda: go.wait(10))
    future = thread.submit(lambda: done.append(1))
    failing = thread.submit(lambda: done[99])
    assert future.cancel()
    assert failing.cancel()
    go.set()
    await thread.run(lambda: done.append(2))
    assert done == [1, 2]
    thread.stop()


async def test_it_does_not_cut_in_where_the_system_can_tell_threads_apart() -> None:
    if sys.platform != "linux":
        pytest.skip("Linux has it")
    thread = WorkerThread("quiet")
    assert await thread.run(lambda: os.sched_getscheduler(0)) == os.SCHED_BATCH
    thread.stop()
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
