"""One RTP stream: packets of anybody in, frames and pressed keys out.

The numbers tell the order, as everywhere; the timestamps tell the time. Where the timestamp has gone on further than
the packets between explain, the sender had nothing to send (silence suppression), and silence fills the time. Where
there are no packets at all for a second, silence is let in as the time passes, a second behind it, so that nobody who
listens is kept waiting. No sound is ever dropped because of its timestamp.

Source: RFC 3550 section 5.1 and appendix A.8; RFC 3551 section 4.1; RFC 3389; RFC 4733.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from audio_codecs import Codec, CodecError, Wire, open_codec
from gateway.errors import RemoteProtocolError
from gateway.media.frame import AudioFrame
from gateway.media.ledger import GapLedger
from gateway.media.line import TrackLine
from gateway.media.quality import describe_track
from gateway.media.reorder import Lost, Ordered, ReorderBuffer
from gateway.media.rtp_clock import RtpClock
from gateway.media.rtp_source import Address, RtpReceived, RtpSource
from gateway.protocol.messages import Track
from gateway.protocol.rtp import RtpFormat, RtpPacket
from gateway.protocol.telephone_event import TelephoneEvents

__all__ = ["RtpReceiver"]

_MAX_TRANSIT_STEP: Final = 5.0  # seconds; beyond, it is the timestamps that have jumped


class RtpReceiver:
    """Turns one RTP stream into the frames of one track.

    Args:
        track: Whose sound it is.
        formats: What each payload type is in.
        ledger: Where the gaps are entered.
        begin: Told the codec and the arrival of the first packet of sound; tells the frames' sample rate and where the
            track begins on the call's time line.
        on_digit: Told of each key that was pressed.
        window: Seconds that a gap waits for its packets.

    Attributes:
        types_unknown: Packets by payload type that nobody said anything about, or that no codec is here for.
        problems: Why there is no codec for what came, in words; one for each such type.
    """

    def __init__(
        self,
        track: Track,
        *,
        formats: Mapping[int, RtpFormat],
        ledger: GapLedger,
        begin: Callable[[Codec, float], tuple[int, int]],
        on_digit: Callable[[str], None],
        window: float = 0.06,
    ) -> None:
        self.track = track
        self.types_unknown: Counter[int] = Counter()
        self.problems: list[str] = []
        self._formats = formats
        self._ledger = ledger
        self._begin = begin
        self._on_digit = on_digit
        self._source = RtpSource(track)
        self._reorder = ReorderBuffer(window)
        self._events = TelephoneEvents()
        self._events_bad = 0
        self._packets_silent = 0
        self._packets_of_keys = 0
        self._codecs: dict[int, Codec | None] = {}
        self._line: TrackLine | None = None
        self._payload_type = -1  # of the last packet of sound that was decoded; there was none
        self._transit: tuple[int, int, float] = (0, 0, 0.0)  # sender, clock rate, and the last packet's
        self._lost = 0  # packets that are lost before the next one
        self._clock = RtpClock(1)  # until the line is open

    def push(self, packet: RtpPacket, address: Address, *, now: float) -> list[AudioFrame]:
        """Take a packet of anybody, in whatever order; return the frames that are due, usually just one."""
        frames: list[AudioFrame] = []
        for received in self._source.push(packet, address, now=now):
            frames += self._take(received)
        return frames

    @property
    def heard_at(self) -> float | None:
        """When the last packet of the stream came; None before the first."""
        return self._source.heard_at

    @property
    def wire(self) -> Wire | None:
        """What the codec found out about the stream; None where nothing is left open."""
        return None if self._line is None else self._line.wire

    @property
    def resynchronisations(self) -> int:
        """Times that the numbers jumped too far to be believed."""
        return self._reorder.resynchronisations

    def deadline(self) -> float | None:
        """When to call `pop`, on the clock of `now`; None while nothing waits."""
        return self._reorder.deadline()

    def pop(self, *, now: float) -> list[AudioFrame]:
        """Give up the gaps whose time is over; return the frames that fill them, and those that waited behind."""
        return self._frames(self._reorder.pop(now=now))

    def flush(self) -> list[AudioFrame]:
        """Return every frame that still waits: the stream has ended."""
        return self._frames(self._reorder.flush())

    def pass_time(self, *, now: float) -> list[AudioFrame]:
        """Return the silence of the time in which nothing came, all but the last second of it."""
        line = self._line
        if line is None:
            return []
        return line.silence(self._clock.overdue(line.position, now=now))

    def describe(self) -> dict[str, Any]:
        """What was counted and measured, as JSON-ready values; `docs/media.md` says what it means."""
        source, line = self._source, self._line
        counted = {} if line is None else describe_track(self._reorder.tracks[self.track], line)
        return counted | {
            "rtp": {
                "ssrc": source.ssrc,
                "senders": source.senders,
                "packets_expected": source.packets_expected,
                "packets_missing": source.packets_missing,
                "packets_foreign": source.packets_foreign,
                "packets_of_keys": self._packets_of_keys,
                "packets_silent": self._packets_silent,
                "packets_of_unknown_type": {str(number): count for number, count in self.types_unknown.items()},
                "telephone_events_bad": self._events_bad,
                "telephone_events_other": self._events.events_other,
                "timestamp_jumps": self._clock.jumps,
                "problems": list(self.problems),
            }
        }

    # --- what a packet is -----------------------------------------------------------------------------------------

    def _take(self, received: RtpReceived) -> list[AudioFrame]:
        payload_type = received.payload_type
        encoding, clock_rate = self._formats.get(payload_type, _UNKNOWN)
        codec = None
        if encoding == "telephone-event":
            self._packets_of_keys += 1
            self._press(received)
        elif encoding == "CN" or not received.payload:
            self._packets_silent += 1
        elif (codec := self._codec(payload_type)) is None:
            self.types_unknown[payload_type] += 1
        if codec is None:
            self._reorder.note(received.sequence_number)
            return []
        if self._line is None:
            self._open_line(codec, received)
        self._measure_jitter(received, clock_rate)
        return self._frames(self._reorder.push(received, now=received.arrived))

    def _press(self, received: RtpReceived) -> None:
        try:
            digits = self._events.push(received.payload, timestamp=received.timestamp, marker=received.marker)
        except RemoteProtocolError:
            self._events_bad += 1
            return
        for digit in digits:
            self._on_digit(digit)

    def _codec(self, payload_type: int) -> Codec | None:
        if payload_type not in self._codecs:
            self._codecs[payload_type] = None
            try:
                if payload_type not in self._formats:
                    raise CodecError("nobody said what it is")
                # RFC 3551, section 4.5.11: L16 comes in network byte order.
                self._codecs[payload_type] = open_codec(*self._formats[payload_type], wire=Wire("big"))
            except CodecError as error:
                self.problems.append(f"payload type {payload_type}: {error}"[:200])
        return self._codecs[payload_type]

    def _open_line(self, codec: Codec, first: RtpReceived) -> None:
        sample_rate, position = self._begin(codec, first.arrived)
        self._line = TrackLine(self.track, codec, self._ledger, sample_rate=sample_rate, position=position)
        self._clock = RtpClock(sample_rate)

    def _measure_jitter(self, received: RtpReceived, clock_rate: int) -> None:
        """RFC 3550, appendix A.8, in seconds."""
        assert self._line is not None
        sender, last_rate, last_transit = self._transit
        transit = received.arrived - received.timestamp / clock_rate
        step = abs(transit - last_transit)
        if (sender, last_rate) == (received.sender, clock_rate) and step < _MAX_TRANSIT_STEP:
            self._line.jitter += (step - self._line.jitter) / 16
        self._transit = received.sender, clock_rate, transit

    # --- where its sound belongs ----------------------------------------------------------------------------------

    def _frames(self, ordered: Iterable[Ordered]) -> list[AudioFrame]:
        frames: list[AudioFrame] = []
        for item in ordered:
            if isinstance(item, Lost):
                self._lost += item.count
                continue
            line = self._line
            assert isinstance(item, RtpReceived)
            assert line is not None
            clock_rate = self._formats[item.payload_type].clock_rate
            if self._payload_type >= 0:
                frames += self._fill(line, item, clock_rate)
            self._clock.begin(item, clock_rate, line.position)
            if item.payload_type != self._payload_type:
                self._payload_type = item.payload_type
                codec = self._codecs[item.payload_type]
                assert codec is not None
                line.use(codec)
            frames.append(line.take(item.payload))
            self._clock.end(item, line.position)
        return frames

    def _fill(self, line: TrackLine, item: RtpReceived, clock_rate: int) -> list[AudioFrame]:
        """What stands between the last frame and this packet: lost packets, then time in which nothing was sent."""
        frames: list[AudioFrame] = []
        tolerance = self._clock.tolerance
        lost, self._lost = self._lost, 0
        gap = self._clock.gap(item, clock_rate, line.position, lost=lost, length=line.packet_samples)
        while lost and gap > tolerance:
            frames.append(line.conceal("lost", at_most=gap))
            gap -= len(frames[-1].samples)
            lost -= 1
        if gap > tolerance:
            frames += line.silence(gap)
        return frames


_UNKNOWN: Final = RtpFormat("", 1)
