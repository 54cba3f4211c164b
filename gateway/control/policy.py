"""What the gateway does when Telnyx tells of a call: decide over it, then pick up and ask for its sound, or reject it.

A webhook adds to what is known of its call, and what is known decides what is wanted: an answer, a stream, a fork. So
the order of webhooks does not matter, and one that comes too late or twice leads to nothing. What was decided is known
as well: it is decided once, and the next process goes by it. A command's `command_id` is made of the call, the action
and how often it was asked for: whichever event it is that leads to it, in this process or the next, Telnyx acts once.
"""

import asyncio
import re
import uuid
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Self

from structlog.typing import FilteringBoundLogger

from gateway.control.client import CallControl
from gateway.control.decider import Announcement, Decider
from gateway.control.facts import facts_of
from gateway.decision import Decision
from gateway.directory import CallDirectory, CallRecord
from gateway.errors import AdmissionError, CallEndedError, ControlError
from gateway.lifecycle import (
    AnswerAccepted,
    AnswerRefused,
    CallState,
    Decided,
    Fact,
    RejectAccepted,
    RejectRefused,
    StreamRefused,
    StreamRequested,
)
from gateway.protocol.commands import Answer, Command, ForkStart, Reject, StreamingStart
from gateway.protocol.events import CallAnswered, CallInitiated, Event, StreamingFailed

__all__ = ["CallPolicy"]

_WORD: Final = re.compile(r"[a-z_]{1,64}")
_COMMAND_IDS: Final = uuid.UUID("a4a2d1f8-2f0e-4f57-9d53-0c1b8e6d7f21")


