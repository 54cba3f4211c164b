"""One simulated call: a leg with a person on it, from `call.initiated` to `call.hangup`."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gateway.simulator import ending
from gateway.simulator.clock import Clock, Timers
from gateway.simulator.ending import Ending
from gateway.simulator.envelope import Event
from gateway.simulator.faults import FaultBook
from gateway.simulator.fork import ForkPlan
from gateway.simulator.journal import Journal
from gateway.simulator.leg import Leg, LegState
from gateway.simulator.leg_media import LegMedia
from gateway.simulator.line import Line, Speaker
from gateway.simulator.recent import RecentCommands
from gateway.simulator.routing import Route
from gateway.simulator.speech import SAMPLE_RATE
from gateway.simulator.stream_plan import StreamPlan
from gateway.simulator.streaming import Streaming
from gateway.simulator.switches import Switches
from gateway.simulator.timeline import CallTimeline
from gateway.simulator.webhooks import Outbox

if TYPE_CHECKING:
    from gateway.simulator.bridge import Bridge

__all__ = ["SimulatedCall"]


class SimulatedCall:
    """A person on a leg, the stream that the application asks for, and the webhooks that tell of it all.

    Args:
        leg: Who it is.
        speaker: The person.
        outbox: Takes the webhooks.
        timeline: Where everything is noted.
        clock: Of the simulator.
        user_id: The account's id, for `start`.
        switches: What Telnyx does not document.
        book: Which faults are in force.

    Attributes:
        media: Its stream or fork.
        recent: The commands that came a moment ago.
        bridge: With the leg that this one hears; None while there is none.
        parks: Whether the leg stays when the other leg of its bridge goes.
        time_limit: Seconds after the answer at which Telnyx ends the call.
        speaks_at_once: Whether the person speaks from the answer on, whether anybody listens or not.
        on_answered: Called when the call was answered.
        on_ended: Called when the call has ended.
    """

    def __init__(
        self,
        leg: Leg,
        speaker: Speaker,
        outbox: Outbox,
        timeline: CallTimeline,
        *,
        clock: Clock,
        user_id: str,
        switches: Switches,
        book: FaultBook,
    ) -> None:
        self.leg = leg
        self.timeline = timeline
        self.journal = Journal(SAMPLE_RATE, timeline.note)
        self.line = Line(speaker, self.journal, clock, self.person_hangs_up, self.person_presses)
        self.recent = RecentCommands()
        self.bridge: Bridge | None = None
        self.parks = False
        self.time_limit = 14_400.0
        self.speaks_at_once = False
        self.on_answered: list[Callable[[], None]] = []
        self.on_ended: list[Callable[[], None]] = []
        speaker.note = timeline.note
        self._speaker = speaker
        self._outbox = outbox
        self.clock = clock
        self.media = LegMedia(self, switches=switches, book=book, user_id=user_id)
        self._hung_up = asyncio.Event()
        self._finished = asyncio.Event()
        self._ring_timers = Timers(clock)
        self._timers = Timers(clock)
        self._tasks: asyncio.TaskGroup | None = None

    @property
    def finished(self) -> bool:
        """Whether the call has ended and every webhook was delivered or given up."""
        return self._finished.is_set()

    async def wait_finished(self) -> None:
        """Wait until `finished`."""
        await self._finished.wait()

    async def run(
        self, begin: Callable[[], None], stream: StreamPlan | None = None, *, stream_first: bool = False
    ) -> None:
        """Live through the call; returns when its last webhook was delivered or given up.

        Args:
            begin: Called when the call has been told of: lets it ring.
            stream: One that is opened while it rings.
            stream_first: Whether the call waits until the stream's socket is open.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                tasks.create_task(self._outbox.run(), name="webhooks")
                if stream is not None:
                    opened = self.start_stream(stream).opened
                    if stream_first:
                        await opened.wait()
                self.timeline.note("call", state=self.leg.state.value, direction=self.leg.direction)
                self.tell("call.initiated", self.leg.initiated_payload())
                if not self._hung_up.is_set():
                    begin()
                await self._hung_up.wait()
                await self.media.end()
                self.tell("call.hangup", self.leg.call_payload())
                self._outbox.close()
        finally:
            self.hang_up(ending.LOST)
            self._finished.set()

    def answer(self, **fields: Any) -> None:
        """The call was taken, by the application or by the person that it called; `fields` go into the webhook."""
        self.leg.answer()
        self._ring_timers.cancel()
        self.timeline.note("call", state=self.leg.state.value)
        self.tell("call.answered", self.leg.call_payload() | fields)
        self.later(self.time_limit, lambda: self.hang_up(ending.TIME_LIMIT))
        if self.speaks_at_once:
            self.line.speak_on()
        self.media.begin()
        for callback in tuple(self.on_answered):
            callback()

    def hang_up(self, how: Ending) -> None:
        """End the call; the first ending stays."""
        if self.leg.ending is not None:
            return
        self.leg.end(how, now=self.clock.unix())
        self.timeline.note("call", state=self.leg.state.value, hangup_cause=how.cause, hangup_source=how.source)
        self._ring_timers.cancel()
        self._timers.cancel()
        self.line.close()
        if self.bridge is not None:
            self.bridge.leave(self)
        for callback in tuple(self.on_ended):
            callback()
        self._hung_up.set()

    def application_hangs_up(self) -> None:
        """The application ends the call, or does not take it, or gives up calling."""
        endings = {LegState.PARKED: ending.REJECTED, LegState.DIALING: ending.CANCELLED}
        self.hang_up(endings.get(self.leg.state) or ending.cleared_by(self.leg.own_side))

    def person_hangs_up(self) -> None:
        """The person on the leg ends the call, or gives up calling, or does not take it."""
        self.timeline.note("person", deed="hangup")
        endings = {LegState.PARKED: ending.CANCELLED, LegState.DIALING: ending.REJECTED}
        self.hang_up(endings.get(self.leg.state) or ending.cleared_by(self.leg.person_side))

    def person_presses(self, key: str) -> None:
        """The person on the leg presses a key: the application hears the tone, and is told twice."""
        self.timeline.note("person", deed="press", key=key)
        self.tell("call.dtmf.received", self.leg.parties() | {"digit": key})
        self.media.press(key)

    def later(self, delay: float, callback: Callable[[], None]) -> None:
        """Have something done so many seconds from now, if the call still lives then."""
        self._timers.later(delay, callback)

    def while_ringing(self, delay: float, callback: Callable[[], None]) -> None:
        """Have something done so many seconds from now, if the call is still not answered then."""
        self._ring_timers.later(delay, callback)

    def tell(self, event_type: str, payload: dict[str, Any]) -> None:
        """Send a webhook."""
        self._outbox.put(Event(event_type, payload, self.clock.unix()))

    @property
    def streaming(self) -> Streaming | None:
        """The stream that runs, or is being opened; None while there is none."""
        return self.media.streaming

    @property
    def route(self) -> Route:
        """Where its webhooks go."""
        return self._outbox.route

    @route.setter
    def route(self, route: Route) -> None:
        self._outbox.route = route

    def start_stream(self, plan: StreamPlan) -> Streaming:
        """Open a media socket; it says `start` when the call is answered."""
        assert self._tasks is not None
        return self.media.start_stream(plan, self._tasks)

    def start_fork(self, plan: ForkPlan) -> None:
        """Copy the leg's RTP packets."""
        assert self._tasks is not None
        self.media.start_fork(plan, self._tasks)

    def describe(self) -> dict[str, Any]:
        """The call as JSON-ready values, without the lists that grow with every media message."""
        leg = self.leg
        other = None if self.bridge is None else self.bridge.other(self).leg.call_control_id
        return {
            "call_control_id": leg.call_control_id,
            "call_leg_id": leg.call_leg_id,
            "call_session_id": leg.call_session_id,
            "connection_id": leg.connection_id,
            "direction": leg.direction,
            "from": leg.from_,
            "to": leg.to,
            "state": leg.state.value,
            "stream_id": leg.stream_id,
            "bridged_with": other,
            "hangup_cause": leg.hangup_cause,
            "hangup_source": leg.hangup_source,
            "finished": self.finished,
            "person": self._speaker.describe(),
            "webhooks": [delivery.describe() for delivery in self._outbox.sent],
            **self.journal.describe(),
        }
