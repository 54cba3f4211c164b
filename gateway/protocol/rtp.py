"""RTP packets, as Telnyx's fork sends them: octets to fields and back.

What comes on a UDP port is hostile until it is proved to be something: a datagram is either a packet, field by field
within its bounds, or refused for a reason that can be counted.

Telnyx's older forks put a header of their own before RTP (STREP): 24 octets, which say the leg, the direction and the
call's `call_leg_id`. Its first two bits are 11, where RTP's are 10, so it can be told and taken off.

Source: RFC 3550 sections 5.1 and 5.3.1; RFC 3551 section 6; RFC 5761 section 4; Telnyx, "Forking start" (Simple
Telnyx RTP Encapsulation Protocol).
"""

import struct
from typing import Final, NamedTuple

import msgspec

from gateway.errors import DatagramError
from gateway.protocol.messages import Track

__all__ = ["PAYLOAD_TYPES", "RtpFormat", "RtpPacket", "build_rtp", "parse_rtp"]


class RtpFormat(NamedTuple):
    """What payloads of one type are in, as an SDP `rtpmap` names it.

    Attributes:
        encoding: Such as `PCMU`; `telephone-event` are keys (RFC 4733), `CN` is comfort noise (RFC 3389).
        clock_rate: Of the timestamp, in Hz.
    """

    encoding: str
    clock_rate: int


PAYLOAD_TYPES: Final = {
    0: RtpFormat("PCMU", 8000),
    8: RtpFormat("PCMA", 8000),
    9: RtpFormat("G722", 8000),  # samples at 16,000 Hz all the same: an error of RFC 1890 that had to stay
    13: RtpFormat("CN", 8000),
    101: RtpFormat("telephone-event", 8000),  # dynamic, and nearly everybody's choice
}
"""What needs not be told: the static types of RFC 3551 that telephony uses, and one habit."""

_VERSION: Final = 2
_HEADER: Final = struct.Struct("!BBHII")
_EXTENSION: Final = struct.Struct("!HH")
_PADDING: Final = 0x20
_EXTENDED: Final = 0x10
_CSRC_COUNT: Final = 0x0F
_MARKER: Final = 0x80
_RTCP_TYPES: Final = range(192, 224)  # the second octet; as RTP they would be marked packets of types 64 to 95
_STREP: Final = 0xC0  # the first two bits
_STREP_MIN: Final = 24
_STREP_OUTBOUND: Final = 0x01  # the D bit


class RtpPacket(msgspec.Struct, frozen=True, gc=False):
    """One RTP packet; fields as in RFC 3550, section 5.1.

    Attributes:
        payload_type: 0 to 127: what the payload is in.
        sequence_number: 0 to 65535, one more for each packet.
        timestamp: 0 to 2**32 - 1, in units of the payload's clock: when the first sample was taken.
        ssrc: Who sends; 32 bits, chosen at random.
        payload: Without padding; may be empty.
        marker: The first packet after silence, or of a telephone event.
        direction: Whose sound it is, where a STREP header told.
    """

    payload_type: int
    sequence_number: int
    timestamp: int
    ssrc: int
    payload: bytes
    marker: bool = False
    direction: Track | None = None


def parse_rtp(datagram: bytes) -> RtpPacket:
    """Read one datagram.

    Contributing sources and header extensions are skipped: nothing here needs them.

    Raises:
        DatagramError: It is no RTP packet; its `reason` says in a word what is wrong.
    """
    direction: Track | None = None
    start = 0
    if datagram and datagram[0] & _STREP == _STREP:
        start = datagram[1] if len(datagram) > 1 else 0
        if start < _STREP_MIN:
            raise DatagramError("strep", f"STREP header of {start} octets, want at least {_STREP_MIN}")
        direction = "outbound" if datagram[0] & _STREP_OUTBOUND else "inbound"
    size = len(datagram)
    begin = start + _HEADER.size
    if size < begin:
        raise DatagramError("short", f"datagram of {size} octets, an RTP header ends at {begin}")
    first, second, sequence_number, timestamp, ssrc = _HEADER.unpack_from(datagram, start)
    if first >> 6 != _VERSION:
        raise DatagramError("version", f"RTP version {first >> 6}, want {_VERSION}")
    if second in _RTCP_TYPES:
        raise DatagramError("rtcp", f"RTCP packet of type {second} on an RTP port")
    begin += 4 * (first & _CSRC_COUNT)
    if first & _EXTENDED:
        if size < begin + _EXTENSION.size:
            raise DatagramError("short", f"datagram of {size} octets, its extension begins at {begin}")
        begin += _EXTENSION.size + 4 * _EXTENSION.unpack_from(datagram, begin)[1]
    end = size
    if first & _PADDING and size > begin:
        end -= datagram[-1]
        if end == size:
            raise DatagramError("padding", "padding of 0 octets, of which one would be its length")
    if end < begin:
        raise DatagramError("short", f"datagram of {size} octets, its payload is from {begin} to {end}")
    return RtpPacket(
        second & 0x7F, sequence_number, timestamp, ssrc, datagram[begin:end], second & _MARKER != 0, direction
    )


def build_rtp(packet: RtpPacket) -> bytes:
    """Write a packet, with nothing but the fixed header before its payload."""
    second = packet.payload_type | (_MARKER if packet.marker else 0)
    head = _HEADER.pack(_VERSION << 6, second, packet.sequence_number, packet.timestamp, packet.ssrc)
    return head + packet.payload
