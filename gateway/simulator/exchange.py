"""All calls of one simulator: places them, finds them, and lets no more in than it was told to."""

import asyncio
import time
import uuid
from typing import Final

from structlog.typing import FilteringBoundLogger

from audio_codecs import Samples
from gateway.simulator.call import SimulatedCall
from gateway.simulator.caller import Caller
from gateway.simulator.leg import Leg
from gateway.simulator.playout import TICK
from gateway.simulator.refusal import Refusal
from gateway.simulator.streaming import SAMPLE_RATE
from gateway.simulator.webhooks import Outbox, WebhookSender

__all__ = ["Exchange"]

_CONNECTION_ID: Final = "1684641123236054244"


class Exchange:
    """Where calls are placed.

    Args:
        tasks: Parent of every call's task.
        sender: Of the webhooks.
        webhook_url: Where calls report that name no URL of their own.
        max_calls: Calls at a time.
        keep_ended: How many ended calls can still be looked at. One that lasted an hour holds about 120 MB of sound.
        answer_timeout: Seconds until an unanswered call ends.
        log: Gets a line for each call's beginning and end.
    """

    def __init__(
        self,
        tasks: asyncio.TaskGroup,
        sender: WebhookSender,
        *,
        webhook_url: str | None,
        max_calls: int,
        keep_ended: int,
        answer_timeout: float,
        log: FilteringBoundLogger,
    ) -> None:
        self._tasks = tasks
        self._sender = sender
        self._webhook_url = webhook_url
        self._max_calls = max_calls
        self._keep_ended = keep_ended
        self._answer_timeout = answer_timeout
        self._log = log
        self._user_id = str(uuid.uuid4())
        self._calls: dict[str, SimulatedCall] = {}  # oldest first
        self._running: dict[str, asyncio.Task[None]] = {}

    def calls(self) -> list[SimulatedCall]:
        """The calls that run and the last that ended, oldest first."""
        return list(self._calls.values())

    def find(self, call_control_id: str) -> SimulatedCall:
        """The call with this id.

        Raises:
            Refusal: 404, there is none.
        """
        call = self._calls.get(call_control_id)
        if call is None:
            raise Refusal(404, "10005", "There is no call with this call_control_id.")
        return call

    def place_call(
        self, *, from_: str, to: str, speech: Samples, webhook_url: str | None = None, silence_after: float = 0.5
    ) -> SimulatedCall:
        """Have somebody call the application.

        Args:
            from_: The caller's number.
            to: The application's number.
            speech: What the caller says once there is a stream; int16 at 8000 Hz.
            webhook_url: Where the call reports; the simulator's own if None.
            silence_after: Seconds of silence between the speech and the caller's hanging up.

        Raises:
            Refusal: Too many calls, or nowhere to report to.
        """
        url = webhook_url or self._webhook_url
        if not url:
            detail = "Neither the call nor the simulator has a webhook URL: nobody would hear of the call."
            raise Refusal(422, "10004", detail, pointer="/webhook_url")
        if len(self._running) >= self._max_calls:
            raise Refusal(429, "10011", f"There are {self._max_calls} calls already.")
        leg = Leg(from_=from_, to=to, connection_id=_CONNECTION_ID, now=time.time())
        caller = Caller(
            speech,
            frame_samples=round(SAMPLE_RATE * TICK),
            silence_samples=round(silence_after * SAMPLE_RATE),
        )
        outbox = Outbox(self._sender, url)
        call = SimulatedCall(leg, caller, outbox, user_id=self._user_id, answer_timeout=self._answer_timeout)
        self._calls[leg.call_control_id] = call
        self._running[leg.call_control_id] = self._tasks.create_task(self._run(call), name="call")
        return call

    def cancel_calls(self) -> None:
        """End every call at once, without a word: the simulator goes."""
        for task in self._running.values():
            task.cancel()

    async def _run(self, call: SimulatedCall) -> None:
        call_control_id = call.leg.call_control_id
        self._log.info("call placed", call_control_id=call_control_id)
        try:
            await call.run()
        except Exception:  # noqa: BLE001 - one call's failure is that call's: the group would end all others with it
            self._log.exception("call failed", call_control_id=call_control_id)
        finally:
            del self._running[call_control_id]
            self._forget_oldest()
        self._log.info("call ended", call_control_id=call_control_id, hangup_cause=call.leg.hangup_cause)

    def _forget_oldest(self) -> None:
        ended = [call_control_id for call_control_id in self._calls if call_control_id not in self._running]
        for call_control_id in ended[: max(0, len(ended) - self._keep_ended)]:
            del self._calls[call_control_id]
