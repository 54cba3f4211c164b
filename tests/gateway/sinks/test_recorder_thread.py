"""The writer thread: every job, in order, whatever becomes of the others."""

import threading
from functools import partial

import pytest

from gateway.sinks.recorder.thread import WriterThread


def test_jobs_are_done_in_order_in_another_thread() -> None:
    writer, done, threads = WriterThread("writer"), list[int](), set[int]()

    def job(number: int) -> None:
        done.append(number)
        threads.add(threading.get_ident())

    writer.start()
    for number in range(100):
        writer.submit(partial(job, number))
    writer.submit(lambda: None).result(timeout=5)
    assert done == list(range(100))
    assert len(threads) == 1
    assert threading.get_ident() not in threads
    writer.stop()


def test_a_job_that_fails_tells_so_and_the_next_is_done() -> None:
    def fail() -> None:
        raise OSError("the disk is full")

    writer = WriterThread("writer")
    writer.start()
    failing, next_one = writer.submit(fail), writer.submit(lambda: None)
    with pytest.raises(OSError, match="the disk is full"):
        failing.result(timeout=5)
    next_one.result(timeout=5)
    writer.stop()


def test_a_job_is_done_though_nobody_waits_for_it_any_more() -> None:
    writer, done = WriterThread("writer"), threading.Event()
    forgotten = writer.submit(done.set)
    forgotten.cancel()
    writer.start()
    assert done.wait(timeout=5)
    writer.stop()


def test_what_was_given_before_the_stop_is_done() -> None:
    writer, done = WriterThread("writer"), threading.Event()
    writer.submit(done.set)
    writer.stop()
    writer.start()
    assert done.wait(timeout=5)
