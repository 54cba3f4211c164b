"""AMR-WB in RTP: how the frames of the codec lie in a payload.

A payload is a mode request for the other end, a table of contents with one entry for each 20 ms, and the frames. There
are two layouts of it. In the *bandwidth-efficient* one all fields follow each other bit by bit; in the *octet-aligned*
one each begins with an octet of its own. Which is in use is said in SDP, and not on a media stream. But the table of
contents says how long the payload must be, so hardly ever do both fit. Where they do, the unused bits tell, which are
zeros in the octet-aligned layout.

The octet-aligned layout has options (interleaving, checksums, sorting by importance) that nobody seems to use; they are
not known here.

Source: RFC 4867 sections 4.3 and 4.4; 3GPP TS 26.201 for the frame types.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from audio_codecs.samples import CodecError

__all__ = ["NO_REQUEST", "SID", "AmrFrame", "AmrPayload", "build_payload", "parse_payload"]

NO_REQUEST: Final = 15
SID: Final = 9
"""Comfort noise; frame types below are speech, the mode of the same number."""

_BITS: Final = {0: 132, 1: 177, 2: 253, 3: 285, 4: 317, 5: 365, 6: 397, 7: 461, 8: 477, SID: 40, 14: 0, 15: 0}
_MAX_FRAMES: Final = 1500  # 30 s. A frame without sound has six bits and stands for 320 samples, so there is a limit


class AmrFrame(NamedTuple):
    """20 ms.

    Attributes:
        frame_type: 0 to 8 for speech, 9 for comfort noise, 14 for speech that was lost on the way, 15 for no data.
        good: It was not damaged on the way.
        octets: The frame's bits, the last octet filled with zeros.
    """

    frame_type: int
    good: bool
    octets: bytes

    @property
    def stored(self) -> bytes:
        """The frame as files hold it and decoders take it (RFC 4867 section 5.3)."""
        return bytes((self.frame_type << 3 | self.good << 2,)) + self.octets


class AmrPayload(NamedTuple):
    """What one payload holds.

    Attributes:
        frames: At least one.
        mode_request: The mode that the sender would like to get, 0 to 8; else no wish.
        octet_aligned: Its layout.
    """

    frames: tuple[AmrFrame, ...]
    mode_request: int = NO_REQUEST
    octet_aligned: bool = False


def build_payload(payload: AmrPayload) -> bytes:
    """Lay out a payload."""
    frames = payload.frames
    entries = [
        (n < len(frames)) << 5 | frame.frame_type << 1 | frame.good for n, frame in enumerate(frames, start=1)
    ]  # of six bits: another one follows, type, quality
    if payload.octet_aligned:
        head = bytes((payload.mode_request << 4, *(entry << 2 for entry in entries)))
        return head + b"".join(frame.octets for frame in frames)
    value, length = payload.mode_request, 4
    for entry in entries:
        value, length = value << 6 | entry, length + 6
    for frame in frames:
        bits = _BITS[frame.frame_type]
        value, length = value << bits | int.from_bytes(frame.octets) >> -bits % 8, length + bits
    return (value << -length % 8).to_bytes(-(-length // 8))


def parse_payload(payload: bytes) -> AmrPayload:
    """Read a payload of either layout.

    Raises:
        CodecError: It is neither, or holds more than 30 s.
    """
    aligned = _entries(payload, first=8, step=8)
    efficient = _entries(payload, first=4, step=6)
    if aligned and (not efficient or _unused_bits_are_zero(payload, len(aligned))):
        at = 1 + len(aligned)
        frames = []
        for frame_type, good in aligned:
            end = at + -(-_BITS[frame_type] // 8)
            frames.append(AmrFrame(frame_type, good, payload[at:end]))
            at = end
        return AmrPayload(tuple(frames), payload[0] >> 4, octet_aligned=True)
    if efficient:
        at = 4 + 6 * len(efficient)
        frames = []
        for frame_type, good in efficient:
            bits = _BITS[frame_type]
            octets = (_bits(payload, at, bits) << -bits % 8).to_bytes(-(-bits // 8))
            frames.append(AmrFrame(frame_type, good, octets))
            at += bits
        return AmrPayload(tuple(frames), payload[0] >> 4)
    raise CodecError(f"AMR-WB payload of {len(payload)} octets has neither layout of RFC 4867")


def _entries(payload: bytes, first: int, step: int) -> Sequence[tuple[int, bool]]:
    """Read the table of contents as one of the layouts has it.

    Args:
        payload: All of it.
        first: Bit where the table begins.
        step: Bits from one entry to the next; also to what the frames are padded, if that is 8.

    Returns:
        Frame type and quality of each entry; none where the payload's length is not what they make.
    """
    entries: list[tuple[int, bool]] = []
    at, speech = first, 0
    while at + 6 <= 8 * len(payload) and len(entries) < _MAX_FRAMES:
        entry = _bits(payload, at, 6)
        at += step
        frame_type = entry >> 1 & 15
        bits = _BITS.get(frame_type)
        if bits is None:
            return ()
        entries.append((frame_type, bool(entry & 1)))
        speech += bits if step == 6 else bits + -bits % 8
        if entry < 32:
            return entries if -(-(at + speech) // 8) == len(payload) else ()
    return ()


def _bits(payload: bytes, at: int, count: int) -> int:
    end = at + count
    last = -(-end // 8)
    return int.from_bytes(payload[at // 8 : last]) >> (8 * last - end) & (1 << count) - 1


def _unused_bits_are_zero(payload: bytes, entries: int) -> bool:
    return payload[0] & 15 == 0 and not any(octet & 3 for octet in payload[1 : 1 + entries])
