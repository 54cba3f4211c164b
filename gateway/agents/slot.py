"""The place of the agent in one call: it keeps the agent's life, and keeps its failures from everything else.

An agent reads what happens from a mailbox, which is made when it begins to read. What comes before its first wait is
kept for it, so that an agent that reads or listens at once misses nothing.
"""

import asyncio
from typing import TYPE_CHECKING, Final

from structlog.typing import FilteringBoundLogger

from gateway.agents.base import AgentFactory
from gateway.items import CallItem
from gateway.mailbox import Mailbox
from gateway.media.frame import AudioFrame

if TYPE_CHECKING:
    from gateway.call import Call

__all__ = ["AgentSlot"]

_MAILBOX_ITEMS: Final = 500


class AgentSlot:
    """Runs one agent for one call; without an agent, whoever else reads the call.

    Args:
        make: Makes the agent; None for no agent.
        grace: Seconds that the agent may go on after the call's end, and as many again to take its cancellation.
        log: The call's.

    Attributes:
        error: What the agent failed with.
        listening: Whether `tell` leads anywhere.
    """

    def __init__(self, make: AgentFactory | None, *, grace: float, log: FilteringBoundLogger) -> None:
        self.error: str | None = None
        self.listening = make is not None
        self._make = make
        self._grace = grace
        self._log = log
        self._early: list[CallItem] = []
        self._begun = make is None
        self._ended = False
        self._mailbox: Mailbox[CallItem] | None = None

    @property
    def items_dropped(self) -> int:
        """How many items the agent was too slow for."""
        return 0 if self._mailbox is None else self._mailbox.dropped

    def tell(self, item: CallItem) -> None:
        """Let the agent know."""
        if self._mailbox is not None:
            self._mailbox.put(item)
        if not self._begun:
            self._early.append(item)

    def read(self) -> Mailbox[CallItem]:
        """What is told from now on; for one reader."""
        if self._mailbox is None:
            self._mailbox = Mailbox(_MAILBOX_ITEMS, expendable=AudioFrame)
            self.listening = True
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
        try:
            agent = asyncio.ensure_future(self._make().run(call))
        except Exception as error:  # noqa: BLE001 - an agent that cannot be made is its own failure
            self._begin()
            self._fail(error)
            return
        ended = asyncio.ensure_future(call.wait_ended())
        try:
            await asyncio.sleep(0)  # lets the agent come to its first wait
            self._begin()
            await asyncio.wait((agent, ended), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait((agent,), timeout=self._grace)
        finally:
            ended.cancel()
            agent.cancel()
        done, _ = await asyncio.wait((agent,), timeout=self._grace)
        if not done:
            self._fail(TimeoutError(f"it cannot be stopped, {2 * self._grace:g} s after the call's end"))
        elif agent.cancelled():
            self._log.warning("agent did not end with its call", grace=self._grace)
        elif (failure := agent.exception()) is not None:
            self._fail(failure)

    def _begin(self) -> None:
        """The agent has had its first step: what is told is no longer kept for it."""
        self._begun = True
        self._early.clear()
        self.listening = self._mailbox is not None

    def _fail(self, error: BaseException) -> None:
        self.error = f"{type(error).__name__}: {error}"[:500]
        self._log.error("agent failed", error=self.error, exc_info=error)
