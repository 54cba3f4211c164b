"""What is said on one media socket, from `start` to its end.

At each frame of the leg's line, the tracks that were asked for are sent, and what the application sent is played until
that moment: plain calls, no task in between. Beside it the application's messages are read as they come. What is no
good is answered with an `error` message; the socket stays open, unless a switch says otherwise.
"""

import asyncio
import enum
from collections.abc import Iterable
from typing import Final

from audio_codecs import Samples
from gateway.errors import RemoteProtocolError
from gateway.protocol.messages import Clear, Mark, Play, Track, UnknownEvent
from gateway.protocol.stream import CarrierStream
from gateway.simulator.clock import Timers
from gateway.simulator.faulty_way import FaultyWay
from gateway.simulator.leg import iso_time
from gateway.simulator.media_faults import spoil_text
from gateway.simulator.media_side import MediaSide
from gateway.simulator.media_socket import MediaSocket, SocketError
from gateway.simulator.playout import TICK, Hear, Playout, PlayoutError
from gateway.simulator.speech import SAMPLE_RATE
from gateway.simulator.stream_plan import StreamPlan
from gateway.simulator.tracks import TrackDecoder, TrackEncoder, sound_of

__all__ = ["Conversation", "End"]

_CLOSE_AFTER_ERROR: Final = 1008
_CLOSE_WHEN_IDLE: Final = 1001


class End(enum.Enum):
    """How a conversation ended."""

    STOPPED = enum.auto()
    LOST = enum.auto()  # the application closed, or does not read, or the network failed
    CUT = enum.auto()  # a fault, or a switch, ended it