class CallPolicy:
    """Decides over each call and sends the commands that follow; an async context manager.

    As long as nobody has told it anything else, every incoming call is answered, and every call that is answered gets a
    stream. A stream that failed is asked for again, after a pause that doubles.

    Args:
        control: Where the commands go; None records only, which is all that can be done without an API key.
        directory: Where the calls are recorded.
        decider: Knows what becomes of a call.
        stream: Makes the `streaming_start` of a call, by its `call_control_id`.
        fork: Makes room for a fork of a call and its `fork_start`. Raises AdmissionError where there is none.
        on_decided: Told of each decision, with the event that it was decided by; must not raise.
        log: Gets one line for each command and stream that failed.
        first_pause: Seconds after which a stream that failed is asked for again.
    """

    def __init__(
        self,
        control: CallControl | None,
        directory: CallDirectory,
        *,
        decider: Decider,
        stream: Callable[[str], StreamingStart],
        fork: Callable[[str], Awaitable[ForkStart]] | None = None,
        on_decided: Callable[[Announcement, Decision], None] = lambda event, decision: None,
        log: FilteringBoundLogger,
        first_pause: float = 0.5,
    ) -> None:
        self._control = control
        self._directory = directory
        self._decider = decider
        self._stream = stream
        self._fork = fork
        self._on_decided = on_decided
        self._log = log
        self._first_pause = first_pause
        self._asking: set[str] = set()  # calls for which a command is under way, or planned
        self._tasks = asyncio.TaskGroup()
        self._planned: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in self._planned:
            task.cancel()
        await self._tasks.__aexit__(None, None, None)

    def resume(self) -> None:
        """Do what an earlier process did not come to: for calls that it left without the answer or stream they want."""
        for record in list(self._directory):
            if record.life.decision is None and self._decider.always_the_same and record.state < CallState.ENDED:
                self._decided(record, Decision())  # else its event is still there, and comes before long
            if self._has_to_act(record):
                self._plan(record)

    def handle(self, event: Event) -> Awaitable[None] | None:
        """Record an event; what follows from it is to be awaited."""
        call_control_id = event.payload.call_control_id
        self._log.debug("event", event_type=event.event_type, call_control_id=call_control_id)
        facts = facts_of(event)
        if call_control_id is None or not facts:
            return None
        problem = None
        if type(event) is StreamingFailed:
            problem = f"streaming failed: {(event.payload.failure_reason or 'no reason given')[:200]}"
            reason = event.payload.failure_reason or ""
            word = reason if _WORD.fullmatch(reason) else "in words"  # which may quote the stream URL
            self._log.warning("streaming failed", reason=word, call_control_id=call_control_id)
        record = self._directory.tell(call_control_id, *facts, problem=problem)
        if (
            (type(event) is CallInitiated or type(event) is CallAnswered)
            and record.life.decision is None
            and record.state < CallState.ENDED
        ):
            # Only a call that was dialled can be answered before anybody has heard of it.
            decision = self._decider.decide(event, record.life.direction or "outgoing")
            if not isinstance(decision, Decision):
                return self._act_when_decided(record, decision, event)
            self._decided(record, decision)
            self._on_decided(event, decision)
        if not self._has_to_act(record):
            return None
        if record.life.streams_failed:
            self._plan(record)  # not awaited: the call's next events must not wait for the pause
            return None
        return self._act(record)

    async def _act_when_decided(self, record: CallRecord, deciding: Awaitable[Decision], event: Announcement) -> None:
        decision = await deciding
        if record.life.decision is None:
            self._decided(record, decision)
            self._on_decided(event, decision)
        await self._act(record)

    def _decided(self, record: CallRecord, decision: Decision) -> None:
        self._directory.tell(record.call_control_id, Decided(decision))
        if decision.rule is not None:
            self._log.info(
                "call decided",
                action=decision.action,
                media=decision.media,
                rule=decision.rule,
                call_control_id=record.call_control_id,
            )

    def _has_to_act(self, record: CallRecord) -> bool:
        if self._control is None or record.call_control_id in self._asking:
            return False
        life = record.life
        return life.decision is not None and (life.wants_answer or life.wants_stream or life.wants_rejection)

    def _plan(self, record: CallRecord) -> None:
        """Have it done in a task of its own, and where a stream has failed not at once."""
        failed = record.life.streams_failed
        pause = self._first_pause * 2.0 ** (failed - 1) if failed else 0.0
        self._asking.add(record.call_control_id)
        task = self._tasks.create_task(self._act_later(record, pause), name=f"policy {record.call_control_id}")
        self._planned.add(task)
        task.add_done_callback(self._planned.discard)

    async def _act_later(self, record: CallRecord, pause: float) -> None:
        try:
            await asyncio.sleep(pause)
        finally:
            self._asking.discard(record.call_control_id)
        await self._act(record)

    async def _act(self, record: CallRecord) -> None:
        """Send what is wanted by now, if anything still is."""
        if not self._has_to_act(record):
            return
        self._asking.add(record.call_control_id)
        try:
            await self._act_now(record)
        finally:
            self._asking.discard(record.call_control_id)
        if self._has_to_act(record):  # as something was told meanwhile
            self._plan(record)

    async def _act_now(self, record: CallRecord) -> None:
        life = record.life
        assert life.decision is not None
        if life.wants_rejection:
            reject = Reject(cause=life.decision.cause)
            await self._send(record, reject, 0, lambda _: RejectAccepted(), lambda _: RejectRefused())
        elif life.wants_answer:
            await self._send(record, Answer(), 0, lambda _: AnswerAccepted(), lambda _: AnswerRefused())
        else:
            command = await self._media_command(record, life.decision)
            if command is not None:
                await self._send(record, command, life.streams_requested, StreamRequested, StreamRefused)

    async def _media_command(self, record: CallRecord, decision: Decision) -> Command | None:
        """What asks for the call's sound; None where there is no room for it, which is told."""
        if decision.media == "stream":
            return self._stream(record.call_control_id)
        try:
            if self._fork is None:
                raise AdmissionError("no_fork", 503, "GATEWAY_FORK_LISTEN is not set")
            return await self._fork(record.call_control_id)
        except AdmissionError as error:
            request = f"fork {record.life.streams_requested}"
            self._directory.tell(record.call_control_id, StreamRefused(request), problem=f"fork_start: {error}")
            self._log.warning("fork not opened", reason=error.reason, call_control_id=record.call_control_id)
            return None

    async def _send(
        self,
        record: CallRecord,
        command: Command,
        times: int,
        accepted: Callable[[str], Fact],
        refused: Callable[[str], Fact],
    ) -> None:
        assert self._control is not None
        call_control_id = record.call_control_id
        command_id = str(uuid.uuid5(_COMMAND_IDS, f"{call_control_id} {command.action} {times}"))
        try:
            await self._control.command(call_control_id, command.with_command_id(command_id))
        except CallEndedError:
            return  # the caller was faster, and `call.hangup` is on its way
        except ControlError as error:
            self._directory.tell(call_control_id, refused(command_id), problem=str(error))
            self._log.warning(
                "command failed",
                action=command.action,
                status=error.status,
                code=error.code,
                call_control_id=call_control_id,
            )
        else:
            self._directory.tell(call_control_id, accepted(command_id))
