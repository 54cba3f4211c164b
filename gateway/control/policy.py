"""What the gateway does when Telnyx tells of a call: pick up, then ask for the call's sound.

A webhook adds to what is known of its call, and what is known decides what is wanted: an answer, or a stream. So the
order of webhooks does not matter, and one that comes too late or twice leads to nothing. A command's `command_id` is
made of the call, the action and how often it was asked for: whichever event it is that leads to it, in this process or
in the next, Telnyx acts once.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Self

from structlog.typing import FilteringBoundLogger

from gateway.control.client import CallControl
from gateway.control.facts import facts_of
from gateway.directory import CallDirectory, CallRecord
from gateway.errors import CallEndedError, ControlError
from gateway.lifecycle import AnswerAccepted, AnswerRefused, Fact, StreamRefused, StreamRequested
from gateway.protocol.commands import Answer, Command, StreamingStart
from gateway.protocol.events import Event, StreamingFailed

__all__ = ["AnswerAndStream"]

_COMMAND_IDS: Final = uuid.UUID("a4a2d1f8-2f0e-4f57-9d53-0c1b8e6d7f21")


class AnswerAndStream:
    """Answers every incoming call and opens a stream on every call that is answered; an async context manager.

    A stream that failed is asked for again, after a pause that doubles.

    Args:
        control: Where the commands go; None records only, which is all that can be done without an API key.
        directory: Where the calls are recorded.
        stream: Makes the `streaming_start` of a call, by its `call_control_id`.
        log: Gets one line for each command and stream that failed.
        first_pause: Seconds after which a stream that failed is asked for again.
    """

    def __init__(
        self,
        control: CallControl | None,
        directory: CallDirectory,
        *,
        stream: Callable[[str], StreamingStart],
        log: FilteringBoundLogger,
        first_pause: float = 0.5,
    ) -> None:
        self._control = control
        self._directory = directory
        self._stream = stream
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
            self._log.warning("streaming failed", reason=problem, call_control_id=call_control_id)
        record = self._directory.tell(call_control_id, *facts, problem=problem)
        if not self._has_to_act(record):
            return None
        if record.life.streams_failed:
            self._plan(record)  # not awaited: the call's next events must not wait for the pause
            return None
        return self._act(record)

    def _has_to_act(self, record: CallRecord) -> bool:
        if self._control is None or record.call_control_id in self._asking:
            return False
        return record.life.wants_answer or record.life.wants_stream

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
            if record.life.wants_answer:
                await self._send(record, Answer(), 0, lambda _: AnswerAccepted(), lambda _: AnswerRefused())
            else:
                command = self._stream(record.call_control_id)
                await self._send(record, command, record.life.streams_requested, StreamRequested, StreamRefused)
        finally:
            self._asking.discard(record.call_control_id)
        if self._has_to_act(record):  # as something was told meanwhile
            self._plan(record)

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
