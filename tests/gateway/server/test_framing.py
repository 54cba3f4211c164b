import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.server.framing import frame_size, read_texts, write_text
from tests.gateway.server.wire import BINARY, CLOSE, CONT, PING, TEXT, frame

LIMIT = 1000
SIZES = [0, 1, 125, 126, 65535, 65536]


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=5), st.binary(min_size=4, max_size=4))
def test_whole_texts_are_read_in_order_and_nothing_is_left(payloads: list[bytes], mask: bytes) -> None:
    octets = b"".join(frame(TEXT, payload, mask=mask) for payload in payloads)
    assert read_texts(octets, LIMIT) == (payloads, len(octets))


@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=3), st.data())
def test_of_a_text_that_is_not_all_there_nothing_is_taken(payloads: list[bytes], data: st.DataObject) -> None:
    frames = [frame(TEXT, payload) for payload in payloads]
    whole = b"".join(frames[:-1])
    cut = data.draw(st.integers(0, len(frames[-1]) - 1))
    assert read_texts(whole + frames[-1][:cut], LIMIT) == (payloads[:-1], len(whole))


@pytest.mark.parametrize(
    "other",
    [
        frame(TEXT, b"x", fin=False),
        frame(CONT, b"x"),
        frame(BINARY, b"x"),
        frame(PING, b"x"),
        frame(CLOSE, b"\x03\xe8"),
        frame(TEXT, b"x" * 10, masked=False),
        frame(TEXT, b"x" * 200, masked=False),
        frame(TEXT, b"x" * 10, reserved=4),
        frame(TEXT, b"x" * (LIMIT + 1)),
        frame(TEXT, b"x" * 70_000),
    ],
    ids=range(10),
)
def test_what_is_not_a_whole_text_is_left_with_all_that_follows(other: bytes) -> None:
    first = frame(TEXT, b"first")
    assert read_texts(first + other + frame(TEXT, b"behind"), LIMIT) == ([b"first"], len(first))


@given(st.binary(max_size=50))
def test_any_octets_are_read_or_left_and_nothing_is_raised(octets: bytes) -> None:
    texts, taken = read_texts(octets, LIMIT)
    assert sum(frame_size(len(text)) for text in texts) <= taken <= len(octets)


@pytest.mark.parametrize("size", SIZES)
def test_a_frames_size_is_what_it_takes_on_the_wire(size: int) -> None:
    assert frame_size(size) == len(frame(TEXT, b"x" * size))


@pytest.mark.parametrize("size", SIZES)
def test_a_text_is_written_as_an_unmasked_frame(size: int) -> None:
    assert write_text(b"x" * size) == frame(TEXT, b"x" * size, masked=False)
