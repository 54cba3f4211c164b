"""Decides over each call: the program's own policy first, then the rules of the settings, then the plain settings.

A policy is a function of somebody else. One that raises, takes too long, or names what does not exist costs nothing but
itself: that is logged, and the rules decide.
"""

import asyncio
import inspect
import threading
import traceback
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
from structlog.typing import FilteringBoundLogger

from gateway.control.routes import Route, Subject, first_match
from gateway.decision import Decision
from gateway.errors import ConfigError
from gateway.protocol.events import CallAnswered, CallInitiated
from gateway.protocol.messages import Start

__all__ = ["Announcement", "Decider", "Policy"]

Announcement: TypeAlias = CallInitiated | CallAnswered
"""What a call is decided by: `call.initiated`, or `call.answered` where that comes first."""

Policy: TypeAlias = Callable[[Announcement], "Decision | Awaitable[Decision | None] | None"]
"""Decides over a call; None leaves it to the rules. A plain function is called in a thread of its own."""

_MAX_THREADS: Final = 16
_AS_SET: Final = Decision()
"""What becomes of a call by the plain settings."""


class Decider:
    """Knows what becomes of a call.

    Args:
        routes: The rules; the first that matches decides.
        policy: The program's own; asked before the rules.
        timeout: Seconds that the policy may take.
        check: Raises ConfigError for a decision that cannot be carried out.
        log: Gets a line for each time that the policy failed.

    Attributes:
        failed: How often the policy did.
    """

    def __init__(
        self,
        routes: Sequence[Route] = (),
        *,
        policy: Policy | None = None,
        timeout: float = 2.0,
        check: Callable[[Decision], None] = lambda _: None,
        log: FilteringBoundLogger,
    ) -> None:
        self.failed = 0
        self._routes = routes
        self._policy = policy
        self._timeout = timeout
        self._check = check
        self._log = log
        self._threads = 0

    @property
    def always_the_same(self) -> bool:
        """Whether all calls are treated alike, and none needs to be looked at."""
        return not self._routes and self._policy is None

    def decide(self, event: Announcement, direction: str | None) -> Decision | Awaitable[Decision]:
        """Decide over a call; never raises, and what is to be awaited has its time limit."""
        if self._policy is not None:
            return self._ask(self._policy, event, direction)
        return self._by_rules(event, direction)

    def of_stream(self, start: Start, direction: str | None, decided: Decision | None) -> Decision:
        """What becomes of a stream that begins.

        Args:
            start: The stream's first message.
            direction: Of its call, where that is known.
            decided: What was decided of the call; a rule that names parameters of this stream knows more.
        """
        subject = Subject.of_stream(start, direction)
        by_parameters = first_match(self._routes, subject, by_parameters=True)
        return by_parameters or decided or first_match(self._routes, subject) or Decision()

    def _by_rules(self, event: Announcement, direction: str | None) -> Decision:
        if not self._routes:
            return _AS_SET
        return first_match(self._routes, Subject.of_event(event, direction)) or _AS_SET

    async def _ask(self, policy: Policy, event: Announcement, direction: str | None) -> Decision:
        try:
            async with asyncio.timeout(self._timeout):
                deciding: Any = policy(event) if _is_async(policy) else self._in_thread(policy, event)
                decision = await deciding
                if inspect.isawaitable(decision):  # as of a lambda around a coroutine function
                    decision = await decision
            if decision is not None:
                if not isinstance(decision, Decision):
                    raise TypeError(f"it returned {type(decision).__name__}, want Decision or None")
                self._check(decision)
                return decision if decision.rule else msgspec.structs.replace(decision, rule="policy")
        except TimeoutError:
            self._fail(event, f"it took more than {self._timeout:g} s")
        except ConfigError as error:
            self._fail(event, str(error))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - somebody else's code; the rules decide then
            # Neither message nor traceback: the usual one is a KeyError, and quotes the number that was called.
            self._fail(event, _name(error))
        return self._by_rules(event, direction)

    async def _in_thread(self, policy: Policy, event: Announcement) -> Any:
        """Call a plain function where it keeps nobody waiting; one that never returns costs its thread."""
        if self._threads >= _MAX_THREADS:
            raise ConfigError(f"{_MAX_THREADS} calls of it have not returned")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()

        def settle(value: Any, error: BaseException | None) -> None:
            self._threads -= 1
            if not answer.done():
                if error is None:
                    answer.set_result(value)
                else:
                    answer.set_exception(error)

        def run() -> None:
            value, error = None, None
            try:
                value = policy(event)
            except BaseException as raised:  # noqa: BLE001 - handed on; a future takes no StopIteration
                error = RuntimeError("StopIteration") if isinstance(raised, StopIteration) else raised
            with suppress(RuntimeError):  # the gateway has ended meanwhile
                loop.call_soon_threadsafe(settle, value, error)

        self._threads += 1
        threading.Thread(target=run, name="policy", daemon=True).start()
        return await answer

    def _fail(self, event: Announcement, error: str) -> None:
        self.failed += 1
        self._log.error("policy failed", error=error, call_control_id=event.payload.call_control_id)


def _is_async(policy: Policy) -> bool:
    return inspect.iscoroutinefunction(policy) or inspect.iscoroutinefunction(type(policy).__call__)


def _name(error: BaseException) -> str:
    """The error's kind and place."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(where.filename).name}:{where.lineno}"
