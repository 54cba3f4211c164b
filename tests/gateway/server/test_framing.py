import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.server.framing import frame_size, read_text, write_text
from tests.gateway.server.wire import BINARY, CLOSE, CONT, PING, TEXT, frame

LIMIT = 1000
SIZES = [0, 1, 125, 126, 65535, 65536]


def read_all(octets: bytes) -> tuple[list[bytes], int]:
    """Every text that can be read, and where that ended."""
    texts: list[bytes] = []
    end = 0
    while (found := read_text(octets, end, LIMIT)) is not None:
        text, end = found
        texts.append(text)
    return texts, end


@given(st.lists(st.binary(min_size=126, max_size=300), max_size=5), st.binary(min_size=4, max_size=4))
def test_whole_texts_are_read_in_order_and_nothing_is_left(payloads: list[bytes], mask: bytes) -> None:
    octets = b"".join(frame(TEXT, payload, mask=mask) for payload in payloads)
    assert read_all(octets) == (payloads, len(octets))


@given(st.lists(st.binary(min_size=126, max_size=300), min_size=1, max_size=3), st.data())
def test_of_a_text_that_is_not_all_there_nothing_is_taken(payloads: list[bytes], data: st.DataObject) -> None:
    frames = [frame(TEXT, payload) for payload in payloads]
    whole = b"".join(frames[:-1])
    cut = data.draw(st.integers(0, len(frames[-1]) - 1))
    assert read_all(whole + frames[-1][:cut]) == (payloads[:-1], len(whole))


@pytest.mark.parametrize(
    "other",
    [
        frame(TEXT, b"x" * 200, fin=False),
        frame(CONT, b"x" * 200),
        frame(BINARY, b"x" * 200),
        frame(PING, b"x"),
        frame(CLOSE, b"\x03\xe8"),
        frame(TEXT, b"short"),
        frame(TEXT, b"x" * 10, masked=False),
        frame(TEXT, b"x" * 200, masked=False),
        frame(TEXT, b"x" * 200, reserved=4),
        frame(TEXT, b"x" * (LIMIT + 1)),
        frame(TEXT, b"x" * 70_000),
    ],
    ids=range(11),
)
def test_what_is_not_a_whole_text_is_left_with_all_that_follows(other: bytes) -> None:
    first = frame(TEXT, b"first" * 40)
    assert read_all(first + other + frame(TEXT, b"behind" * 40)) == ([b"first" * 40], len(first))


@given(st.binary(max_size=50))
def test_any_octets_are_read_or_left_and_nothing_is_raised(octets: bytes) -> None:
    texts, end = read_all(octets)
    assert sum(8 + len(text) for text in texts) == end <= len(octets)


@pytest.mark.parametrize("size", SIZES)
def test_a_frames_size_is_what_it_takes_on_the_wire(size: int) -> None:
    assert frame_size(size) == len(frame(TEXT, b"x" * size))


@pytest.mark.parametrize("size", SIZES)
def test_a_text_is_written_as_an_unmasked_frame(size: int) -> None:
    assert write_text(b"x" * size) == frame(TEXT, b"x" * size, masked=False)
