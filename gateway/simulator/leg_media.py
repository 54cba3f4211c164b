"""A call's media: the stream or the fork that runs, one at a time, and how many messages pass."""

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final

from gateway.protocol.messages import MediaFormat, StartBody
from gateway.simulator.faults import FaultBook
from gateway.simulator.fork import Fork, ForkPlan
from gateway.simulator.leg import LegState
from gateway.simulator.media_side import MediaSide
from gateway.simulator.stream_plan import StreamPlan
from gateway.simulator.streaming import Streaming
from gateway.simulator.switches import Switches
from gateway.simulator.target_legs import LegSpeakers

if TYPE_CHECKING:
    from gateway.simulator.call import SimulatedCall

__all__ = ["LegMedia"]

_COUNT_SECONDS: Final = 1.0


class LegMedia:
    """What carries one leg's sound to the application and back.

    Args:
        call: Whose media it is.
        switches: What Telnyx does not document.
        book: Which faults are in force.
        user_id: The account's id, for `start`.

    Attributes:
        streaming: The stream that runs, or is being opened; None while there is none.
        fork: The fork that runs; None while there is none.
    """

    def __init__(self, call: "SimulatedCall", *, switches: Switches, book: FaultBook, user_id: str) -> None:
        self.streaming: Streaming | None = None
        self.fork: Fork | None = None
        self._call = call
        self._user_id = user_id
        self._side = MediaSide(
            call.leg.call_control_id,
            call.line,
            call.journal,
            call.clock,
            switches,
            book,
            lambda family, fault, **fields: call.timeline.note("fault", family=family, fault=fault, **fields),
        )
        self._counting = False
        self._counted: Counter[str] = Counter()

    def start_stream(self, plan: StreamPlan, tasks: asyncio.TaskGroup) -> Streaming:
        """Open a media socket, in the place of what runs; it says `start` when the call is answered."""
        call = self._call
        streaming = Streaming(
            plan,
            self._start_body,
            side=self._side,
            hear=LegSpeakers(call, plan.target_legs, self._side.switches).hear,
            answered=call.leg.state is LegState.ANSWERED,
            emit=lambda event_type, fields: call.tell(event_type, call.leg.base() | fields),
            on_renamed=self._renamed,
        )
        before = self._give_way()
        self.streaming = streaming
        self._renamed()
        call.timeline.note("stream", event="asked for", stream_id=streaming.stream_id)
        tasks.create_task(self._run(streaming, before), name="media stream")
        self._count()
        return streaming

    def start_fork(self, plan: ForkPlan, tasks: asyncio.TaskGroup) -> None:
        """Copy the leg's packets, in the place of what runs."""
        call = self._call
        before = self._give_way()
        self.fork = Fork(plan, self._side, lambda event_type, fields: call.tell(event_type, call.leg.base() | fields))
        call.leg.forked = plan.stream_type
        call.timeline.note("stream", event="fork asked for", rx=plan.rx, tx=plan.tx)
        tasks.create_task(self._run(self.fork, before), name="media fork")
        self._count()

    def begin(self) -> None:
        """The call was answered."""
        if self.streaming is not None:
            self.streaming.begin()

    def press(self, digit: str) -> None:
        """The person on the leg presses a key."""
        if self.streaming is not None:
            self.streaming.press(digit)

    def stop_stream(self) -> None:
        """End the stream, if there is one."""
        if self.streaming is not None:
            self.streaming.stop()

    def stop_fork(self) -> None:
        """End the fork, if there is one."""
        if self.fork is not None:
            self.fork.stop()

    async def end(self) -> None:
        """End what runs, and wait until it has ended."""
        for carrier in self._give_way():
            await carrier.ended.wait()

    def _give_way(self) -> list[Streaming | Fork]:
        """Stop what runs; it may still take a moment to end."""
        running = [carrier for carrier in (self.streaming, self.fork) if carrier is not None]
        for carrier in running:
            carrier.stop()
        return running

    async def _run(self, carrier: Streaming | Fork, before: list[Streaming | Fork]) -> None:
        for older in before:
            await older.ended.wait()
        try:
            await carrier.run()
        finally:
            if carrier is self.streaming:
                self.streaming = self._call.leg.stream_id = None
            elif carrier is self.fork:
                self.fork = self._call.leg.forked = None
            self._note_messages()

    def _renamed(self) -> None:
        if self.streaming is not None:
            self._call.leg.stream_id = self.streaming.stream_id

    def _start_body(self, plan: StreamPlan) -> StartBody:
        leg = self._call.leg
        return StartBody(
            user_id=self._user_id,
            call_control_id=leg.call_control_id,
            call_session_id=leg.call_session_id,
            from_=leg.from_,
            to=leg.to,
            tags=[],
            client_state=leg.client_state,
            custom_parameters=plan.custom_parameters,
            media_format=MediaFormat(plan.encoding, plan.clock_rate),
        )

    def _count(self) -> None:
        if not self._counting:
            self._count_on()

    def _count_on(self) -> None:
        self._note_messages()
        self._counting = self.streaming is not None or self.fork is not None
        if self._counting:
            self._call.later(_COUNT_SECONDS, self._count_on)

    def _note_messages(self) -> None:
        """Note how many messages of each kind passed since the last time, if any did."""
        journal = self._side.journal
        ways = {"sent": journal.messages_sent, "received": journal.messages_received}
        total = Counter({f"{way} {kind}": count for way, kinds in ways.items() for kind, count in kinds.items()})
        if new := dict(total - self._counted):
            self._call.timeline.note("media", messages=new)
        self._counted = total
