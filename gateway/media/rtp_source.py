"""Whose packets these are: one sender for each RTP stream, and numbers that do not wrap around.

Anybody may send to a UDP port. The stream belongs to the first sender, an address and an SSRC, of whom two packets
have come whose numbers are near each other: one packet alone proves nothing, as any octets that begin with binary 10
are one. The first packet waits for the second, so none is lost by it.

*Another sender* is foreign as long as the first one sends. The same machine may send under a new SSRC or from a new
port (a transfer, a new media process), and then takes over as soon as the old sender has been silent for a moment;
another machine never does.

*A number far from the last one* is not believed by itself either: if a second one follows it, the sender has begun to
count anew.

Source: RFC 3550 sections 5.1 and 8.2, appendices A.1 and A.3.
"""

from collections import deque
from collections.abc import Hashable, Sequence
from typing import Any, Final, TypeAlias

from gateway.protocol.messages import Track
from gateway.protocol.rtp import RtpPacket
from gateway.protocol.stream import MediaReceived

__all__ = ["RtpReceived", "RtpSource"]

Address: TypeAlias = tuple[Any, ...]
"""Host, port, and for IPv6 two more, as the socket tells them."""

_MAX_DROPOUT: Final = 3000  # numbers ahead of the highest so far; RFC 3550, appendix A.1
_MAX_MISORDER: Final = 100  # numbers behind it; the same
_QUIET: Final = 0.2  # seconds without the sender until another one of the same machine may take over
_HELD: Final = 10  # packets of a sender that may become the stream's; what comes within `_QUIET`
_CANDIDATES: Final = 8  # senders of whom packets are held


class RtpReceived(MediaReceived, frozen=True, gc=False):
    """A packet of the stream's sender; `sequence_number`, which is `chunk` as well, and `timestamp` do not wrap.

    Attributes:
        timestamp: In units of the payload's clock; may be negative.
        payload_type: As in the header.
        marker: As in the header.
        arrived: When it came, on the clock of `now`.
        sender: How many senders, or beginnings of a count, there were before: timestamps of two have nothing in common.
    """

    timestamp: int
    payload_type: int
    marker: bool
    arrived: float
    sender: int


class RtpSource:
    """Finds the packets that belong to one RTP stream.

    Args:
        track: What the stream holds.

    Attributes:
        packets_foreign: Packets of somebody else, or of nobody that could be believed.
        packets_received: The stream's packets, doubled ones too.
        senders: How many senders there were, or times that one began to count anew.
        ssrc: The sender's; None before the first.
        heard_at: When its last packet came; None before the first.
    """

    def __init__(self, track: Track) -> None:
        self.packets_foreign = 0
        self.packets_received = 0
        self.senders = 0
        self.ssrc: int | None = None
        self.heard_at: float | None = None
        self._track = track
        self._sender: tuple[Address, int] | None = None  # address and SSRC
        self._host: Hashable = None
        self._first = 0
        self._highest = 0
        self._timestamp = 0
        self._expected_before = 0  # of earlier senders
        self._candidates: dict[tuple[Address, int], deque[tuple[float, RtpPacket]]] = {}

    def push(self, packet: RtpPacket, address: Address, *, now: float) -> Sequence[RtpReceived]:
        """Take a packet from anybody.

        Args:
            packet: As it came.
            address: The sender's host and port.
            now: When it came.

        Returns:
            What of it, and of packets before it, belongs to the stream; usually just this packet.
        """
        sender = (address, packet.ssrc)
        if sender == self._sender:
            step = _step(packet.sequence_number, self._highest, 0xFFFF)
            if -_MAX_MISORDER <= step < _MAX_DROPOUT:
                self.heard_at = now
                return (self._number(packet, now),)
        elif self._sender is not None and address[0] != self._host:
            self.packets_foreign += 1
            return ()
        return self._prove(sender, packet, now)

    @property
    def packets_expected(self) -> int:
        """How many were sent, by their numbers (RFC 3550, appendix A.3)."""
        return self._expected_before + (self._highest - self._first + 1 if self.senders else 0)

    @property
    def packets_missing(self) -> int:
        """Expected and not received; late ones are received, and doubled ones count too (section 6.4.1)."""
        return self.packets_expected - self.packets_received

    def _prove(self, sender: tuple[Address, int], packet: RtpPacket, now: float) -> Sequence[RtpReceived]:
        held = self._candidates.setdefault(sender, deque())
        if held and abs(_step(packet.sequence_number, held[-1][1].sequence_number, 0xFFFF)) > _MAX_MISORDER:
            self.packets_foreign += len(held)
            held.clear()
        held.append((now, packet))
        proved = len({one.sequence_number for _, one in held}) > 1
        if proved and (sender == self._sender or self.heard_at is None or now >= self.heard_at + _QUIET):
            return self._adopt(sender, held)
        if len(held) > _HELD:
            held.popleft()
            self.packets_foreign += 1
        if len(self._candidates) > _CANDIDATES:
            oldest = next(iter(self._candidates))
            self.packets_foreign += len(self._candidates.pop(oldest))
        return ()

    def _adopt(self, sender: tuple[Address, int], held: deque[tuple[float, RtpPacket]]) -> Sequence[RtpReceived]:
        del self._candidates[sender]
        self._expected_before = self.packets_expected
        self._sender = sender
        self._host = sender[0][0]
        self.ssrc = sender[1]
        self.senders += 1
        self.heard_at = held[-1][0]
        first = held[0][1]
        in_order = sorted(held, key=lambda one: _step(one[1].sequence_number, first.sequence_number, 0xFFFF))
        # Two rounds further on: no number of another sender is near, and nothing seems to be missing in between.
        self._first = self._highest = (self._highest // 0x10000 + 2) * 0x10000 + in_order[0][1].sequence_number
        self._timestamp = first.timestamp
        return [self._number(packet, now) for now, packet in in_order]

    def _number(self, packet: RtpPacket, now: float) -> RtpReceived:
        self.packets_received += 1
        number = self._highest + _step(packet.sequence_number, self._highest, 0xFFFF)
        timestamp = self._timestamp + _step(packet.timestamp, self._timestamp, 0xFFFFFFFF)
        if number > self._highest:
            self._highest = number
            self._timestamp = timestamp
        return RtpReceived(
            track=self._track,
            sequence_number=number,
            chunk=number,
            timestamp=timestamp,
            payload=packet.payload,
            payload_type=packet.payload_type,
            marker=packet.marker,
            arrived=now,
            sender=self.senders,
        )


def _step(number: int, reference: int, mask: int) -> int:
    """How far `number`, of which only the bits of `mask` are known, is from `reference`, the shorter way round."""
    step = (number - reference) & mask
    return step - mask - 1 if step > mask >> 1 else step
