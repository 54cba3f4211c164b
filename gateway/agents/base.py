"""The contract of an agent: it gets ready, answers one call, and tidies up."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import msgspec

if TYPE_CHECKING:
    from gateway.call import Call

__all__ = ["Agent", "AgentFactory", "CallSetup"]


class CallSetup(msgspec.Struct, frozen=True, kw_only=True):
    """A call as it is known before its sound comes. What the gateway was not told is None.

    Attributes:
        call_control_id: Telnyx's id of the call.
        direction: `incoming` or `outgoing`.
        caller: Who calls: a number in E.164, or a SIP address. Never to be logged.
        callee: Who is called, likewise.
        client_state: The application's own words for the call, base64.
    """

    call_control_id: str
    direction: str | None = None
    caller: str | None = None
    callee: str | None = None
    client_state: str | None = None


class Agent(ABC):
    """Answers one call; a new one is made for each."""

    async def prepare(self, setup: CallSetup) -> None:  # noqa: B027 - nothing to prepare is the usual case
        """Get ready before the caller can be heard: connect to a service, look up who calls.

        Begun as soon as Telnyx tells of the call, so usually done when its sound comes; where no webhook told of the
        call, begun with the sound. Comes once, before `run`, which waits for it; what is heard meanwhile is kept. The
        call may never be answered: then `close` comes without `run`. An exception counts as one of `run`.
        """

    @abstractmethod
    async def run(self, call: Call) -> None:
        """Do all that this call needs.

        `async for item in call` gives what happens, in order. `call.play`, `call.send_audio` and `call.send_dtmf`
        speak; `call.clear`, `call.pause` and `call.resume` interrupt; `call.wait_for_playout` and `call.mark` tell when
        it was heard. A play can be awaited.
        Returning leaves the call as it is. An exception ends this agent and is told in the call's record; the call
        goes on without it. When the call ends, the iteration ends; what still runs a little later is cancelled.
        """

    async def close(self) -> None:  # noqa: B027 - as `prepare`
        """Give back what `prepare` took. Comes once, at the very end, whatever happened; it has five seconds."""


AgentFactory: TypeAlias = Callable[[], Agent]
