"""What the gateway does when Telnyx tells of a call: pick up, then ask for the call's sound.

Webhooks come in any order and the media socket tells of the same call, so the record decides: a step that is not the
call's newest, or was told before, is recorded and nothing follows from it.
"""

from collections.abc import Callable
from typing import assert_never

from structlog.typing import FilteringBoundLogger

from gateway.control.client import CALL_HAS_ENDED, CallControl
from gateway.directory import CallDirectory, CallRecord, CallState
from gateway.errors import ControlError
from gateway.protocol.commands import Answer, Command, StreamingStart
from gateway.protocol.events import (
    CallAnswered,
    CallHangup,
    CallInitiated,
    Event,
    StreamingFailed,
    StreamingStarted,
    StreamingStopped,
    UnknownEvent,
)

__all__ = ["AnswerAndStream"]


class AnswerAndStream:
    """Answers every incoming call and opens a stream on every call that is answered.

    Args:
        control: Where the commands go; None records only, which is all that can be done without an API key.
        directory: Where the calls are recorded.
        stream: Makes the `streaming_start` of a call, by its `call_control_id`.
        log: Gets one line for each command that failed.
    """

    def __init__(
        self,
        control: CallControl | None,
        directory: CallDirectory,
        *,
        stream: Callable[[str], StreamingStart],
        log: FilteringBoundLogger,
    ) -> None:
        self._control = control
        self._directory = directory
        self._stream = stream
        self._log = log

    async def handle(self, event: Event) -> None:
        """Record an event, and do what follows from it."""
        call_control_id = event.payload.call_control_id
        self._log.debug("event", event_type=event.event_type, call_control_id=call_control_id)
        if call_control_id is None or isinstance(event, UnknownEvent):
            return
        match event:
            case CallInitiated(payload=payload):
                record, new = self._reach(call_control_id, CallState.INITIATED)
                record.direction = payload.direction
                if new and payload.direction == "incoming":
                    await self._send(record, Answer())
            case CallAnswered():
                record, new = self._reach(call_control_id, CallState.ANSWERED)
                if new:
                    await self._send(record, self._stream(call_control_id))
            case StreamingStarted():
                self._reach(call_control_id, CallState.STREAMING)
            case StreamingStopped():
                self._reach(call_control_id, CallState.STOPPED)
            case StreamingFailed(payload=payload):
                reason = (payload.failure_reason or "no reason given")[:200]
                self._directory.reach(call_control_id, CallState.INITIATED).note_problem(f"streaming failed: {reason}")
            case CallHangup(payload=payload):
                record, _ = self._reach(call_control_id, CallState.ENDED)
                record.hangup_cause = payload.hangup_cause
            case _:
                assert_never(event)

    def _reach(self, call_control_id: str, state: CallState) -> tuple[CallRecord, bool]:
        """Record a state; also whether it is told for the first time and the call is not past it."""
        known = self._directory.get(call_control_id)
        told_before = known is not None and state in known.reached
        record = self._directory.reach(call_control_id, state)
        return record, record.state is state and not told_before

    async def _send(self, record: CallRecord, command: Command) -> None:
        if self._control is None:
            return
        try:
            await self._control.command(record.call_control_id, command)
        except ControlError as error:
            if error.code == CALL_HAS_ENDED:
                return  # the caller was faster, and `call.hangup` is on its way
            record.note_problem(str(error))
            self._log.warning(
                "command failed",
                action=command.action,
                status=error.status,
                code=error.code,
                call_control_id=record.call_control_id,
            )
