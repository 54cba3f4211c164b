"""Tells the other workers which calls begin here, and what is told too late of those that they have."""

import asyncio
import json
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Final, Self

from structlog.typing import FilteringBoundLogger

from gateway.cluster.owners import Owners
from gateway.cluster.peers import Peers
from gateway.directory import CallDirectory
from gateway.errors import StoreError, WorkerGoneError

__all__ = ["Announcer"]

_PATIENCE: Final = 5.0
"""Seconds that a worker may not be there. One that starts after them reads of the call in the store."""


class Announcer:
    """An async context manager, which owns the tasks.

    Args:
        owners: Knows which calls begin here.
        peers: The other workers.
        directory: Gets what they give away.
        log: Where failures are told.

    Attributes:
        moved: Calls that came here from other workers.
    """

    def __init__(self, owners: Owners, peers: Peers, directory: CallDirectory, *, log: FilteringBoundLogger) -> None:
        self.moved = 0
        self._owners = owners
        self._peers = peers
        self._directory = directory
        self._log = log
        self._tasks = asyncio.TaskGroup()
        self._running: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._begin(self._run(), "announcer")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in self._running:
            task.cancel()
        await self._tasks.__aexit__(None, None, None)

    def _begin(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = self._tasks.create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self) -> None:
        owners = self._owners
        while True:
            await owners.wake.wait()
            owners.wake.clear()
            while owners.unannounced:
                call_control_id, told = owners.unannounced.pop()
                self._begin(self._announce(call_control_id, told), f"announce {call_control_id}")
            while owners.late:
                call_control_id = owners.late.pop()
                record = self._directory.give_away(call_control_id)
                if record is not None:
                    self._begin(self._send_after(call_control_id, record), f"send after {call_control_id}")

    async def _announce(self, call_control_id: str, told: asyncio.Future[None]) -> None:
        try:
            winner = await self._tell_others(call_control_id, self._owners.slot.index)
            if winner is not None:  # it begins there as well
                record = self._directory.give_away(call_control_id)
                self._owners.moved(call_control_id, winner, given=True)
                await self._tell_others(call_control_id, winner)
                if record is not None:
                    await self._send_after(call_control_id, record)
        finally:
            if self._owners.begun.get(call_control_id) is told:
                del self._owners.begun[call_control_id]
            told.set_result(None)

    async def _tell_others(self, call_control_id: str, owner: int) -> int | None:
        """Tell all but the owner who that is; gives the worker that says it is its own call."""
        body = json.dumps({"call_control_id": call_control_id, "owner": owner}).encode()
        others = [worker for worker in range(self._owners.slot.count) if worker not in (self._owners.slot.index, owner)]
        refused = await asyncio.gather(*(self._tell(worker, call_control_id, body) for worker in others))
        return next((worker for worker, no in zip(others, refused, strict=True) if no), None)

    async def _send_after(self, call_control_id: str, record: bytes) -> None:
        owner = self._owners.owner_of(call_control_id)
        body = json.dumps({"call_control_id": call_control_id, "record": record.decode()}).encode()
        try:
            await self._peers.ask(owner, "POST", "/cluster/told", body=body, patience=_PATIENCE)
        except WorkerGoneError as error:
            self._log.warning("call not told of", worker=owner, error=str(error), call_control_id=call_control_id)

    async def _tell(self, worker: int, call_control_id: str, body: bytes) -> bool:
        """Announce a call to one worker, and take what that one was told of it; True where it says that it is its."""
        try:
            answer = await self._peers.ask(worker, "POST", "/cluster/begun", body=body, patience=_PATIENCE)
            refused = answer.status == 409
            if answer.status == 200:
                self.moved += 1
                self._directory.take_over(call_control_id, answer.body)
                self._log.info("call moved here", from_worker=worker, call_control_id=call_control_id)
        except (WorkerGoneError, StoreError) as error:
            self._log.warning("call not announced", worker=worker, error=str(error), call_control_id=call_control_id)
            return False
        return refused
