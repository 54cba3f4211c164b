"""One call: its media stream, its sound in both directions, its sinks and its agent.

What comes from the socket is plain calls down to the sinks. What the agent says leaves in the same call where it is
due, else when the pacer wakes the call. The only task switches are at the ends of the call's life.
"""

import asyncio
import enum
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from structlog.typing import FilteringBoundLogger

from audio_codecs import Codec, Samples
from gateway.agents.base import AgentFactory
from gateway.mailbox import Mailbox
from gateway.media.frame import AudioFrame
from gateway.media.pacer import Pacer
from gateway.media.receiver import Receiver
from gateway.player import Player
from gateway.protocol.messages import Dtmf, Error, MarkReached, Start, decimal
from gateway.protocol.stream import MediaReceived, MediaStream
from gateway.sinks.base import AudioSink, SinkFactory, StreamInfo
from gateway.sinks.fanout import FanOut

__all__ = ["Call", "CallItem", "CallOptions", "EndReason"]

CallItem: TypeAlias = AudioFrame | Dtmf | MarkReached
"""What `async for item in call` gives."""

_MAILBOX_ITEMS = 500
_HEARD_AT_ONCE = 5  # 100 ms


class EndReason(enum.StrEnum):
    """Why a stream ended."""

    STOP = "stop"
    LINK_LOST = "link_lost"
    PROTOCOL_ERROR = "protocol_error"
    UNSUPPORTED_CODEC = "unsupported_codec"
    NOT_ADMITTED = "not_admitted"
    NO_START = "no_start"
    OVERLOADED = "overloaded"
    MAX_DURATION = "max_duration"
    REPLACED = "replaced"
    SHUTDOWN = "shutdown"
    INTERNAL_ERROR = "internal_error"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """What is the same for all calls. Seconds.

    Attributes:
        sinks: The sinks to open for each call, by name.
        agent: Makes the agent of each call; None for no agent.
        playout_lead: How far ahead of its time sound is sent.
        reorder_window: How long a gap waits for the packets that belong there.
        max_duration: Longest stream.
        agent_grace: How long an agent may go on after the call's end.
    """

    sinks: Mapping[str, SinkFactory]
    agent: AgentFactory | None = None
    playout_lead: float = 0.16
    reorder_window: float = 0.06
    max_duration: float = 14_400.0
    agent_grace: float = 5.0


