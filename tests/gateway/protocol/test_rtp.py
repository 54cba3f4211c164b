"""Octets of RTP as RFC 3550, section 5.1 draws them, written by hand; and whatever else may come to a port."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import DatagramError
from gateway.protocol.rtp import PAYLOAD_TYPES, RtpPacket, build_rtp, parse_rtp

REST = "00 1234 000000a0 deadbeef "  # of the fixed header, behind its first octet
STREP = "18 0000 00000000 00112233445566778899aabbccddeeff "  # the same of Telnyx's


def packet(payload: str = "ff7f00", **fields: Any) -> RtpPacket:
    fields = {"payload_type": 0, "sequence_number": 0x1234, "timestamp": 0xA0, "ssrc": 0xDEADBEEF} | fields
    return RtpPacket(payload=bytes.fromhex(payload), **fields)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("80" + REST + "ff7f00", packet(), id="plain"),
        pytest.param("80 80 1234 000000a0 deadbeef ff7f00", packet(marker=True), id="marker"),
        pytest.param(
            "80 e5 ffff ffffffff ffffffff 0a0a0320",
            packet(
                "0a0a0320",
                payload_type=101,
                sequence_number=2**16 - 1,
                timestamp=2**32 - 1,
                ssrc=2**32 - 1,
                marker=True,
            ),
            id="largest numbers",
        ),
        pytest.param("80" + REST, packet(""), id="no payload"),
        pytest.param("82" + REST + "00000001 00000002 ff7f00", packet(), id="two contributing sources"),
        pytest.param("90" + REST + "bede 0001 01020304 ff7f00", packet(), id="extension"),
        pytest.param("90" + REST + "bede 0000 ff7f00", packet(), id="empty extension"),
        pytest.param("a0" + REST + "ff7f00 01", packet(), id="padding of one"),
        pytest.param("a0" + REST + "ff7f00 0000000005", packet(), id="padding of five"),
        pytest.param("a0" + REST + "000003", packet(""), id="nothing but padding"),
        pytest.param("a0" + REST, packet(""), id="padding bit without an octet"),
        pytest.param("b1" + REST + "00000009 bede 0001 01020304 ff7f00 0002", packet(), id="all of them"),
        pytest.param("c0" + STREP + "80" + REST + "ff7f00", packet(direction="inbound"), id="STREP, A leg, inbound"),
        pytest.param("c7" + STREP + "80" + REST + "ff7f00", packet(direction="outbound"), id="STREP, B leg, outbound"),
        pytest.param(
            "c0 1c" + STREP[2:] + "01020304 80" + REST + "ff7f00", packet(direction="inbound"), id="longer STREP"
        ),
    ],
)
def test_a_packet_is_read_whatever_its_header_holds(text: str, expected: RtpPacket) -> None:
    assert parse_rtp(bytes.fromhex(text)) == expected


@pytest.mark.parametrize(
    ("text", "reason", "message"),
    [
        ("", "short", "datagram of 0 octets, an RTP header ends at 12"),
        ("80" + REST[:-3], "short", "of 11 octets"),
        ("40" + REST + "ff7f00", "version", "RTP version 1, want 2"),
        ("00" + REST + "ff7f00", "version", "RTP version 0, want 2"),
        ("80 c8 0006 deadbeef 00000000 00000000 00000000", "rtcp", "RTCP packet of type 200"),
        ("81 c9 0007 deadbeef 00000000 00000000 00000000", "rtcp", "type 201"),
        ("8f" + REST + "00000001", "short", "payload is from 72 to 16"),
        ("90" + REST + "bede", "short", "its extension begins at 12"),
        ("90" + REST + "bede ffff 00000000", "short", "payload is from 262156 to 20"),
        ("a0" + REST + "ff7f00", "padding", "padding of 0 octets"),
        ("a0" + REST + "ff7f04", "short", "payload is from 12 to 11"),
        ("c0", "strep", "STREP header of 0 octets, want at least 24"),
        ("c0 17" + STREP[2:] + "80" + REST, "strep", "of 23 octets"),
        ("c0" + STREP, "short", "datagram of 24 octets, an RTP header ends at 36"),
        ("c0 ff" + STREP[2:] + "80" + REST, "short", "an RTP header ends at 267"),
        ("c0" + STREP + "c0" + STREP + "80" + REST, "version", "RTP version 3"),
    ],
)
def test_what_is_no_packet_is_refused_for_a_reason(text: str, reason: str, message: str) -> None:
    with pytest.raises(DatagramError, match=message) as raised:
        parse_rtp(bytes.fromhex(text))
    assert raised.value.reason == reason


HEADERS = st.sampled_from([0x80, 0x90, 0xA0, 0xB0, 0x8F, 0xBF, 0xC0, 0xFF]) | st.integers(0, 255)


@settings(deadline=None)
@given(first=HEADERS, rest=st.binary(max_size=60))
def test_any_datagram_is_a_packet_or_a_refusal(first: int, rest: bytes) -> None:
    datagram = bytes([first]) + rest
    try:
        read = parse_rtp(datagram)
    except DatagramError:
        return
    assert 0 <= read.payload_type < 128
    assert read.payload in datagram
    assert len(read.payload) <= len(datagram) - 12
    assert read.payload == b"" or first >= 0x80


@settings(deadline=None)
@given(
    st.builds(
        RtpPacket,
        payload_type=st.integers(0, 127).filter(lambda number: not 64 <= number < 96),  # those are RTCP's with a marker
        sequence_number=st.integers(0, 2**16 - 1),
        timestamp=st.integers(0, 2**32 - 1),
        ssrc=st.integers(0, 2**32 - 1),
        payload=st.binary(max_size=200),
        marker=st.booleans(),
    )
)
def test_what_is_built_is_read_again(built: RtpPacket) -> None:
    assert parse_rtp(build_rtp(built)) == built


def test_the_static_types_are_those_of_rfc_3551() -> None:
    named = {number: tuple(name) for number, name in PAYLOAD_TYPES.items() if number < 96}
    assert named == {0: ("PCMU", 8000), 8: ("PCMA", 8000), 9: ("G722", 8000), 13: ("CN", 8000)}
