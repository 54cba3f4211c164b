"""All calls of one simulator: lets people call in and calls people, finds calls, and lets no more in than it may."""

import asyncio
import re
import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final

import numpy as np
from structlog.typing import FilteringBoundLogger

from audio_codecs import Samples
from gateway.protocol.commands.options import OutgoingLeg
from gateway.simulator import ending
from gateway.simulator.account import DEFAULT_CONNECTION, Account
from gateway.simulator.amd import detect
from gateway.simulator.call import SimulatedCall
from gateway.simulator.casting import InlineScript, make_person
from gateway.simulator.clock import Clock
from gateway.simulator.faults import FaultBook
from gateway.simulator.leg import Leg
from gateway.simulator.limits import RateLimiter
from gateway.simulator.line import Speaker
from gateway.simulator.numbers import ENDINGS, NumberRule, Numbers, make_caller
from gateway.simulator.recent import RecentCommands
from gateway.simulator.refusal import Refusal
from gateway.simulator.routing import Route
from gateway.simulator.stream_plan import StreamPlan
from gateway.simulator.timeline import CallTimeline, Timeline
from gateway.simulator.webhooks import Courier, Outbox

__all__ = ["Exchange"]

_STATUS_SECONDS: Final = 600.0
"""How long Telnyx still tells about a call that has ended."""

_NUMBER: Final = re.compile(r"\+[1-9][0-9]{1,14}|sips?:.+", re.IGNORECASE)


