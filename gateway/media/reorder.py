"""The order of the sound: what came out of order is put right, what did not come is told.

Each packet carries two numbers. `sequence_number` counts all messages of the socket, `start` being 1; `chunk` counts
the packets of sound. A packet whose chunk is the next one passes at once, and nothing below concerns it. Any other
is judged so:

*Which chunks belong together* is not documented: each track may count its own, or both tracks may share one count.
Until shown otherwise the tracks share a count where that is possible at all, which the first packet of the second
track tells: between any two packets of one count, chunk and sequence number grow together, and chunk not faster, as
each chunk is a message. Two tracks that each count their own break this within three packets; then they are parted
for good. What shares a count is called a lane here.

*A gap in chunk* is loss only where messages are missing as well: otherwise the carrier counted on without sending,
and nothing is to be waited for. At most as many packets are lost as messages are missing. In a shared lane nobody
knows whose packets are missing; the tracks take turns, so they are told as taking turns.

*A gap waits* for `window` seconds from the first packet behind it. Packets that come meanwhile take their places.
Then the gap is told as `Lost`, and what comes later still is dropped and counted. The first packet of a lane waits
too where messages before it are missing, since the first chunk may be any number; except chunk 1, the usual first.

*Numbers are hostile.* A step ahead by more than 250 chunks (5 s) is not waited for, and at most 250 are told as
lost. 50 packets in a row from behind mean that the count began anew. A step of the sequence number by more than 1000
begins that count anew. The first two are counted as resynchronisations.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from gateway.protocol.messages import Track
from gateway.protocol.stream import MediaReceived

__all__ = ["NOT_STEADY", "Lost", "Ordered", "ReorderBuffer", "TrackPackets"]

_MAX_GAP: Final = 250  # chunks that may be told as lost at once, and packets that may be held; 5 s of 20 ms
_MAX_BEHIND: Final = 50  # packets in a row that come from behind before the count is taken to begin anew
_MAX_MISSING: Final = 1000  # missing sequence numbers that are remembered
NOT_STEADY: Final = -2  # no number follows it, as none is below 0


class Lost(msgspec.Struct, frozen=True, gc=False):
    """Packets of one track that did not come in time; they belong before whatever follows."""

    track: Track
    count: int  # at least 1, at most 250


Ordered: TypeAlias = MediaReceived | Lost


class _Lane:
    """One count of chunks: of one track, or of both."""

    __slots__ = ("behind", "behind_at", "held", "last", "next_chunk")

    def __init__(self) -> None:
        self.next_chunk = -1  # below any chunk: none has passed yet
        self.last: MediaReceived | None = None  # the last that passed
        self.held: dict[int, tuple[float, MediaReceived]] = {}  # by chunk, in order of arrival, with its time
        self.behind = 0  # packets from behind since `next_chunk` was `behind_at`
        self.behind_at = -1


class TrackPackets:
    """What became of the packets of one track.

    Attributes:
        packets_received: All that were pushed, good or not.
        packets_lost: Told as `Lost`.
        packets_late: Dropped, as their place had been given up or passed over.
        packets_duplicated: Dropped, as they had come before.
        packets_reordered: Came after a later one and still took their place.
        loss_bursts: How many times packets were lost, one or several together.
    """

    __slots__ = (
        "lane",
        "loss_bursts",
        "packets_duplicated",
        "packets_late",
        "packets_lost",
        "packets_received",
        "packets_reordered",
    )

    def __init__(self, lane: _Lane) -> None:
        self.lane = lane  # the buffer's own affair
        self.packets_received = 0
        self.packets_lost = 0
        self.packets_late = 0
        self.packets_duplicated = 0
        self.packets_reordered = 0
        self.loss_bursts = 0


class ReorderBuffer:
    """Puts the packets of one media stream, all its tracks, in order.

    Args:
        window: Seconds that a gap waits for its packets.

    Attributes:
        resynchronisations: Times that `chunk` jumped too far to be believed.
    """

    __slots__ = (
        "_deadline",
        "_highest",
        "_missing",
        "_tracks",
        "_window",
        "resynchronisations",
    )

    def __init__(self, window: float = 0.06) -> None:
        self.resynchronisations = 0
        self._window = window
        self._tracks: dict[Track, TrackPackets] = {}
        self._highest = 1  # sequence number; 1 is `start`, without which there is no sound
        self._missing: list[int] = []  # sequence numbers below `_highest` that have not come, rising
        self._deadline: float | None = None

    def push(self, packet: MediaReceived, *, now: float) -> Sequence[Ordered]:
        """Take a packet, in whatever order.

        Returns:
            What is in order now, per track; usually just this packet.
        """
        packets = self._packets_of(packet)
        packets.packets_received += 1
        lane = packets.lane
        seen_before = not self._take_number(packet.sequence_number)
        chunk = packet.chunk
        ordered: list[Ordered] = []
        if chunk in lane.held:
            packets.packets_duplicated += 1
            return ()
        if lane.last is not None and chunk < lane.next_chunk:
            if not self._too_many_behind(lane):
                if seen_before or chunk == lane.last.chunk:
                    packets.packets_duplicated += 1
                else:
                    packets.packets_late += 1
                return ()
            self._begin_anew(lane, packet, ordered)
        if lane.held and chunk < max(lane.held):
            packets.packets_reordered += 1
        elif lane.last is not None and chunk - max(lane.held, default=lane.next_chunk) > _MAX_GAP:
            self.resynchronisations += 1
            self._drain(lane, float("inf"), ordered)
            self._give_up_gap(lane, packet, ordered)
            lane.next_chunk = chunk
        lane.held[chunk] = (now, packet)
        self._drain(lane, now, ordered)
        self._set_deadline()
        return ordered

    # --- what passes by it ----------------------------------------------------------------------------------------

    def steady(self, next_chunks: Mapping[Track, tuple[int, int]]) -> int:
        """See whether all is in order, so that packets need not pass through here as long as they come in turn.

        Args:
            next_chunks: For each track the chunk that it is to have next, and by how much its chunks grow.

        Returns:
            The sequence number after which the next message comes; far below any where something is amiss.
        """
        if self._deadline is None:
            for track, (chunk, stride) in next_chunks.items():
                if not 0 <= chunk - self._tracks[track].lane.next_chunk < stride:
                    return NOT_STEADY
            return self._highest
        return NOT_STEADY

    def passed(self, track: Track, count: int, *, chunk: int, sequence_number: int) -> None:
        """Tell of packets of one track that came in their turn; the chunk and the number are those of the last."""
        packets = self._tracks[track]
        packets.packets_received += count
        self._highest = max(self._highest, sequence_number)
        lane = packets.lane
        lane.next_chunk = max(lane.next_chunk, chunk + 1)
        if lane.last is None or lane.last.sequence_number < sequence_number:
            lane.last = MediaReceived(track, sequence_number, chunk, 0, b"")

    def note(self, sequence_number: int) -> None:
        """Tell of a message of the same socket that holds no sound, so that it does not seem to be missing."""
        self._take_number(sequence_number)

    def deadline(self) -> float | None:
        """When to call `pop`, on the clock of `now`; None while nothing waits."""
        return self._deadline

    def pop(self, *, now: float) -> Sequence[Ordered]:
        """Give up the gaps whose time is over."""
        return self._release(now) if self._deadline is not None and now >= self._deadline else ()

    def flush(self) -> Sequence[Ordered]:
        """Give up every gap: the stream has ended."""
        return self._release(float("inf"))

    def reconnect(self) -> None:
        """Let both counts begin anew, as another socket carries the stream; call `flush` first."""
        self._highest = 1
        self._missing.clear()
        lanes = {packets.lane: _Lane() for packets in self._tracks.values()}
        for packets in self._tracks.values():
            packets.lane = lanes[packets.lane]

    @property
    def tracks(self) -> Mapping[Track, TrackPackets]:
        """What became of the packets of each track that was heard."""
        return self._tracks

    def tracks_counted_with(self, track: Track) -> int:
        """How many tracks share the count of chunks that this one is in; at least 1, itself."""
        lane = self._tracks[track].lane
        return sum(packets.lane is lane for packets in self._tracks.values())

    # --- out of order ------------------------------------------------------------------------------------------

    def _release(self, now: float) -> Sequence[Ordered]:
        ordered: list[Ordered] = []
        for packets in self._tracks.values():
            self._drain(packets.lane, now, ordered)
        self._set_deadline()
        return ordered

    def _drain(self, lane: _Lane, now: float, ordered: list[Ordered]) -> None:
        """Let pass what may: all up to the first gap that still waits."""
        held = lane.held
        while held:
            if lane.next_chunk not in held:
                chunk = min(held)
                packet = held[chunk][1]
                oldest = next(iter(held.values()))[0]
                if self._waits(lane, packet) and now < oldest + self._window and len(held) <= _MAX_GAP:
                    return
                self._give_up_gap(lane, packet, ordered)
                lane.next_chunk = chunk
            lane.last = held.pop(lane.next_chunk)[1]
            lane.next_chunk += 1
            ordered.append(lane.last)

    def _waits(self, lane: _Lane, packet: MediaReceived) -> bool:
        """Whether something may still come before this packet."""
        return self._missing_before(lane, packet) > 0 and (lane.last is not None or packet.chunk > 1)

    def _give_up_gap(self, lane: _Lane, packet: MediaReceived, ordered: list[Ordered]) -> None:
        """Tell what is lost between the last packet that passed and this one."""
        last = lane.last
        if last is None:
            return
        count = min(packet.chunk - lane.next_chunk, self._missing_before(lane, packet), _MAX_GAP)
        if count <= 0:
            return
        tracks = [track for track, packets in self._tracks.items() if packets.lane is lane]
        tracks.sort(key=lambda track: track == last.track)  # after the one comes the other
        for turn, track in enumerate(tracks):
            if share := (count + len(tracks) - 1 - turn) // len(tracks):
                self._tracks[track].packets_lost += share
                self._tracks[track].loss_bursts += 1
                ordered.append(Lost(track, share))

    def _too_many_behind(self, lane: _Lane) -> bool:
        """Count one more packet from behind; True when there were too many in a row."""
        if lane.behind_at != lane.next_chunk:
            lane.behind_at, lane.behind = lane.next_chunk, 0
        lane.behind += 1
        return lane.behind >= _MAX_BEHIND

    def _begin_anew(self, lane: _Lane, packet: MediaReceived, ordered: list[Ordered]) -> None:
        """Let pass what is held, then take both numbers from this packet on."""
        self.resynchronisations += 1
        self._drain(lane, float("inf"), ordered)
        lane.last = None
        self._highest = packet.sequence_number
        self._missing.clear()

    def _set_deadline(self) -> None:
        lanes = (packets.lane for packets in self._tracks.values())
        heads = [next(iter(lane.held.values()))[0] for lane in lanes if lane.held]
        self._deadline = min(heads) + self._window if heads else None

    # --- lanes -------------------------------------------------------------------------------------------------

    def _packets_of(self, packet: MediaReceived) -> TrackPackets:
        """The packet's track, in its lane: a new one, the other track's, or, where that proves wrong, its own again."""
        packets = self._tracks.get(packet.track)
        if packets is None:
            other = next(iter(self._tracks.values()), None)
            shared = other is not None and _fits(other.lane, packet)
            packets = TrackPackets(other.lane if other is not None and shared else _Lane())
            self._tracks[packet.track] = packets
        elif not _fits(packets.lane, packet):
            own, held = _Lane(), packets.lane.held
            mine = [chunk for chunk, (_, waiting) in held.items() if waiting.track == packet.track]
            own.held = {chunk: held.pop(chunk) for chunk in mine}
            packets.lane = own
        return packets

    # --- sequence numbers --------------------------------------------------------------------------------------

    def _take_number(self, number: int) -> bool:
        """Note that this sequence number has come; False where it had come before."""
        step = number - self._highest
        if abs(step) > _MAX_MISSING:
            self._missing.clear()
            self._highest = number
        elif step > 0:
            self._missing.extend(range(self._highest + 1, number))
            del self._missing[:-_MAX_MISSING]
            self._highest = number
        else:
            place = bisect_left(self._missing, number)
            if place == len(self._missing) or self._missing[place] != number:
                return False
            del self._missing[place]
        return True

    def _missing_before(self, lane: _Lane, packet: MediaReceived) -> int:
        """How many messages are missing between the last packet that passed and this one."""
        after = 1 if lane.last is None else lane.last.sequence_number
        before = bisect_left(self._missing, packet.sequence_number)
        return max(0, before - bisect_right(self._missing, after))


def _fits(lane: _Lane, packet: MediaReceived) -> bool:
    """Whether the packet can be of one count with the other track's packets that the lane knows of."""
    known = [held for _, held in lane.held.values()]
    if lane.last is not None:
        known.append(lane.last)
    for other in known:
        if other.track != packet.track:
            chunks = packet.chunk - other.chunk
            numbers = packet.sequence_number - other.sequence_number
            if not (0 < chunks <= numbers or numbers <= chunks < 0):
                return False
    return True
