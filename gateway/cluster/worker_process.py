"""A worker's process, as its supervisor sees it."""

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Final, Self

from gateway.cluster.worker_protocol import Order, Ready, Refused, Setup
from gateway.errors import WorkerError

__all__ = ["WORKER", "WorkerProcess"]

WORKER: Final = (sys.executable, "-P", "-m", "gateway.cluster.worker")
_START_TIMEOUT: Final = 300.0  # seconds: it may have models to load
_END_TIMEOUT: Final = 10.0


class WorkerProcess:
    """Starts a worker; an async context manager at whose end the process is gone.

    Args:
        setup: What it is told.
        command: Runs it; the descriptor of its pipe is added.

    Attributes:
        pid: Of the process.
    """

    def __init__(self, setup: Setup, command: Sequence[str] = WORKER) -> None:
        self.pid = 0
        self._setup = setup
        self._command = command
        self._answer: asyncio.Future[Ready | Refused | None] = asyncio.get_running_loop().create_future()
        self._pipe: Connection[Setup | Order, Ready | Refused]
        self._process: asyncio.subprocess.Process

    async def __aenter__(self) -> Self:
        self._pipe, theirs = Pipe()
        try:
            with theirs:
                self._process = await asyncio.create_subprocess_exec(
                    *self._command,
                    str(theirs.fileno()),
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                    pass_fds=(theirs.fileno(),),
                    stdin=asyncio.subprocess.DEVNULL,
                )
        except BaseException:
            self._pipe.close()
            raise
        self.pid = self._process.pid
        asyncio.get_running_loop().add_reader(self._pipe.fileno(), self._hear)
        with suppress(OSError):  # it has died already, which `ready` tells
            self._pipe.send(self._setup)
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            if self._process.returncode is None:
                self.tell("end")
                async with asyncio.timeout(_END_TIMEOUT):
                    await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()
        finally:
            asyncio.get_running_loop().remove_reader(self._pipe.fileno())
            self._pipe.close()

    async def ready(self) -> Ready:
        """Wait until the worker takes calls.

        Raises:
            WorkerError: It will not.
        """
        try:
            async with asyncio.timeout(_START_TIMEOUT):
                answer = await self._answer
        except TimeoutError:
            self.kill()  # it would be waited for
            raise WorkerError(f"Cannot start: a worker was not ready within {_START_TIMEOUT:g} s") from None
        match answer:
            case Ready() as ready:
                return ready
            case Refused(reason):
                raise WorkerError(reason)
            case None:
                raise WorkerError(f"Cannot start: a worker ended with {await self.wait()} before it was ready")

    async def wait(self) -> int:
        """Wait until the process has ended: its exit status, or the signal that it died of as a negative number."""
        return await self._process.wait()

    def tell(self, order: Order) -> None:
        """Give an order, unless the process has ended."""
        with suppress(OSError):
            self._pipe.send(order)

    def kill(self) -> None:
        """End the process at once."""
        with suppress(ProcessLookupError):
            self._process.kill()

    def _hear(self) -> None:
        """The worker has said the only thing that it says, or is gone."""
        asyncio.get_running_loop().remove_reader(self._pipe.fileno())
        try:
            answer = self._pipe.recv()
        except (EOFError, OSError):
            answer = None
        if not self._answer.done():
            self._answer.set_result(answer)