class Exchange:
    """Where calls are placed.

    Args:
        tasks: Parent of every call's task.
        courier: Of the webhooks.
        account: Whose calls they are.
        numbers: What a called number does.
        timeline: Where everything is noted.
        clock: Of the simulator.
        log: Gets a line for each call's beginning and end.
        faults: What goes wrong.

    Attributes:
        faults: What goes wrong, for all calls and for single ones.
        recent_dials: By their `command_id`.
        requests: How many requests of the API may come.
        dials: How many calls may be placed.
    """

    def __init__(
        self,
        tasks: asyncio.TaskGroup,
        courier: Courier,
        account: Account,
        numbers: Numbers,
        timeline: Timeline,
        *,
        clock: Clock,
        log: FilteringBoundLogger,
        faults: FaultBook | None = None,
    ) -> None:
        self.account = account
        self.numbers = numbers
        self.timeline = timeline
        self.clock = clock
        self.faults = FaultBook() if faults is None else faults
        self.recent_dials = RecentCommands()
        self.requests = RateLimiter(account.requests)
        self.dials = RateLimiter(account.dials)
        self._tasks = tasks
        self._courier = courier
        self._log = log
        self._user_id = str(uuid.uuid4())
        self._calls: dict[str, SimulatedCall] = {}  # oldest first
        self._running: dict[str, asyncio.Task[None]] = {}

    def calls(self) -> list[SimulatedCall]:
        """The calls that run and the last that ended, oldest first."""
        return list(self._calls.values())

    def active(self, connection_id: str) -> list[SimulatedCall]:
        """The calls of one application that live, oldest first."""
        return [call for call in self.calls() if call.leg.ended_at is None and call.leg.connection_id == connection_id]

    def look_up(self, call_control_id: str) -> SimulatedCall:
        """The call with this id, as long as anything of it is kept.

        Raises:
            Refusal: 404, there is none.
        """
        call = self._calls.get(call_control_id)
        if call is None:
            raise Refusal(404, "10005", "There is no call with this call_control_id.")
        return call

    def find(self, call_control_id: str) -> SimulatedCall:
        """The call with this id, as long as Telnyx would know it.

        Raises:
            Refusal: 404 or 422, as the switch `unknown_call` says.
        """
        call = self._calls.get(call_control_id)
        if call is None or self.clock.unix() - (call.leg.ended_at or self.clock.unix()) > _STATUS_SECONDS:
            if self.account.switches.unknown_call == "422":
                detail = "The provided call_control_id was not valid."
                raise Refusal(422, "90015", detail, pointer="/call_control_id")
            raise Refusal(404, "10005", "There is no call with this call_control_id.")
        return call

    def note_fault(self, call_control_id: str | None, family: str, fault: str, **fields: Any) -> None:
        """Write a fault down, with the call that it happened to where that is known."""
        call = None if call_control_id is None else self._calls.get(call_control_id)
        (self.timeline if call is None else call.timeline).note("fault", family=family, fault=fault, **fields)

    def place_call(
        self,
        *,
        from_: str,
        to: str,
        speech: Samples | None = None,
        script: str | InlineScript | None = None,
        webhook_url: str | None = None,
        silence_after: float | None = 0.5,
        gives_up_after: float | None = None,
        connection_id: str = DEFAULT_CONNECTION,
        custom_headers: list[dict[str, str]] | None = None,
    ) -> SimulatedCall:
        """Have somebody call the application.

        Args:
            from_: The caller's number.
            to: The application's number.
            speech: What the caller says once somebody listens; int16 at 8000 Hz; nothing if None.
            script: What the caller does instead, see `find_script`; `silence_after` is the script's to say then.
            webhook_url: Where the call reports; the application's own if None.
            silence_after: Seconds of silence between the speech and the caller's hanging up; None if the caller stays.
            gives_up_after: Seconds after which the caller hangs up if nobody answers; None to let the network do it.
            connection_id: The application that is called.
            custom_headers: SIP headers that the call brings.

        Raises:
            Refusal: Too many calls, no such application, or nowhere to report to.
            ValueError: There is no such script, or it cannot be followed.
        """
        speaker: Speaker
        if script is not None:
            speaker = make_person(script)
        else:
            speaker = make_caller(np.zeros(0, np.int16) if speech is None else speech, silence_after)
        route = self.account.route
        if webhook_url is not None:
            route = replace(route, url=webhook_url, failover_url=None)
        if route.url is None:
            detail = "Neither the call nor the simulator has a webhook URL: nobody would hear of the call."
            raise Refusal(422, "10004", detail, pointer="/webhook_url")
        self._check_connection(connection_id)
        if len(self._running) >= self.account.max_calls:
            raise Refusal(429, "10011", f"There are {self.account.max_calls} calls already.")
        leg = Leg(
            from_=from_,
            to=to,
            connection_id=connection_id,
            now=self.clock.unix(),
            switches=self.account.switches,
        )
        leg.custom_headers = custom_headers or []
        call = self._add(leg, speaker, route)

        def ring() -> None:
            if gives_up_after is not None:
                call.while_ringing(gives_up_after, call.person_hangs_up)
            call.while_ringing(self.account.answer_timeout, lambda: call.hang_up(ending.TIMEOUT))

        self._start(call, ring)
        return call

    def call_out(
        self,
        *,
        from_: str,
        to: str,
        connection_id: str,
        options: OutgoingLeg,
        route: Route,
        session: SimulatedCall | None = None,
        too_late: ending.Ending = ending.TIMEOUT,
        stream: StreamPlan | None = None,
        stream_first: bool = False,
    ) -> SimulatedCall:
        """Call somebody for the application; what comes of it is the number's rule.

        Args:
            from_: Who calls.
            to: Who is called.
            connection_id: The application.
            options: What the command says of the new leg.
            route: Where it reports.
            session: A call whose session it belongs to; one of its own if None.
            too_late: How the call ends if nobody picks up in time.
            stream: What is opened while it rings.
            stream_first: Whether nothing rings until the stream's socket is open.

        Raises:
            Refusal: A number that is none or may not be called, no such application, or too many calls.
        """
        for name, number in (("from", from_), ("to", to)):
            if not _NUMBER.fullmatch(number):
                detail = f"The '{name}' parameter must be in +E.164 format, or a SIP URI."
                raise Refusal(422, "10016", detail, pointer=f"/{name}")
        self._check_connection(connection_id)
        rule = self.numbers.rule(to)
        if rule.then == "forbidden":
            raise Refusal(403, "10010", "Dialed number is not included in whitelisted countries D13")
        if len(self._running) >= self.account.max_calls:
            raise Refusal(403, "90041", f"There are {self.account.max_calls} calls already: channel limit exceeded D1.")
        if not self.dials.take(now=self.clock.now()):
            limit = self.dials.limit
            detail = f"More than {limit.requests} calls were placed within {limit.seconds:g} s."
            raise Refusal(429, "90103", detail, headers=self.dials.headers(now=self.clock.now()))
        leg = Leg(
            from_=from_,
            to=to,
            connection_id=connection_id,
            now=self.clock.unix(),
            direction="outgoing",
            call_session_id=None if session is None else session.leg.call_session_id,
            switches=self.account.switches,
        )
        leg.caller_id_name = options.from_display_name
        leg.custom_headers = [header.model_dump() for header in options.custom_headers or ()]
        call = self._add(leg, rule.speaker(), route)
        call.speaks_at_once = rule.speaks_at_once
        call.time_limit = options.time_limit_secs
        call.on_answered.append(partial(self._detect, call, rule, options))

        def ring() -> None:
            call.timeline.note("person", deed="rings", then=rule.then, ring_secs=rule.ring_secs)
            if rule.then == "answer":
                call.while_ringing(rule.ring_secs, call.answer)
            elif rule.then != "nothing":
                call.while_ringing(rule.ring_secs, partial(call.hang_up, ENDINGS[rule.then]))
            call.while_ringing(options.timeout_secs, partial(call.hang_up, too_late))

        self._start(call, ring, stream, stream_first=stream_first)
        return call

    def cancel_calls(self) -> None:
        """End every call at once, without a word: the simulator goes."""
        for task in self._running.values():
            task.cancel()

    def _check_connection(self, connection_id: str) -> None:
        if not self.account.has_connection(connection_id):
            raise Refusal(422, "10015", "There is no such Call Control application.", pointer="/connection_id")

    def _add(self, leg: Leg, speaker: Speaker, route: Route) -> SimulatedCall:
        timeline = CallTimeline(self.timeline, leg.call_control_id)
        outbox = Outbox(self._courier, route, timeline)
        call = SimulatedCall(
            leg,
            speaker,
            outbox,
            timeline,
            clock=self.clock,
            user_id=self._user_id,
            switches=self.account.switches,
            book=self.faults,
        )
        self._calls[leg.call_control_id] = call
        return call

    def _start(
        self,
        call: SimulatedCall,
        ring: Callable[[], None],
        stream: StreamPlan | None = None,
        *,
        stream_first: bool = False,
    ) -> None:
        life = self._run(call, ring, stream, stream_first=stream_first)
        self._running[call.leg.call_control_id] = self._tasks.create_task(life, name="call")

    async def _run(
        self, call: SimulatedCall, ring: Callable[[], None], stream: StreamPlan | None, *, stream_first: bool
    ) -> None:
        call_control_id = call.leg.call_control_id
        self._log.info("call placed", call_control_id=call_control_id, direction=call.leg.direction)
        try:
            await call.run(ring, stream, stream_first=stream_first)
        except Exception:  # noqa: BLE001 - one call's failure is that call's: the group would end all others with it
            self._log.exception("call failed", call_control_id=call_control_id)
        finally:
            del self._running[call_control_id]
            self._forget_oldest()
        self._log.info("call ended", call_control_id=call_control_id, hangup_cause=call.leg.hangup_cause)

    def _detect(self, call: SimulatedCall, rule: NumberRule, options: OutgoingLeg) -> None:
        """Report who picked up, where that was asked for."""
        config = options.answering_machine_detection_config
        given: dict[str, Any] = {} if config is None else config.model_dump(exclude_unset=True)
        for after, event_type, result in detect(options.answering_machine_detection, given, rule.answerer()):
            call.later(
                after,
                lambda event_type=event_type, result=result: call.tell(  # type: ignore[misc]
                    event_type, call.leg.parties() | {"result": result}
                ),
            )

    def _forget_oldest(self) -> None:
        ended = [call_control_id for call_control_id in self._calls if call_control_id not in self._running]
        for call_control_id in ended[: max(0, len(ended) - self.account.keep_ended)]:
            del self._calls[call_control_id]
            self.faults.clear(call_control_id)
