"""One simulated incoming call, from `call.initiated` to `call.hangup`."""

import asyncio
import time
import uuid
from typing import Any, Final

from gateway.protocol.commands import Answer, Command, Hangup, StreamingStart, StreamingStop
from gateway.protocol.messages import MediaFormat, StartBody
from gateway.simulator.caller import Caller
from gateway.simulator.journal import Journal
from gateway.simulator.leg import Leg
from gateway.simulator.refusal import Refusal
from gateway.simulator.streaming import SAMPLE_RATE, Streaming, StreamPlan, plan_stream
from gateway.simulator.webhooks import Outbox, Webhook

__all__ = ["SimulatedCall"]

_MAX_SECONDS: Final = 14_400.0
"""How long a call may last before Telnyx ends it, in seconds."""


class SimulatedCall:
    """A caller on a leg, the stream that the application asks for, and the webhooks that tell of it all.

    Args:
        leg: Who it is.
        caller: What is said. The caller speaks while there is a stream; a second stream hears what comes next.
        outbox: Takes the webhooks.
        user_id: The account's id, for `start`.
        answer_timeout: Seconds until an unanswered call ends.
    """

    def __init__(self, leg: Leg, caller: Caller, outbox: Outbox, *, user_id: str, answer_timeout: float = 30.0) -> None:
        self.leg = leg
        self.journal = Journal(SAMPLE_RATE)
        self._caller = caller
        self._outbox = outbox
        self._user_id = user_id
        self._answer_timeout = answer_timeout
        self._answered = asyncio.Event()
        self._hung_up = asyncio.Event()
        self._finished = asyncio.Event()
        self._tasks: asyncio.TaskGroup | None = None
        self._streaming: Streaming | None = None
        self._stream_ended = asyncio.Event()

    @property
    def finished(self) -> bool:
        """Whether the call has ended and every webhook was delivered or given up."""
        return self._finished.is_set()

    async def wait_finished(self) -> None:
        """Wait until `finished`."""
        await self._finished.wait()

    async def run(self) -> None:
        """Live through the call; returns when its last webhook was delivered or given up."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                tasks.create_task(self._outbox.run(), name="webhooks")
                self._emit("call.initiated", self.leg.call_payload() | {"direction": "incoming"})
                await self._wait_for_hangup()
                if self._streaming is not None:
                    self._streaming.stop()
                    await self._stream_ended.wait()
                self._emit("call.hangup", self.leg.call_payload())
                self._outbox.close()
        finally:
            self.hang_up("unspecified", "unknown")
            self._finished.set()

    def receive_command(self, command: Command) -> None:
        """Carry out a command.

        Raises:
            Refusal: It is not possible now, or the simulator cannot do it.
        """
        plan = plan_stream(command) if isinstance(command, Answer | StreamingStart) else None
        if not self.leg.receive_command(command, now=time.time()):
            return
        match command:
            case Answer():
                self._answered.set()
                self._emit("call.answered", self.leg.call_payload())
            case Hangup():
                answered = self._answered.is_set()
                self.hang_up("normal_clearing" if answered else "call_rejected", "callee")
            case StreamingStop() if self._streaming is not None:
                self._streaming.stop()
        if plan is not None:
            self._start_stream(plan)

    def hang_up(self, cause: str, source: str) -> None:
        """End the call; the words are those of `call.hangup`."""
        self.leg.end(cause, source, now=time.time())
        self._answered.set()
        self._hung_up.set()

    def describe(self) -> dict[str, Any]:
        """The call as JSON-ready values, without the lists that grow with every media message."""
        leg = self.leg
        return {
            "call_control_id": leg.call_control_id,
            "call_leg_id": leg.call_leg_id,
            "call_session_id": leg.call_session_id,
            "from": leg.from_,
            "to": leg.to,
            "state": leg.state.value,
            "stream_id": leg.stream_id,
            "hangup_cause": leg.hangup_cause,
            "hangup_source": leg.hangup_source,
            "finished": self.finished,
            "webhooks": [webhook.describe() for webhook in self._outbox.sent],
            **self.journal.describe(),
        }

    async def _wait_for_hangup(self) -> None:
        try:
            async with asyncio.timeout(self._answer_timeout):
                await self._answered.wait()
            async with asyncio.timeout(_MAX_SECONDS):
                await self._hung_up.wait()
        except TimeoutError:
            answered = self._answered.is_set()
            self.hang_up("time_limit" if answered else "timeout", "unknown")

    def _emit(self, event_type: str, payload: dict[str, Any]) -> None:
        self._outbox.put(Webhook(event_type, payload, time.time()))

    def _start_stream(self, plan: StreamPlan) -> None:
        if self._tasks is None:
            raise Refusal(422, "90034", "The call has not begun.")
        leg = self.leg
        leg.stream_id = str(uuid.uuid4()).upper()
        start = StartBody(
            user_id=self._user_id,
            call_control_id=leg.call_control_id,
            call_session_id=leg.call_session_id,
            from_=leg.from_,
            to=leg.to,
            tags=[],
            client_state=leg.client_state,
            custom_parameters=plan.custom_parameters,
            media_format=MediaFormat(plan.encoding, SAMPLE_RATE),
        )
        self._stream_ended.clear()
        self._streaming = Streaming(
            plan,
            leg.stream_id,
            start,
            caller=self._caller,
            journal=self.journal,
            emit=lambda event_type, fields: self._emit(event_type, leg.base() | fields),
            hang_up=lambda: self.hang_up("normal_clearing", "caller"),
        )
        self._tasks.create_task(self._run_stream(self._streaming), name="media stream")

    async def _run_stream(self, streaming: Streaming) -> None:
        try:
            await streaming.run()
        finally:
            self.leg.stream_id = None
            self._streaming = None
            self._stream_ended.set()
