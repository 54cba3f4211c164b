"""One call of the load: says `connected` and `start`, then a frame each time it is told to, and answers as Telnyx does.

What the application plays is not decoded, but it takes its time: marks come back when what was sent before them would
have been heard, and `clear` gives all of them back at once.
"""

import asyncio
import random
import uuid
from collections import deque
from collections.abc import Callable
from typing import Final

from gateway.bench.answers import Answers
from gateway.bench.content import FRAME
from gateway.bench.plan import CallPlan
from gateway.bench.socket import MAX_BACKLOG, LoadSocket, text_frame
from gateway.bench.tally import Meter
from gateway.errors import RemoteProtocolError
from gateway.protocol.messages import (
    AUTH_FIELD,
    Clear,
    Connected,
    Mark,
    MarkBody,
    MarkReached,
    MediaFormat,
    Play,
    Start,
    StartBody,
    Stop,
    StopBody,
    decode_application,
    encode,
)
from gateway.simulator.media_faults import MediaFaultEngine, spoil_text

__all__ = ["LoadCall"]

_PER_SECOND: Final = round(1 / FRAME)
_MAX_MARKS: Final = 1000
_LINGER: Final = 0.5  # seconds that a call listens after its last frame


class LoadCall(LoadSocket):
    """One call.

    Args:
        plan: Of all calls.
        texts: The frames of the loop, base64.
        answers: Takes this call's round trips.
        meter: Counts.
        number: Of the call; calls begin at different places of the loop.
        clock: Monotonic seconds.
        gone: Called once, when the call is over, with the reason.

    Attributes:
        speaking: Whether frames are to be sent.
        own_end: Whether the call ended because we wanted it to.
    """

    def __init__(
        self,
        plan: CallPlan,
        texts: list[bytes],
        answers: Answers,
        meter: Meter,
        *,
        number: int,
        clock: Callable[[], float],
        gone: "Callable[[LoadCall, str], None]",
    ) -> None:
        token = [] if plan.token is None else [(AUTH_FIELD, plan.token)]
        super().__init__(plan.target, (*token, *plan.headers), clock)
        self.speaking = False
        self.own_end = False
        self._texts = texts
        self._answers = answers
        self._meter = meter
        self._gone = gone
        self._token = plan.token
        self._start = _start_body(plan)
        self._stream_id = str(uuid.uuid4()).upper()
        self._sequence_number = 0  # of all messages but `connected`
        self._media = (
            b'{"event":"media","sequence_number":"%%d","stream_id":"%b",'
            b'"media":{"track":"inbound","chunk":"%%d","timestamp":"%%d","payload":"%%b"}}'
        ) % self._stream_id.encode()
        self._frame = 0  # of the next one
        self._place = 37 * number % len(texts)  # where the next one stands in the loop
        self._ends_at = float("inf")
        self._call_seconds = plan.call_seconds
        self._busy_until = 0.0  # when all that came will have been heard
        self._marks: deque[tuple[float, str]] = deque()
        self._engine: MediaFaultEngine | None = None
        if plan.faults is not None:
            dice = random.Random(f"{plan.seed} stream {number + 1}")  # noqa: S311 - faults are to be repeatable
            self._engine = MediaFaultEngine(plan.faults, dice, spoil=spoil_text, note=self._note)
        self._way: deque[tuple[float, bytes]] = deque()  # what a fault holds back, and until when
        self._held: dict[bytes, tuple[int, float]] = {}  # of those: the place in the loop, and how late we were
        self._pushed = b""
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, *, age: float = 0.0) -> None:
        """Start the stream; with `age` seconds of its time behind it already."""
        token = None if self._token is None else {AUTH_FIELD: self._token}
        self._send(encode(Connected(version="1.0.0", connected=token)))
        self._send(encode(Start(sequence_number=self._number(), stream_id=self._stream_id, start=self._start)))
        if self._call_seconds is not None:
            self._ends_at = self._clock() + self._call_seconds - age
        self.speaking = True

    def send_frame(self, due: float, now: float) -> None:
        """Say the next 20 ms."""
        frame, place = self._frame, self._place
        self._frame = frame + 1
        self._place = place + 1 if place + 1 < len(self._texts) else 0
        self._sequence_number += 1
        text = self._media % (self._sequence_number, frame + 1, 20 * frame, self._texts[place])
        if self._engine is None:
            self.transport.write(text_frame(text))
            self._meter.sent(due, now)
            self._answers.frame_sent(place, now)
        else:
            self._held[text] = (place, now - due)
            self._pushed = text
            self._way.extend(self._engine.push(text, now))
            self._send_held()
        if self._marks and self._marks[0][0] <= now:
            self._return_marks(now)
        if frame % _PER_SECOND == 0:
            self._each_second(now)

    def text_came(self, data: bytes, begin: int, end: int, now: float) -> None:
        """Take what the application says."""
        if self._answers.take_echo(data, begin, end, now):
            self._meter.tally.messages += 1
            self._busy_until = (max(now, self._busy_until)) + FRAME
            return
        try:
            message = decode_application(data[begin:end])
        except RemoteProtocolError:
            self._meter.tally.foreign += 1
            return
        match message:
            case Play():
                self._meter.tally.messages += 1
                seconds = self._answers.payload_came(message.media.payload, now)
                self._busy_until = max(self._busy_until, now) + seconds
            case Mark() if len(self._marks) < _MAX_MARKS:
                self._marks.append((self._busy_until, message.mark.name))
                self._return_marks(now)
            case Clear():
                self._busy_until = now
                self._marks = deque((now, name) for _, name in self._marks)
                self._return_marks(now)
            case _:
                pass

    def pong_came(self, payload: bytes, now: float) -> None:
        """Take the answer to a ping."""
        self._answers.pong_came(payload, now)

    def socket_closed(self, reason: str) -> None:
        """Tell the owner."""
        self.speaking = False
        self._gone(self, reason)

    def retire(self) -> None:
        """Say no more; when the last answers had time to come, hang up."""
        self.speaking = False
        self.own_end = True
        asyncio.get_running_loop().call_later(_LINGER, self._hang_up)

    def _hang_up(self) -> None:
        if self.reason is None:
            body = StopBody(user_id=self._start.user_id, call_control_id=self._start.call_control_id)
            self._send(encode(Stop(sequence_number=self._number(), stream_id=self._stream_id, stop=body)))
            self.close("hung up")

    def _number(self) -> str:
        self._sequence_number += 1
        return str(self._sequence_number)

    def _send(self, text: bytes) -> None:
        self.transport.write(text_frame(text))

    def _return_marks(self, now: float) -> None:
        while self._marks and self._marks[0][0] <= now:
            name = self._marks.popleft()[1]
            self._send(encode(MarkReached(self._number(), self._stream_id, MarkBody(name))))

    def _each_second(self, now: float) -> None:
        waits = self.transport.get_write_buffer_size()
        tally = self._meter.tally
        tally.backlog = max(tally.backlog, waits)
        if waits > MAX_BACKLOG:
            self.fail("the far side did not read")
            return
        if now >= self._ends_at:
            self.retire()
            return
        ping = self._answers.next_ping(now)
        if ping is not None:
            self.ping(ping)

    def _send_held(self) -> None:
        """Send what no fault holds back any longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self._clock()
        while self._way and self._way[0][0] <= now and self.reason is None:
            text = self._way.popleft()[1]
            self._send(text)
            place, late = self._held.pop(text, (None, 0.0))
            if place is not None:
                self._meter.sent(now - late, now)
                self._answers.frame_sent(place, now)
        if self._way and self.reason is None:
            call_later = asyncio.get_running_loop().call_later
            self._timer = call_later(max(0.001, self._way[0][0] - now), self._send_held)

    def _note(self, name: str, **_: object) -> None:
        self._meter.tally.faults[name] += 1
        if name in ("lost", "malformed"):
            self._held.pop(self._pushed, None)  # nobody can answer it


def _start_body(plan: CallPlan) -> StartBody:
    ids = [str(uuid.uuid4()) for _ in range(3)]
    return StartBody(
        user_id=ids[0],
        call_control_id=f"v3:{ids[1]}",
        call_session_id=ids[2],
        from_="+15550100001",
        to="+15550100002",
        media_format=MediaFormat(plan.content.encoding, plan.content.clock_rate),
        custom_parameters=dict(plan.parameters) or None,
    )
