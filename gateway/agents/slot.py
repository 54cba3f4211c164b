"""The place of the agent in one call: it keeps the agent's life, and keeps its failures from everything else.

An agent reads what happens from a mailbox, which is made when it begins to read. What comes before its first wait is
kept for it, so that an agent that reads or listens at once misses nothing; while it still gets ready, as much is kept
as the mailbox would hold.
"""

import asyncio
import traceback
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from structlog.typing import FilteringBoundLogger

from gateway.agents.base import AgentFactory, CallSetup
from gateway.agents.failure import OnFailure
from gateway.agents.warm import PreparedAgent, WarmAgents
from gateway.errors import AgentError
from gateway.items import CallItem
from gateway.mailbox import Mailbox
from gateway.media.frame import AudioFrame

if TYPE_CHECKING:
    from gateway.call import Call

__all__ = ["AgentSlot"]

_MAILBOX_ITEMS: Final = 500
_PREPARE_TIMEOUT: Final = 15.0


class AgentSlot:
    """Runs one agent for one call; without an agent, whoever else reads the call.

    Args:
        make: Makes the agent; None for no agent.
        warm: May have made it already.
        on_failure: What is done for the caller when it fails.
        grace: Seconds that the agent may go on after the call's end, and as many again to take its cancellation.
        on_listening: Given `tell` when it is to be called with frames, and None when that leads nowhere any more.
        log: The call's.

    Attributes:
        error: What the agent failed with.
    """

    def __init__(
        self,
        make: AgentFactory | None,
        *,
        warm: WarmAgents | None = None,
        on_failure: OnFailure,
        grace: float,
        on_listening: Callable[[Callable[[CallItem], None] | None], None],
        log: FilteringBoundLogger,
    ) -> None:
        self.error: str | None = None
        self._on_listening = on_listening
        self._make = make
        self._warm = warm
        self._on_failure = on_failure
        self._grace = grace
        self._log = log
        self._early: deque[CallItem] = deque(maxlen=_MAILBOX_ITEMS)
        self._early_dropped = 0
        self._begun = make is None
        self._ended = False
        self._mailbox: Mailbox[CallItem] | None = None
        if make is not None:
            on_listening(self.tell)

    @property
    def items_dropped(self) -> int:
        """How many items the agent was too slow for."""
        return self._early_dropped + (0 if self._mailbox is None else self._mailbox.dropped)

    def tell(self, item: CallItem) -> None:
        """Let the agent know."""
        if self._mailbox is not None:
            self._mailbox.put(item)
        if not self._begun:
            self._early_dropped += len(self._early) == _MAILBOX_ITEMS
            self._early.append(item)

    def read(self) -> Mailbox[CallItem]:
        """What is told from now on; for one reader."""
        if self._mailbox is None:
            self._mailbox = Mailbox(_MAILBOX_ITEMS, expendable=AudioFrame)
            self._on_listening(self.tell)
            for item in self._early:
                self._mailbox.put(item)
            if self._ended:
                self._mailbox.close()
        return self._mailbox

    def early_frames(self) -> list[AudioFrame]:
        """What came before the agent's first wait."""
        return [item for item in self._early if isinstance(item, AudioFrame)]

    def close(self) -> None:
        """Nothing more will be told: the call has ended."""
        self._ended = True
        if self._mailbox is not None:
            self._mailbox.close()

    async def run(self, call: "Call") -> None:
        """Run the agent beside its call, a little longer than it if need be; whatever it does stays its own."""
        if self._make is None:
            return
        setup = CallSetup(call_control_id=call.call_control_id, client_state=call.info.client_state)
        try:
            prepared = None if self._warm is None else self._warm.take(call.call_control_id, self._make)
            if prepared is None:
                prepared = PreparedAgent(self._make(), setup, timeout=_PREPARE_TIMEOUT)
        except Exception as error:  # noqa: BLE001 - an agent that cannot be made is its own failure
            self._begin()
            await self._fail(call, error)
            return
        failure = await self._run(prepared, call)
        self._begin()
        if failure is not None:
            await self._fail(call, failure)

    async def _run(self, prepared: PreparedAgent, call: "Call") -> BaseException | None:
        """Run it to its end, and a little longer than the call; returns what it failed with."""
        agent = asyncio.ensure_future(self._live(prepared, call))
        ended = asyncio.ensure_future(call.wait_ended())
        try:
            await asyncio.wait((agent, ended), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait((agent,), timeout=self._grace)
        finally:
            ended.cancel()
            stopped = agent.cancel()
        await asyncio.wait((agent,), timeout=self._grace)
        if not agent.done():
            return AgentError(f"it cannot be stopped, {2 * self._grace:g} s after the call's end")
        if not agent.cancelled():
            return agent.exception()
        if stopped:
            self._log.warning("agent did not end with its call", grace=self._grace)
            return AgentError(f"it had not ended {self._grace:g} s after the call, and was stopped")
        return AgentError("it cancelled itself")

    async def _live(self, prepared: PreparedAgent, call: "Call") -> None:
        try:
            if prepared.prepares:
                await prepared.ready()
            asyncio.get_running_loop().call_soon(self._begin)  # once it has come to its first wait
            await prepared.agent.run(call)
        except SystemExit as error:  # asyncio would end the process with it
            raise AgentError(f"it raised {error!r}") from error
        finally:
            await prepared.close()

    def _begin(self) -> None:
        """The agent has had its first step: what is told is no longer kept for it."""
        if not self._begun:
            self._begun = True
            self._early.clear()
            self._on_listening(None if self._mailbox is None else self.tell)

    async def _fail(self, call: "Call", error: BaseException) -> None:
        self.error = f"{type(error).__name__}: {error}"[:500]
        self._log.error("agent failed", error=self.error, exc_info=error)
        call.publish("agent.failed", {"error": self.error, "during_call": call.end_reason is None})
        traceback.clear_frames(error.__traceback__)  # they know the call, and whatever has the error
        await self._on_failure(call)
