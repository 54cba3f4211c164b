# ruff: noqa: RUF001 - the stops of many scripts
"""Sentences out of text in pieces."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.agents.pipeline.sentences import SentenceSplitter, speakable

TEXT = st.lists(st.sampled_from([*"ab1 .!?\n,;\"')…。！「」é", "Dr", "e.g", "word ", "\U0001f600"]), max_size=250).map(
    "".join
)


def split(*pieces: str) -> list[str]:
    splitter = SentenceSplitter()
    return [sentence for piece in pieces for sentence in splitter.push(piece)] + splitter.flush()


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Hello. How are you? Fine!", ["Hello.", "How are you?", "Fine!"]),
        ("It costs 3.50 euros. Really.", ["It costs 3.50 euros.", "Really."]),
        ("Dr. Smith and J. Doe are in. Wait.", ["Dr. Smith and J. Doe are in.", "Wait."]),
        ("Take e.g. this. Done", ["Take e.g. this.", "Done"]),
        ('He said "no." Then he left.', ['He said "no."', "Then he left."]),
        ("Wait... what?! Yes.", ["Wait...", "what?!", "Yes."]),
        ("1. First\n2. Second", ["1. First", "2. Second"]),
        ("It was I. You know.", ["It was I.", "You know."]),
        ("はい。いいえ！「そう。」終", ["はい。", "いいえ！", "「そう。」", "終"]),
        ("\n\n  \n", []),
        ("", []),
    ],
)
def test_sentences_are_what_people_take_for_them(text: str, sentences: list[str]) -> None:
    assert split(text) == sentences


def test_a_sentence_is_given_as_soon_as_the_next_begins() -> None:
    splitter = SentenceSplitter()
    assert splitter.push("Good morn") == []
    assert splitter.push("ing.") == []
    assert splitter.push(" What") == ["Good morning."]
    assert splitter.flush() == ["What"]
    assert splitter.flush() == []


def test_a_sentence_without_end_is_cut_where_it_can_be() -> None:
    words = "word, " * 100 + "x" * 1000
    parts = split(words)
    assert max(map(len, parts)) <= 300
    assert parts[0].endswith("word,")
    assert "".join(parts).replace(" ", "") == words.replace(" ", "")


@settings(max_examples=50, deadline=None)
@given(TEXT, st.lists(st.integers(1, 40)))
def test_how_the_text_comes_makes_no_difference_and_nothing_is_lost(text: str, lengths: list[int]) -> None:
    pieces, at = [], 0
    for length in lengths:
        pieces.append(text[at : at + length])
        at += length
    pieces.append(text[at:])
    whole = split(text)
    assert split(*pieces) == whole
    assert split(*text) == whole
    assert "".join("".join(whole).split()) == "".join(text.split())
    assert all(sentence and len(sentence) <= 300 for sentence in whole)


@pytest.mark.parametrize(
    ("sentence", "spoken"),
    [
        ("**Yes**, `really`.", "Yes, really."),
        ("# Heading", "Heading"),
        ("- an item", "an item"),
        ("See [our page](https://example.com).", "See our page."),
        ("3 * 4", "3  4"),
        ("---", ""),
        ("\U0001f600", ""),
    ],
)
def test_what_is_meant_for_the_eye_is_not_spoken(sentence: str, spoken: str) -> None:
    assert speakable(sentence) == spoken
