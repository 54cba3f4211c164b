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
from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec

from gateway.protocol.messages import Track
from gateway.protocol.stream import MediaReceived

__all__ = ["Lost", "Ordered", "ReorderBuffer"]

_MAX_GAP: Final = 250  # chunks that may be told as lost at once, and packets that may be held; 5 s of 20 ms
_MAX_BEHIND: Final = 50  # packets in a row that come from behind before the count is taken to begin anew
_MAX_MISSING: Final = 1000  # missing sequence numbers that are remembered


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


class ReorderBuffer:
    """Puts the packets of one media stream, all its tracks, in order.

    Args:
        window: Seconds that a gap waits for its packets.

    Attributes:
        packets_received: All that were pushed, good or not.
        packets_lost: Told as `Lost`.
        packets_late: Dropped, as their place had been given up or passed over.
        packets_duplicated: Dropped, as they had come before.
        packets_reordered: Came after a later one and still took their place.
        resynchronisations: Times that `chunk` jumped too far to be believed.
    """

    def __init__(self, window: float = 0.06) -> None:
        self.packets_received = 0
        self.packets_lost = 0
        self.packets_late = 0
        self.packets_duplicated = 0
        self.packets_reordered = 0
        self.resynchronisations = 0
        self._window = window
        self._lanes: dict[Track, _Lane] = {}
        self._highest = 1  # sequence number; 1 is `start`, without which there is no sound
        self._missing: list[int] = []  # sequence numbers below `_highest` that have not come, rising
        self._deadline: float | None = None

    def push(self, packet: MediaReceived, *, now: float) -> Sequence[Ordered]:
        """Take a packet, in whatever order.

        Returns:
            What is in order now, per track; usually just this packet.
        """
        self.packets_received += 1
        lane = self._lanes.get(packet.track)
        number = packet.sequence_number
        if lane is not None and packet.chunk == lane.next_chunk and not lane.held and number == self._highest + 1:
            self._highest = number
            lane.next_chunk += 1
            lane.last = packet
            return (packet,)
        return self._sort_in(packet, now)

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

    # --- out of order ------------------------------------------------------------------------------------------

    def _sort_in(self, packet: MediaReceived, now: float) -> Sequence[Ordered]:
        lane = self._lane_of(packet)
        seen_before = not self._take_number(packet.sequence_number)
        chunk = packet.chunk
        ordered: list[Ordered] = []
        if chunk in lane.held:
            self.packets_duplicated += 1
            return ()
        if lane.last is not None and chunk < lane.next_chunk:
            if not self._too_many_behind(lane):
                if seen_before or chunk == lane.last.chunk:
                    self.packets_duplicated += 1
                else:
                    self.packets_late += 1
                return ()
            self._begin_anew(lane, packet, ordered)
        if lane.held and chunk < max(lane.held):
            self.packets_reordered += 1
        elif lane.last is not None and chunk - max(lane.held, default=lane.next_chunk) > _MAX_GAP:
            self.resynchronisations += 1
            self._drain(lane, float("inf"), ordered)
            self._give_up_gap(lane, packet, ordered)
            lane.next_chunk = chunk
        lane.held[chunk] = (now, packet)
        self._drain(lane, now, ordered)
        self._set_deadline()
        return ordered

    def _release(self, now: float) -> Sequence[Ordered]:
        ordered: list[Ordered] = []
        for lane in self._lanes.values():
            self._drain(lane, now, ordered)
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
        self.packets_lost += count
        tracks = [track for track, its_lane in self._lanes.items() if its_lane is lane]
        tracks.sort(key=lambda track: track == last.track)  # after the one comes the other
        for turn, track in enumerate(tracks):
            if share := (count + len(tracks) - 1 - turn) // len(tracks):
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
        heads = [next(iter(lane.held.values()))[0] for lane in self._lanes.values() if lane.held]
        self._deadline = min(heads) + self._window if heads else None

    # --- lanes -------------------------------------------------------------------------------------------------

    def _lane_of(self, packet: MediaReceived) -> _Lane:
        """The packet's lane: a new one, the other track's, or, where that proves wrong, one of its own again."""
        lane = self._lanes.get(packet.track)
        if lane is None:
            lane = next(iter(self._lanes.values()), None)
            if lane is None or not _fits(lane, packet):
                lane = _Lane()
            self._lanes[packet.track] = lane
        elif not _fits(lane, packet):
            own = self._lanes[packet.track] = _Lane()
            mine = [chunk for chunk, (_, held) in lane.held.items() if held.track == packet.track]
            own.held = {chunk: lane.held.pop(chunk) for chunk in mine}
            lane = own
        return lane

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
