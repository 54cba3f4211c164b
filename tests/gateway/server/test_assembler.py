from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.server.assembler import MessageAssembler, MessageError
from gateway.server.transport import CloseCode

BIG = 1_000_000


@given(st.text(), st.lists(st.integers(min_value=0, max_value=200)))
def test_any_cutting_of_a_text_gives_the_text_back(text: str, cuts: list[int]) -> None:
    octets = text.encode()
    edges = [0, *sorted(min(cut, len(octets)) for cut in cuts), len(octets)]
    fragments = [octets[start:end] for start, end in pairwise(edges)]
    assembler = MessageAssembler(BIG)
    for fragment in fragments[:-1]:
        assert assembler.push(fragment, final=False) is None
    assert assembler.push(fragments[-1], final=True) == text.encode()


@given(st.lists(st.text(max_size=20), max_size=10))
def test_one_assembler_serves_many_messages_whole_and_in_halves_by_turns(texts: list[str]) -> None:
    assembler = MessageAssembler(BIG)
    for number, text in enumerate(texts):
        octets = text.encode()
        done = 3 if number % 2 else 0
        if done:
            assert assembler.push(octets[:done], final=False) is None
        assert assembler.push(octets[done:], final=True) == octets


def test_a_character_may_be_cut_by_the_edge_of_a_fragment() -> None:
    assembler = MessageAssembler(BIG)
    euro = "€".encode()
    assert assembler.push(euro[:1], final=False) is None
    assert assembler.push(euro[1:2], final=False) is None
    assert assembler.push(euro[2:], final=True) == euro


def test_the_limit_itself_is_allowed_and_one_octet_more_is_not() -> None:
    assembler = MessageAssembler(10)
    assert assembler.push(b"x" * 10, final=True) == b"x" * 10
    with pytest.raises(MessageError, match="10 octets") as raised:
        assembler.push(b"x" * 11, final=True)
    assert raised.value.code is CloseCode.MESSAGE_TOO_BIG


def test_the_limit_counts_octets_and_not_characters() -> None:
    with pytest.raises(MessageError) as raised:
        MessageAssembler(10).push("ééééé€".encode(), final=True)
    assert raised.value.code is CloseCode.MESSAGE_TOO_BIG


@pytest.mark.parametrize("final", [False, True])
def test_the_limit_holds_for_the_sum_of_the_fragments(final: bool) -> None:
    assembler = MessageAssembler(10)
    for _ in range(10):
        assert assembler.push(b"x", final=False) is None
    with pytest.raises(MessageError) as raised:
        assembler.push(b"x", final=final)
    assert raised.value.code is CloseCode.MESSAGE_TOO_BIG


def test_each_message_has_the_limit_for_itself() -> None:
    assembler = MessageAssembler(10)
    for _ in range(3):
        assert assembler.push(b"x" * 5, final=False) is None
        assert assembler.push(b"x" * 5, final=True) == b"x" * 10


@pytest.mark.parametrize(
    "octets",
    [
        b"\xff",
        b"\xc3",  # the first half of a character
        b"\xc0\x80",  # a longer form than needed
        b"\xed\xa0\x80",  # half of a surrogate pair
        b"\xf5\x80\x80\x80",  # beyond the last character
    ],
)
def test_what_is_not_utf_8_is_refused_with_the_place(octets: bytes) -> None:
    with pytest.raises(MessageError, match="octet 2") as raised:
        MessageAssembler(BIG).push(b"ok" + octets, final=True)
    assert raised.value.code is CloseCode.INVALID_DATA


def test_no_error_repeats_what_was_said() -> None:
    with pytest.raises(MessageError) as raised:
        MessageAssembler(BIG).push(b"the secret\xff", final=True)
    assert "secret" not in str(raised.value)
