"""From packets to frames: in order, decoded, the holes filled; and what is measured on the way.

Each track's time line is made of samples, not of times: a frame begins where the one before it ended, and what was
lost is there as well, made up and entered in the ledger.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from audio_codecs import Codec
from gateway.media.frame import AudioFrame
from gateway.media.ledger import GapLedger
from gateway.media.line import TrackLine
from gateway.media.quality import describe_track
from gateway.media.reorder import NOT_STEADY, Lost, Ordered, ReorderBuffer
from gateway.protocol.messages import Track
from gateway.protocol.stream import MediaReceived

__all__ = ["Receiver", "totals"]

_NONE_YET: Final = -1  # below any chunk
_MAX_STEP: Final = 250  # packets between two whose arrivals are compared; beyond, the count has jumped


class Receiver:
    """Turns the packets of one media stream into frames, per track without a hole.

    Args:
        open_codec: Opens the codec that `start` announced; called once for each track that is heard.
        window: Seconds that a gap waits for its packets.

    Attributes:
        payloads_bad: Packets whose payload was empty or could not be decoded.
        ledger: Where the frames stand that were made up.
    """

    __slots__ = ("_inbound", "_lines", "_number", "_open_codec", "_reorder", "ledger", "payloads_bad")

    def __init__(self, open_codec: Callable[[], Codec], *, window: float = 0.06) -> None:
        self.payloads_bad = 0
        self.ledger = GapLedger()
        self._open_codec = open_codec
        self._reorder = ReorderBuffer(window)
        self._lines: dict[Track, TrackLine] = {}
        self._inbound: TrackLine | None = None  # one of them, the one that is asked for most
        self._number = NOT_STEADY  # sequence number of the last message, while all come in their turn

    def push(self, packet: MediaReceived, *, now: float) -> Sequence[AudioFrame]:
        """Take a packet, in whatever order; return the frames that are due, usually just one."""
        frame = self.push_next(packet.track, packet.sequence_number, packet.chunk, packet.payload, now)
        return self._sort_in(packet, now) if frame is None else (frame,)

    def push_next(self, track: Track, number: int, chunk: int, payload: bytes, now: float) -> AudioFrame | None:
        """Take a packet that comes in its turn, as nearly all do; None, and nothing is done, where it does not.

        Args:
            track: As in `MediaReceived`, like the next three.
            number: Its sequence number.
            chunk: See `track`.
            payload: See `track`.
            now: The present.
        """
        line = self._inbound if track == "inbound" else self._lines.get(track)
        if line is None or number != self._number + 1 or chunk != line.next_chunk:
            return None
        self._number = line.number = number
        line.next_chunk += line.stride
        line.jitter += (abs(now - line.due) - line.jitter) / 16  # RFC 3550, appendix A.8
        line.due = now + line.packet_time
        frame = line.take(payload)
        if frame.concealed:
            self.payloads_bad += 1
        return frame

    def note(self, sequence_number: int) -> None:
        """Tell of a message of the same socket that holds no sound, so that it does not seem to be missing."""
        with self._buffer() as reorder:
            reorder.note(sequence_number)

    def deadline(self) -> float | None:
        """When to call `pop`, on the clock of `now`; None while nothing waits."""
        return self._reorder.deadline()

    def pop(self, *, now: float) -> Sequence[AudioFrame]:
        """Give up the gaps whose time is over; return the frames that fill them, and those that waited behind."""
        if self._reorder.deadline() is None:
            return ()
        with self._buffer() as reorder:
            return self._frames(reorder.pop(now=now))

    def flush(self) -> Sequence[AudioFrame]:
        """Return every frame that still waits: the stream has ended."""
        with self._buffer() as reorder:
            return self._frames(reorder.flush())

    def due(self) -> float:
        """When the next packet is to come, of the track that spoke last; minus infinity before any packet came."""
        return max((line.due for line in self._lines.values()), default=float("-inf"))

    def reconnect(self, open_codec: Callable[[], Codec]) -> Sequence[AudioFrame]:
        """Another socket goes on with the stream: its counts begin anew, and the time lines where they would be by now.

        Args:
            open_codec: Opens the codec that its `start` announced.

        Returns:
            The frames that still waited. The hole comes with the first packet of each track.
        """
        frames = self.flush()
        with self._buffer() as reorder:
            reorder.reconnect()
            self._open_codec = open_codec
            for line in self._lines.values():
                line.use(open_codec())
                line.next_chunk = _NONE_YET
        return frames

    def position(self, track: Track) -> int:
        """How many samples of this track there were so far: the timestamp of its next frame."""
        line = self._lines.get(track)
        return 0 if line is None else line.position

    def describe(self) -> dict[str, Any]:
        """The counters and the ledger as JSON-ready values; `docs/media.md` says what they mean."""
        with self._buffer() as reorder:
            packets = reorder.tracks
        tracks = {track: describe_track(packets[track], line) for track, line in self._lines.items()}
        return totals(tracks.values()) | {
            "resynchronisations": self._reorder.resynchronisations,
            "wire": next((line.wire.describe() for line in self._lines.values() if line.wire is not None), None),
            "tracks": tracks,
            "ledger": self.ledger.describe(),
        }

    def _sort_in(self, packet: MediaReceived, now: float) -> Sequence[AudioFrame]:
        """Take a packet that is not the one that was due, or comes while something waits."""
        with self._buffer() as reorder:
            ordered = reorder.push(packet, now=now)
            line = self._lines.get(packet.track)
            hole: Sequence[AudioFrame] = ()
            if line is None:
                self._open_line(packet, now)
            elif line.next_chunk == _NONE_YET:
                hole = self._fill_hole(line, packet, now)
            else:
                self._note_arrival(line, packet, now)
            return [*hole, *self._frames(ordered)]

    @contextmanager
    def _buffer(self) -> Iterator[ReorderBuffer]:
        """Give the buffer, which is told before what has passed by it; and see then whether more may."""
        reorder = self._reorder
        for line in self._lines.values():
            if passed := (line.next_chunk - line.settled) // line.stride:
                last = line.next_chunk - line.stride
                reorder.passed(line.track, passed, chunk=last, sequence_number=line.number)
        try:
            yield reorder
        finally:
            for line in self._lines.values():
                line.settled = line.next_chunk
            next_chunks = {line.track: (line.next_chunk, line.stride) for line in self._lines.values()}
            self._number = reorder.steady(next_chunks)

    def _frames(self, ordered: Sequence[Ordered]) -> Sequence[AudioFrame]:
        frames: list[AudioFrame] = []
        for item in ordered:
            line = self._lines[item.track]
            if isinstance(item, Lost):
                frames.extend(line.conceal("lost") for _ in range(item.count))
            else:
                frames.append(line.take(item.payload))
                self.payloads_bad += frames[-1].concealed
        return frames

    def _open_line(self, packet: MediaReceived, now: float) -> None:
        line = self._lines[packet.track] = TrackLine(packet.track, self._open_codec(), self.ledger)
        self._inbound = self._lines.get("inbound")
        line.stride = self._reorder.tracks_counted_with(packet.track)
        line.next_chunk = packet.chunk
        line.due = now
        self._note_arrival(line, packet, now)

    def _fill_hole(self, line: TrackLine, packet: MediaReceived, now: float) -> Sequence[AudioFrame]:
        """Stand for the time since the last packet of the socket before."""
        hole = line.silence(max(0, round((now - line.due) * line.sample_rate)), "reconnect")
        line.stride = self._reorder.tracks_counted_with(line.track)
        line.next_chunk = packet.chunk + line.stride
        line.due = now + line.packet_time
        return hole

    def _note_arrival(self, line: TrackLine, packet: MediaReceived, now: float) -> None:
        """Measure the jitter where the packet is not the one that was due (RFC 3550, appendix A.8)."""
        last_chunk = line.next_chunk - line.stride
        line.stride = self._reorder.tracks_counted_with(line.track)
        early = (packet.chunk - last_chunk) / line.stride - 1  # in packets
        if abs(early) <= _MAX_STEP:
            line.jitter += (abs(now - line.due - early * line.packet_time) - line.jitter) / 16
        line.due = now + line.packet_time
        line.next_chunk = packet.chunk + line.stride


_SUMS: Final = (
    "packets_received",
    "packets_lost",
    "packets_late",
    "packets_duplicated",
    "packets_reordered",
    "payloads_bad",
    "frames_concealed",
)


def totals(tracks: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What the tracks counted, together; one without sound has counted nothing."""
    tracks = tuple(tracks)
    return {name: sum(track.get(name, 0) for track in tracks) for name in _SUMS}
