"""One thread that does jobs in the order they were given."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future

__all__ = ["WriterThread"]


class WriterThread:
    """A thread for what waits on the disk.

    Not a `ThreadPoolExecutor`: the interpreter waits for its threads when it exits, for ever if the disk hangs, and a
    cancelled future of its is a job not done. Here, every job that was given is done.

    The queue has no bound of its own; whoever gives jobs keeps count of those that are not done.
    """

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], None], Future[None]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin with the jobs."""
        self._thread.start()

    def submit(self, job: Callable[[], None]) -> Future[None]:
        """Do a job after those that were given before; the future tells when it is done, and its exception."""
        done: Future[None] = Future()
        self._jobs.put((job, done))
        return done

    def stop(self) -> None:
        """End the thread after the jobs given so far; does not wait for it."""
        self._jobs.put(None)

    def _run(self) -> None:
        while (item := self._jobs.get()) is not None:
            job, done = item
            wanted = done.set_running_or_notify_cancel()
            try:
                job()
            except Exception as error:  # noqa: BLE001 - the thread serves all; who gave the job gets its exception
                if wanted:
                    done.set_exception(error)
            else:
                if wanted:
                    done.set_result(None)
