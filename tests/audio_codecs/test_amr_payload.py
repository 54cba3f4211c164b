import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio_codecs import CodecError
from audio_codecs.amr_payload import NO_REQUEST, AmrFrame, AmrPayload, build_payload, parse_payload
from tests.audio_codecs.vectors import payloads

BITS = {0: 132, 1: 177, 2: 253, 3: 285, 4: 317, 5: 365, 6: 397, 7: 461, 8: 477, 9: 40, 14: 0, 15: 0}
LAYOUTS = pytest.mark.parametrize("octet_aligned", [False, True], ids=["efficient", "aligned"])


def frame(frame_type: int, *, good: bool = True, fill: int = 0b10110) -> AmrFrame:
    bits = BITS[frame_type]
    text = (f"{fill:05b}" * 100)[:bits]
    text += "0" * (-bits % 8)
    return AmrFrame(frame_type, good, bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8)))


frames = st.builds(frame, st.sampled_from(sorted(BITS)), good=st.booleans(), fill=st.integers(0, 31))


@pytest.mark.parametrize("mode", range(9))
def test_another_programs_payloads_are_read_and_written_as_they_are(mode: int) -> None:
    for payload in payloads(f"amr_wb_{mode}.rtp"):
        parsed = parse_payload(payload)
        assert (parsed.octet_aligned, parsed.mode_request) == (True, NO_REQUEST)
        assert [(one.frame_type, one.good) for one in parsed.frames] == [(mode, True)]
        assert build_payload(parsed) == payload


def test_the_bandwidth_efficient_layout_holds_the_same_frames() -> None:
    for aligned, efficient in zip(payloads("amr_wb_2.rtp"), payloads("amr_wb_2_efficient.rtp"), strict=True):
        parsed = parse_payload(efficient)
        assert not parsed.octet_aligned
        assert parsed.frames == parse_payload(aligned).frames
        assert build_payload(parsed) == efficient


@LAYOUTS
@pytest.mark.parametrize("frame_type", sorted(BITS))
@pytest.mark.parametrize("mode_request", [0, 8, NO_REQUEST])
def test_a_single_frame_of_any_type_tells_its_layout(frame_type: int, mode_request: int, octet_aligned: bool) -> None:
    payload = AmrPayload((frame(frame_type),), mode_request, octet_aligned)
    assert parse_payload(build_payload(payload)) == payload


@LAYOUTS
def test_the_frames_example_of_the_standard(octet_aligned: bool) -> None:
    """RFC 4867 sections 4.3.5.2 and 4.4.5.1: CMR, then a table of contents, then the frames' bits."""
    payload = build_payload(AmrPayload((frame(2, fill=0), frame(15)), 15, octet_aligned))
    if octet_aligned:
        assert payload == bytes((0xF0, 0b1_0010_1_00, 0b0_1111_1_00)) + bytes(32)
    else:
        assert payload[:2] == bytes((0b1111_1_001, 0b0_1_0_1111_1))
        assert len(payload) == -(-(4 + 12 + 253) // 8)


@LAYOUTS
@given(frames=st.lists(frames, min_size=1, max_size=12), mode_request=st.integers(0, 15))
def test_several_frames_come_back(frames: list[AmrFrame], mode_request: int, octet_aligned: bool) -> None:
    payload = AmrPayload(tuple(frames), mode_request, octet_aligned)
    assert parse_payload(build_payload(payload)) == payload


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xf0",
        b"\xf0\x14",  # a frame is promised and missing
        b"\xf0\x14" + bytes(31),
        b"\xf0\x14" + bytes(34),
        b"\xf0\x54" + bytes(32),  # frame type 10 is reserved
        b"\xf0\x94" + bytes(32),  # another entry is promised and missing
        b"\xff" * 100,
    ],
)
def test_what_has_neither_layout_is_a_codec_error(payload: bytes) -> None:
    with pytest.raises(CodecError, match=f"{len(payload)} octets"):
        parse_payload(payload)


@LAYOUTS
def test_there_is_a_limit_to_frames_without_sound(octet_aligned: bool) -> None:
    at_most = AmrPayload((frame(15),) * 1500, NO_REQUEST, octet_aligned)
    assert parse_payload(build_payload(at_most)) == at_most
    with pytest.raises(CodecError):
        parse_payload(build_payload(AmrPayload((frame(15),) * 1501, NO_REQUEST, octet_aligned)))


@given(st.binary(max_size=300))
def test_any_octets_are_a_payload_or_a_codec_error(octets: bytes) -> None:
    try:
        parsed = parse_payload(octets)
    except CodecError:
        return
    assert parsed.frames
    again = parse_payload(build_payload(parsed))  # unused bits may have been set in `octets`, and are not now
    assert again.frames == parsed.frames
