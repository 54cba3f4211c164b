"""One thread that does jobs in the order they were given."""

import asyncio
import os
import queue
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import TypeVar

from gateway.errors import SinkError

__all__ = ["WorkerThread"]

T = TypeVar("T")


class WorkerThread:
    """A thread that does jobs in the order they were given, all of them.

    Not a `ThreadPoolExecutor`: the interpreter waits for its threads when it exits, for ever if one of them hangs.
    The queue has no bound of its own; whoever gives jobs keeps count of those that are not done.
    """

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def submit(self, job: Callable[[], T]) -> "Future[T]":
        """Do a job after those that were given before; the future gives its result. Cancelling it changes nothing."""
        done: Future[T] = Future()
        self._jobs.put(partial(_do, job, done))
        return done

    async def run(self, job: Callable[[], T]) -> T:
        """Do a job and wait for it: `submit` for the event loop, with half the cost. Cancelling changes nothing."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._jobs.put(partial(_do_for_loop, job, done, loop))
        try:
            return await done
        finally:
            del done  # which has an error, whose traceback has this frame: else they would keep each other

    def stop(self) -> None:
        """End the thread after the jobs given so far; does not wait for it."""
        self._jobs.put(None)

    def _run(self) -> None:
        _yield_to_the_loop()
        while (job := self._jobs.get()) is not None:
            job()
            del job  # it may hold much, and the next one may be long in coming


def _yield_to_the_loop() -> None:
    """Have this thread wait for a pause of the others on its core, and not cut in whenever it is given a job.

    With 600 recorded calls on one core that halves the 99th percentile of their latency. Linux has it (sched(7)).
    """
    if sys.platform == "linux":
        with suppress(OSError):  # where a sandbox does not allow it
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _do(job: Callable[[], T], done: "Future[T]") -> None:
    wanted = done.set_running_or_notify_cancel()
    try:
        result = job()
    except BaseException as error:  # noqa: BLE001 - the thread goes on, and a SystemExit must not reach the event loop
        if wanted:
            done.set_exception(_harmless(error))
    else:
        if wanted:
            done.set_result(result)
    finally:
        del done  # as in `run`


def _do_for_loop(job: Callable[[], T], done: "asyncio.Future[T]", loop: asyncio.AbstractEventLoop) -> None:
    try:
        tell = partial(_set_result, done, job())
    except BaseException as error:  # noqa: BLE001 - as above
        tell = partial(_set_exception, done, _harmless(error))
    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(tell)
    del tell, done  # as in `run`


def _set_result(done: "asyncio.Future[T]", result: T) -> None:
    if not done.done():
        done.set_result(result)


def _set_exception(done: "asyncio.Future[T]", error: Exception) -> None:
    if not done.done():
        done.set_exception(error)


def _harmless(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else SinkError(f"it raised {error!r}")
