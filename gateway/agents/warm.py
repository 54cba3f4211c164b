"""Agents that get ready while the telephone still rings: from the webhook that tells of a call to its first sound."""

import asyncio
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from structlog.typing import FilteringBoundLogger

from gateway.agents.base import Agent, AgentFactory, CallSetup
from gateway.errors import AgentError
from gateway.protocol.events import CallAnswered, CallInitiated

__all__ = ["PreparedAgent", "WarmAgents", "setup_of"]

_CLOSE_TIMEOUT: Final = 5.0


class PreparedAgent:
    """One agent, from its making to its end.

    Args:
        agent: The agent.
        setup: Its call.
        timeout: Seconds that it may take to get ready.
    """

    def __init__(self, agent: Agent, setup: CallSetup, *, timeout: float) -> None:
        self.agent = agent
        self._setup = setup
        self._timeout = timeout
        self._ready = asyncio.Event()
        self._error: Exception | None = None
        self._task: asyncio.Task[None] | None = None  # where somebody else has it prepared

    @property
    def prepares(self) -> bool:
        """Whether it has anything to get ready."""
        return type(self.agent).prepare is not Agent.prepare

    def begin(self, tasks: asyncio.TaskGroup) -> None:
        """Get ready in a task."""
        self._task = tasks.create_task(self.prepare(), name="prepare agent")

    async def prepare(self) -> None:
        """Get ready; what fails is told by `ready`."""
        try:
            async with asyncio.timeout(self._timeout):
                await self.agent.prepare(self._setup)
        except TimeoutError as error:
            self._error = error if str(error) else AgentError(f"it was not ready within {self._timeout:g} s")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, it is this agent's failure
            self._error = error if isinstance(error, Exception) else AgentError(f"it raised {error!r}")
        finally:
            self._ready.set()

    async def ready(self) -> None:
        """Wait until it is ready.

        Raises:
            Exception: What its preparation failed with.
        """
        if self._task is None and not self._ready.is_set():
            await self.prepare()
        await self._ready.wait()
        if self._error is not None:
            raise self._error

    async def close(self) -> None:
        """Stop getting ready, and give everything back.

        Raises:
            Exception: What its clean-up failed with.
        """
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait((self._task,), timeout=_CLOSE_TIMEOUT)
        async with asyncio.timeout(_CLOSE_TIMEOUT):
            await self.agent.close()


def setup_of(event: CallInitiated | CallAnswered) -> CallSetup:
    """What a call's first event tells of it."""
    payload = event.payload
    return CallSetup(
        call_control_id=payload.call_control_id or "",
        direction=event.payload.direction if isinstance(event, CallInitiated) else None,
        caller=payload.from_,
        callee=payload.to,
        client_state=payload.client_state,
    )


class _Waiting(NamedTuple):
    make: AgentFactory
    prepared: PreparedAgent
    timer: asyncio.TimerHandle


class WarmAgents:
    """Makes agents before their calls can be heard; an async context manager.

    What was made for a call that never comes is closed when the call is over, or after a while.

    Args:
        log: Told of what goes wrong with agents whose call never came.
        limit: How many may wait for their call; of further calls the agent is made when their sound comes.
        patience: Seconds that an agent waits for its call.
        timeout: Seconds that an agent may take to get ready.

    Attributes:
        missed: Calls whose agent could not be made early, as too many waited, or as it could not be made.
    """

    def __init__(
        self,
        *,
        log: FilteringBoundLogger,
        limit: int = 500,
        patience: float = 180.0,
        timeout: float = 15.0,
    ) -> None:
        self.missed = 0
        self._log = log
        self._limit = limit
        self._patience = patience
        self._timeout = timeout
        self._waiting: dict[str, _Waiting] = {}
        self._tasks = asyncio.TaskGroup()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for call_control_id in list(self._waiting):
            self.call_over(call_control_id)
        self._loop = None
        await self._tasks.__aexit__(None, None, None)

    def describe(self) -> dict[str, Any]:
        """Counters for the operator."""
        return {"agents_warm": len(self._waiting), "agents_not_warm": self.missed}

    def expect(self, setup: CallSetup, make: AgentFactory) -> None:
        """A call is on its way, and will be answered by such an agent; returns at once, and does nothing twice."""
        if self._loop is None or setup.call_control_id in self._waiting:
            return
        if len(self._waiting) >= self._limit:
            self.missed += 1
            return
        try:
            prepared = PreparedAgent(make(), setup, timeout=self._timeout)
        except Exception as error:  # noqa: BLE001 - it is tried again with the call, which then has the failure
            self.missed += 1
            self._log.warning("agent cannot be made early", error=f"{type(error).__name__}: {error}"[:500])
            return
        if prepared.prepares:
            prepared.begin(self._tasks)
        timer = self._loop.call_later(self._patience, self.call_over, setup.call_control_id)
        self._waiting[setup.call_control_id] = _Waiting(make, prepared, timer)

    def take(self, call_control_id: str, make: AgentFactory) -> PreparedAgent | None:
        """The agent of a call whose sound comes now, if this would make it as well; whoever takes it closes it."""
        waiting = self._waiting.get(call_control_id)
        if waiting is None or waiting.make is not make:  # another rule decided over the stream than over the call
            self.call_over(call_control_id)
            return None
        del self._waiting[call_control_id]
        waiting.timer.cancel()
        return waiting.prepared

    def call_over(self, call_control_id: str) -> None:
        """A call has ended, or waited too long: if its sound never came, its agent is closed."""
        waiting = self._waiting.pop(call_control_id, None)
        if waiting is not None:
            waiting.timer.cancel()
            self._tasks.create_task(self._close(waiting.prepared), name="close agent")

    async def _close(self, prepared: PreparedAgent) -> None:
        try:
            await prepared.close()
        except Exception as error:  # noqa: BLE001 - nobody waits for it any more
            self._log.warning("agent without a call failed", error=f"{type(error).__name__}: {error}"[:500])
