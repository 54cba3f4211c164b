"""The process that starts the workers, starts those again that die, and passes on when all are to end.

It has no part in any call. If it dies itself, the workers drain and end.
"""

import asyncio
import secrets
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from structlog.typing import FilteringBoundLogger

from gateway.cluster.ports import reserved
from gateway.cluster.slot import WorkerSlot
from gateway.cluster.worker_process import WORKER, WorkerProcess
from gateway.cluster.worker_protocol import Order, Ready, Setup
from gateway.config import Settings
from gateway.errors import WorkerError
from gateway.sinks.delivery import Restart
from gateway.sinks.restarts import Restarts

__all__ = ["Supervisor"]

_AGAIN: Final = Restart(first=0.25, longest=30.0, attempts=sys.maxsize, healthy=60.0)
_END_TIMEOUT: Final = 30.0
"""Seconds that a worker gets to close what its calls had open, before it is killed."""
_LONGEST_FOLDER: Final = 70
"""Characters: the path of a Unix socket has 107 at most, and ends in the name of a folder and its own."""


class Supervisor:
    """Runs as many workers as the settings say.

    Args:
        settings: Of all workers.
        log: Where it is told which worker has ended, and how.
        command: Runs a worker.
    """

    def __init__(self, settings: Settings, *, log: FilteringBoundLogger, command: Sequence[str] = WORKER) -> None:
        self._settings = settings
        self._log = log
        self._command = command
        self._running: dict[int, WorkerProcess] = {}
        self._stop = asyncio.Event()
        self._first: Ready

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain; a second signal ends the running calls.

        Raises:
            WorkerError: A worker cannot start.
            OSError: A port is not to be had.
        """

        async def heeding_signals() -> None:
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, self.stop)
            await self.serve()

        asyncio.run(heeding_signals())

    async def serve(self) -> None:
        """Serve until `stop`, and print a line when all workers take calls.

        Raises:
            WorkerError: A worker cannot start.
            OSError: A port is not to be had.
        """
        settings = self._settings
        if not hasattr(socket, "SOCK_SEQPACKET"):  # and where it is missing, connections are not spread over a port
            raise WorkerError("Cannot start: several workers want Linux; --workers 1 runs everywhere")
        with ExitStack() as stack:
            ports = {
                name: stack.enter_context(reserved(address))
                for name in ("media_listen", "http_listen", "webhook_listen")
                if (address := getattr(settings, name)) is not None
            }
            settings = settings.model_copy(update=ports)
            folder = Path(stack.enter_context(_folder_of_sockets()))
            key = secrets.token_bytes(32)
            slots = (WorkerSlot(index, settings.workers, folder, key) for index in range(settings.workers))
            try:
                await self._keep_all([Setup(slot, settings) for slot in slots])
            except* WorkerError as group:
                raise group.exceptions[0] from None

    def stop(self) -> None:
        """Let the running calls end, then end; the second time, end the calls."""
        if not self._stop.is_set():
            self._stop.set()
            self._log.info("draining", workers=len(self._running), timeout=self._settings.drain_timeout)
            self._order("drain", timeout=self._settings.drain_timeout + _END_TIMEOUT)
        else:
            self._order("end", timeout=_END_TIMEOUT)

    async def _keep_all(self, setups: list[Setup]) -> None:
        started = [asyncio.Event() for _ in setups]
        async with asyncio.TaskGroup() as tasks:
            # The first one is alone for a moment: it makes what is not there yet, such as the database.
            for some in (slice(0, 1), slice(1, None)):
                for setup, event in list(zip(setups, started, strict=True))[some]:
                    tasks.create_task(self._keep(setup, event), name=f"worker {setup.slot.index}")
                for event in started[some]:
                    await event.wait()
                if self._stop.is_set():
                    return
            # Scripts wait for this line on standard output; the log goes to standard error.
            sys.stdout.write(f"ready media={self._first.media_url} http={self._first.http_url}\n")
            sys.stdout.flush()

    async def _keep(self, setup: Setup, started: asyncio.Event) -> None:
        """Run one worker, and another in its place, until all are to end."""
        index, restarts = setup.slot.index, Restarts(_AGAIN)
        log, clock = self._log.bind(worker=index), asyncio.get_running_loop().time
        while not self._stop.is_set():
            async with WorkerProcess(setup, self._command) as worker:
                self._running[index] = worker
                if self._stop.is_set():
                    worker.tell("drain")
                try:
                    ready = await worker.ready()
                except WorkerError as error:
                    if not self._stop.is_set():
                        if not started.is_set():
                            raise
                        log.error("worker cannot start", reason=str(error))  # noqa: TRY400 - its own words say it all
                else:
                    if restarts.opened(now=clock()):
                        log.info("worker started again", pid=worker.pid)
                    if not started.is_set():
                        self._first = ready
                        started.set()
                status = await worker.wait()
            del self._running[index]
            if not self._stop.is_set():
                wait = restarts.failed(now=clock())
                log.error("worker ended", how=_told(status), again_in=wait)
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._stop.wait()
        started.set()

    def _order(self, order: Order, *, timeout: float) -> None:
        for worker in self._running.values():
            worker.tell(order)
            asyncio.get_running_loop().call_later(timeout, worker.kill)


def _told(status: int) -> str:
    """How a process has ended, in words."""
    return f"exit status {status}" if status >= 0 else signal.Signals(-status).name


def _folder_of_sockets() -> "tempfile.TemporaryDirectory[str]":
    """A folder that nobody else may enter; under /tmp where the usual place is too deep for the path of a socket."""
    usual = len(tempfile.gettempdir()) <= _LONGEST_FOLDER
    return tempfile.TemporaryDirectory(prefix="telnyx-gateway-", dir=None if usual else "/tmp")  # noqa: S108 - 0700