class Conversation:
    """One socket's.

    Args:
        socket: It is open, and `connected` was said.
        stream: Makes and reads the messages.
        plan: What was asked for.
        hear: Takes what the application sends.
        side: Of the call.
    """

    def __init__(
        self,
        socket: MediaSocket,
        stream: CarrierStream,
        plan: StreamPlan,
        *,
        hear: Hear,
        side: MediaSide,
    ) -> None:
        self._socket = socket
        self._stream = stream
        self._hear = hear
        self._side = side
        self._line, self._journal, self._clock, self._switches = side.line, side.journal, side.clock, side.switches
        swapped = side.book.of(side.call_control_id).media.byte_swap
        if swapped:
            side.note("media", "byte_swap")
        self._decoder = plan.open_decoder(swapped=swapped)
        self._playout: Playout
        self._tracks = [(track, TrackEncoder(plan.open_encoder(swapped=swapped))) for track in plan.tracks]
        self._said = TrackDecoder(plan.open_encoder(swapped=swapped))
        self._said_track: Track = plan.tracks[0]
        self._units = 1000 if self._switches.timestamp == "ms" else plan.clock_rate  # of the timestamp, in a second
        self._way = FaultyWay(self._send_media, side, spoil=spoil_text)
        self._sent = 0  # frames
        self._ignored: str | None = None
        self._heard_from = side.clock.now()
        self._timers = Timers(side.clock)
        self._end: End | None = None
        self._close_code: int | None = side.switches.close_code
        self._over = asyncio.Event()

    async def run(self) -> End:
        """Talk until `stop`, or until the socket falls."""
        self._send("start", self._stream.send_start())
        start = self._line.listen(self._take)
        self._playout = Playout(
            self._decoder, self._hear, start=start, sample_rate=SAMPLE_RATE, switches=self._switches
        )
        self._arm()
        try:
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(self._read(), name="media listen")
                await self._over.wait()
                self._leave()
                if self._close_code is not None:
                    await self._socket.close(self._close_code)
                else:
                    self._socket.cut()
                reading.cancel()
        finally:
            self._leave()
        assert self._end is not None
        return self._end

    def stop(self) -> None:
        """Say `stop` and close the socket."""
        if self._end is None:
            self._way.flush()
            self._send("stop", self._stream.send_stop())
            self._finish(End.STOPPED)

    def press(self, digit: str) -> None:
        """Tell of a key that was pressed now."""
        if self._end is None:
            self._send("dtmf", self._stream.send_dtmf(digit, occurred_at=iso_time(self._clock.unix())))

    def _finish(self, end: End) -> None:
        if self._end is None:
            self._end = end
            self._over.set()

    def _leave(self) -> None:
        self._line.leave(self._take)
        self._way.close()
        self._timers.cancel()

    # --- out ------------------------------------------------------------------------------------------------------

    def _take(self, frame: Samples, at: float) -> None:
        """Send one frame of the line, and play what is due: fifty times a second."""
        if self._end is not None:
            return
        timestamp = round(self._units * self._sent * TICK)
        self._sent += 1
        for track, encoder in self._tracks:
            payload = encoder.encode(sound_of(track, frame, at, self._journal))
            if track == self._said_track:
                self._journal.said.add(self._said.decode(payload))
            self._journal.media_sent.add(self._clock.now(), len(payload))
            self._way.push(self._stream.send_media(track, payload, timestamp=timestamp))
        self._return_marks(self._playout.advance(at))

    def _send_media(self, text: bytes) -> None:
        self._send("media", text)

    def _return_marks(self, names: Iterable[str]) -> None:
        for name in names:
            self._journal.note_mark(name)
            self._send("mark", self._stream.send_mark(name))

    def _complain(self, code: int, detail: str) -> None:
        self._journal.note_error(code, detail)
        self._send("error", self._stream.send_error(code, detail))
        if self._switches.after_error == "close":
            self._close_code = _CLOSE_AFTER_ERROR
            self._finish(End.CUT)

    def _send(self, event: str, text: bytes) -> None:
        if self._end is not None:
            return
        try:
            self._socket.send(text)
        except SocketError as error:
            self._lose(error)
        else:
            self._journal.messages_sent[event] += 1

    def _lose(self, error: SocketError) -> None:
        if self._end is None:
            self._journal.note_error(100002, str(error))
            self._close_code = None
            self._finish(End.LOST)

    # --- in -------------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            async for text in self._socket.texts():
                self._receive(text)
                if delay := self._side.book.of(self._side.call_control_id).socket.read_delay:
                    await self._clock.sleep(delay)
        except SocketError as error:
            self._lose(error)
        self._finish(End.LOST)

    def _receive(self, text: str | bytes) -> None:
        self._heard_from = now = self._clock.now()
        try:
            self._return_marks(self._act(text, now=now))
        except PlayoutError as error:
            self._complain(error.code, str(error))
        except RemoteProtocolError as error:
            self._journal.messages_received["malformed"] += 1
            # Telnyx has a code of its own for base64 that is none.
            self._complain(100004 if "$.media.payload" in str(error) else 100003, str(error))

    def _act(self, text: str | bytes, *, now: float) -> list[str]:
        """Take one message; returns the marks that were reached until now."""
        if isinstance(text, bytes):
            raise RemoteProtocolError("a binary message; media-stream messages are texts")
        received, playout = self._journal.messages_received, self._playout
        match self._stream.receive_message(text):
            case Play(media=body):
                received["media"] += 1
                self._journal.media_received.add(now, len(body.payload))
                reached = playout.push_audio(body.payload, now=now)
                self._note_ignored()
                return reached
            case Mark(mark=mark):
                received["mark"] += 1
                return playout.push_mark(mark.name, now=now)
            case Clear():
                received["clear"] += 1
                self._line.cleared()
                return playout.clear(now=now)
            case UnknownEvent(event=event):
                received["unknown"] += 1
                raise PlayoutError(100003, f"there is no event {event[:40]!r}")

    def _note_ignored(self) -> None:
        """Tell once what the application would else wonder about: it speaks, and nobody hears it."""
        if self._playout.ignored is not None and self._ignored is None:
            self._ignored = self._playout.ignored
            self._journal.note_ignored(f"stream_bidirectional_mode is mp3: {self._ignored}")

    # --- what ends it before its time -----------------------------------------------------------------------------

    def _arm(self) -> None:
        after = self._side.book.of(self._side.call_control_id).socket.cut_after
        if after is not None:
            self._timers.later(after, self._cut)
        if self._switches.idle_timeout:
            self._watch()

    def _cut(self) -> None:
        code = self._side.book.of(self._side.call_control_id).socket.close_code
        if self._end is None and self._side.book.take("socket", self._side.call_control_id):
            self._side.note("socket", "cut", close_code=code)
            self._way.close()
            self._close_code = code
            self._finish(End.CUT)

    def _watch(self) -> None:
        left = self._heard_from + self._switches.idle_timeout - self._clock.now()
        if left > 0:
            self._timers.later(left, self._watch)
        else:
            self._journal.note_error(100002, f"no message for {self._switches.idle_timeout:g} s")
            self._close_code = _CLOSE_WHEN_IDLE
            self._finish(End.CUT)