class Call:
    """One streamed call, from `start` to its end.

    Args:
        start: The stream's first message.
        stream: Makes the messages that are sent.
        inbound: Opens the codec of what comes in, one for each track.
        outbound: The codec of what is sent.
        options: What is the same for all calls.
        transmit: Puts a message on the wire.
        on_end: Told once, as the call ends: the socket is to be closed.
        pacer: Wakes the call when something is due.
        clock: Monotonic seconds.
        log: Bound to this stream.
    """

    def __init__(
        self,
        start: Start,
        *,
        stream: MediaStream,
        inbound: Callable[[], Codec],
        outbound: Codec,
        options: CallOptions,
        transmit: Callable[[bytes], None],
        on_end: Callable[[EndReason], None],
        pacer: Pacer,
        clock: Callable[[], float] = time.monotonic,
        log: FilteringBoundLogger,
    ) -> None:
        self.call_control_id = start.start.call_control_id
        self.stream_id = start.stream_id
        self.log = log
        self.end_reason: EndReason | None = None
        self.info = _stream_info(start, inbound().sample_rate, outbound, self.report)
        self._options = options
        self._on_end = on_end
        self._pacer = pacer
        self._clock = clock
        self._receiver = Receiver(inbound, window=options.reorder_window)
        self._player = Player(
            stream, outbound, transmit=transmit, here=self._caller_position, lead=options.playout_lead
        )
        self._in_flight = self._player.in_flight
        self._armed_for: float | None = None
        self._started = clock()
        self._duration: float | None = None
        self._errors_told = 0
        self._digits = 0
        self._ended = asyncio.Event()
        self._mailbox: Mailbox[CallItem] | None = None
        self._agent_error: str | None = None
        self._early: list[CallItem] | None = None if options.agent is None else []
        self._sinks = FanOut(options.sinks, log=log)
        self._write = self._sinks.write

    # --- for agents -----------------------------------------------------------------------------------------------

    def send_audio(self, samples: Samples, sample_rate: int | None = None) -> None:
        """Say something: queue sound behind what was said before.

        Args:
            samples: int16, shape (n,), mono; any length. Do not write to it afterwards.
            sample_rate: In Hz; the stream's own if None.
        """
        if self.end_reason is not None:
            return
        now = self._clock()
        if len(self._in_flight) >= _HEARD_AT_ONCE:
            self._hear_many(now)  # where no packets come, nobody else does
        if not self._player.send_audio(samples, sample_rate or self._player.sample_rate, now=now):
            self._arm()

    def mark(self, name: str) -> None:
        """Ask for a `MarkReached` of this name when all that was said so far was played, or cleared."""
        if self.end_reason is None:
            self._player.mark(name, now=self._clock())
            self._arm()

    def clear(self) -> None:
        """Fall silent at once: drop everything said that was not heard yet, here and at Telnyx."""
        if self.end_reason is None:
            self._hear(self._clock())
            self._player.clear()

    def listen(self, sink: AudioSink, name: str = "listener") -> None:
        """Give every further frame to `sink` by a plain call, until the call ends or the sink raises.

        An agent that listens before it first waits for anything misses nothing from the call's very beginning.
        """

        @asynccontextmanager
        async def open_it(info: StreamInfo) -> AsyncIterator[AudioSink]:
            del info
            yield sink

        slot = self._sinks.add(name, open_it)
        for item in self._early or ():
            if isinstance(item, AudioFrame):
                slot.write(item)

    def __aiter__(self) -> AsyncIterator[CallItem]:
        """What happens in this call from now on: inbound frames, keys and marks. For one reader."""
        if self._mailbox is None:
            self._mailbox = Mailbox(_MAILBOX_ITEMS)
            for item in self._early or ():
                self._mailbox.put(item)
            if self.end_reason is not None:
                self._mailbox.close()
        return self._mailbox

    async def wait_ended(self) -> EndReason:
        """Wait for the end of the call's stream."""
        await self._ended.wait()
        assert self.end_reason is not None
        return self.end_reason

    # --- from the socket ------------------------------------------------------------------------------------------

    def media_received(self, packet: MediaReceived, *, now: float) -> int:
        """Take one packet, fifty times a second. Returns how many payloads could not be decoded so far."""
        if len(self._in_flight) >= _HEARD_AT_ONCE:
            self._hear_many(now)
        frames = self._receiver.push(packet, now=now)
        for frame in frames:
            self._fan_out(frame)
        if len(frames) != 1:  # something waits for its turn, or did until now
            self._arm()
        return self._receiver.payloads_bad

    def event_received(self, event: Dtmf | MarkReached | Error) -> None:
        """Take anything else that came on the stream."""
        if isinstance(event, Error):
            self._errors_told += 1
            self.log.warning("Telnyx reports an error", code=event.payload.code, title=event.payload.title[:100])
            return
        self._receiver.note(decimal(event.sequence_number, "sequence_number"))
        if isinstance(event, Dtmf):
            self._digits += 1
        self._tell_agent(event)

    def end(self, reason: EndReason) -> None:
        """End the call; what waited for its turn is handed out first. Does nothing the second time."""
        if self.end_reason is not None:
            return
        now = self._clock()
        self.end_reason = reason
        for frame in self._receiver.flush():
            self._fan_out(frame)
        self._hear(now)
        self._duration = now - self._started
        if self._mailbox is not None:
            self._mailbox.close()
        self._ended.set()
        self._on_end(reason)

    # --- its life -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run the sinks and the agent until the call has ended and all of them have closed."""
        async with asyncio.TaskGroup() as tasks:
            self._sinks.run(tasks, self.info)
            if self._options.agent is not None:
                tasks.create_task(self._run_agent(self._options.agent), name="agent")
            try:
                async with asyncio.timeout(self._options.max_duration):
                    await self._ended.wait()
            except TimeoutError:
                self.end(EndReason.MAX_DURATION)
            self._sinks.release()

    async def _run_agent(self, make: AgentFactory) -> None:
        """Run the agent beside the call, a little longer than it if need be; whatever it does stays its own."""
        try:
            agent = asyncio.ensure_future(make().run(self))
        except Exception as error:  # noqa: BLE001 - an agent that cannot be made is its own failure
            self._early = None
            self._agent_failed(error)
            return
        ended = asyncio.ensure_future(self._ended.wait())
        grace = self._options.agent_grace
        try:
            await asyncio.sleep(0)  # lets the agent come to its first wait
            self._early = None
            await asyncio.wait((agent, ended), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait((agent,), timeout=grace)
        finally:
            ended.cancel()
            agent.cancel()
        done, _ = await asyncio.wait((agent,), timeout=grace)
        if not done:
            self._agent_failed(TimeoutError(f"it cannot be stopped, {2 * grace:g} s after the call's end"))
        elif agent.cancelled():
            self.log.warning("agent did not end with its call", grace=grace)
        elif (failure := agent.exception()) is not None:
            self._agent_failed(failure)

    def _agent_failed(self, error: BaseException) -> None:
        self._agent_error = f"{type(error).__name__}: {error}"[:500]
        self.log.error("agent failed", error=self._agent_error, exc_info=error)

    # --- the way of a frame ---------------------------------------------------------------------------------------

    def _fan_out(self, frame: AudioFrame) -> None:
        self._write(frame)
        if frame.track == "inbound" and (self._mailbox is not None or self._early is not None):
            self._tell_agent(frame)

    def _tell_agent(self, item: CallItem) -> None:
        if self._mailbox is not None:
            self._mailbox.put(item)
        if self._early is not None:
            self._early.append(item)

    def _hear(self, now: float) -> None:
        """Tell the sinks what of the application's sound is heard by now."""
        for frame in self._player.heard(now=now):
            self._fan_out(frame)

    def _hear_many(self, now: float) -> None:
        """The same, when there is enough of it: five pieces in one frame cost little more than one."""
        in_flight = self._in_flight
        if len(in_flight) >= _HEARD_AT_ONCE and in_flight[_HEARD_AT_ONCE - 1].deadline <= now:
            self._hear(now)

    def _caller_position(self) -> int:
        """Where the caller's channel stands, in samples at the player's rate."""
        return self._receiver.position("inbound") * self.info.played_sample_rate // self.info.inbound_sample_rate

    def _arm(self) -> None:
        """Have the pacer wake this call for what is due next, unless it will come by before that anyway."""
        deadline = self._receiver.deadline()
        playout = self._player.deadline()
        if deadline is None or (playout is not None and playout < deadline):
            deadline = playout
        if deadline is not None and (self._armed_for is None or deadline < self._armed_for):
            self._armed_for = deadline
            self._pacer.wake_at(deadline, self._wake)

    def _wake(self, now: float) -> None:
        if self.end_reason is not None or self._armed_for is None or now < self._armed_for:
            return
        self._armed_for = None
        try:
            self._hear_many(now)
            for frame in self._receiver.pop(now=now):
                self._fan_out(frame)
            self._player.send_due(now=now)
        except Exception:
            self.log.exception("call failed")
            self.end(EndReason.INTERNAL_ERROR)
            return
        self._arm()

    # --- for the operator -----------------------------------------------------------------------------------------

    def report(self) -> Mapping[str, Any]:
        """What there is to know of this stream, as JSON-ready values; final once the call has ended."""
        duration = self._clock() - self._started if self._duration is None else self._duration
        return {
            "stream_id": self.stream_id,
            "end_reason": self.end_reason,
            "duration_seconds": round(duration, 3),
            "inbound_codec": f"{self.info.inbound_encoding}/{self.info.inbound_sample_rate}",
            "played_codec": f"{self.info.played_encoding}/{self.info.played_sample_rate}",
            "received": self._receiver.describe(),
            "played": self._player.describe(),
            "digits_received": self._digits,
            "errors_from_telnyx": self._errors_told,
            "agent_error": self._agent_error,
            "agent_items_dropped": 0 if self._mailbox is None else self._mailbox.dropped,
            "sinks": self._sinks.describe(),
        }


def _stream_info(
    start: Start, inbound_sample_rate: int, outbound: Codec, report: Callable[[], Mapping[str, Any]]
) -> StreamInfo:
    body = start.start
    return StreamInfo(
        call_control_id=body.call_control_id,
        stream_id=start.stream_id,
        call_session_id=body.call_session_id,
        inbound_encoding=body.media_format.encoding,
        inbound_sample_rate=inbound_sample_rate,
        played_encoding=outbound.encoding,
        played_sample_rate=outbound.sample_rate,
        client_state=body.client_state,
        custom_parameters=body.custom_parameters or {},
        started_at=time.time(),
        report=report,
    )
