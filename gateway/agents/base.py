"""The contract of an agent: one method, which lives as long as its call."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from gateway.call import Call

__all__ = ["Agent", "AgentFactory"]


class Agent(ABC):
    """Answers one call; a new one is made for each."""

    @abstractmethod
    async def run(self, call: Call) -> None:
        """Do all that this call needs.

        `async for item in call` gives what happens, in order. `call.play`, `call.send_audio` and `call.send_dtmf`
        speak; `call.clear`, `call.pause` and `call.resume` interrupt; `call.wait_for_playout` and `call.mark` tell when
        it was heard. A play can be awaited.
        Returning leaves the call as it is. An exception ends this agent and is told in the call's record; the call
        goes on without it. When the call ends, the iteration ends; what still runs a little later is cancelled.
        """


AgentFactory: TypeAlias = Callable[[], Agent]
