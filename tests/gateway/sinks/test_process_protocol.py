"""Messages between the gateway and a worker process, however the octets come."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import SinkError
from gateway.sinks.packing import pack
from gateway.sinks.process_protocol import Answer, Close, Failed, Frames, Messages, Open, Opened, Request, Taken, encode
from tests.gateway.sinks.streams import frames

REQUESTS: list[Request] = [
    Open(1, b"\x80pickle", {"stream_id": "s"}),
    Frames(1, pack(frames(0, 3))),
    Frames(1, []),
    Close(1),
]
ANSWERS: list[Answer] = [Opened(1, ["inbound"]), Taken(1, 3, {"a": [1, None]}), Failed(2, 0, "ValueError: é")]


@given(st.lists(st.integers(1, 400), min_size=1))
def test_messages_come_out_as_they_went_in_wherever_the_octets_are_cut(lengths: list[int]) -> None:
    octets = b"".join(encode(request) for request in REQUESTS)
    messages, out, at = Messages(Request), list[Request](), 0
    for length in [*lengths, len(octets)]:
        out += messages.receive(octets[at : at + length])
        at += length
    assert out == REQUESTS


def test_answers_are_messages_as_well() -> None:
    octets = b"".join(encode(answer) for answer in ANSWERS)
    assert list(Messages(Answer).receive(octets)) == ANSWERS


@pytest.mark.parametrize(
    ("octets", "error"),
    [
        (b"\xff\xff\xff\xff", "a message of 4294967295 octets"),
        (b"\x00\x00\x00\x01\xc1", "a message that is none"),
        (b"\x00\x00\x00\x05hello", "a message that is none"),
        (encode(Close(1)), "a message that is none"),
    ],
)
def test_what_is_no_answer_is_an_error(octets: bytes, error: str) -> None:
    with pytest.raises(SinkError, match=error):
        list(Messages(Answer).receive(octets))


@given(st.binary())
def test_any_octets_are_messages_or_an_error(octets: bytes) -> None:
    with suppress(SinkError):
        list(Messages(Answer).receive(octets))


def test_a_message_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(ValueError, match="limit 16777216"):
        encode(Failed(1, 0, "x" * 2**24))
