"""Hops to stretches of speech."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.vad.gate import Change, SpeechGate


def changes(pattern: str, *, hop: float = 0.02, silence: float = 0.1) -> list[Change]:
    gate = SpeechGate(hop, silence=silence)
    return [change for mark in pattern if (change := gate.push(speech=mark == "x"))]


def test_three_of_five_hops_begin_a_stretch_where_the_first_of_them_was() -> None:
    assert changes("..x.x.x") == [("started", 2)]


@pytest.mark.parametrize("pattern", ["x", "xx......xx", "x..x..x..x"])
def test_clicks_begin_nothing(pattern: str) -> None:
    assert changes(pattern) == []


def test_silence_that_lasts_ends_it_behind_the_last_speech() -> None:
    assert changes("xxx.x....x.....") == [("started", 0), ("ended", 10)]


def test_a_silence_that_is_too_short_does_not_end_it() -> None:
    assert changes("xxx....x....x....") == [("started", 0)]


def test_a_hop_of_32_ms_needs_two_of_three() -> None:
    assert changes("x.x", hop=0.032) == [("started", 0)]
    assert changes("x..x", hop=0.032) == []


@given(st.text(alphabet="x.", max_size=80), st.integers(0, 50))
def test_skipping_is_the_same_as_hearing_silence(before: str, hops: int) -> None:
    heard, skipped = SpeechGate(0.02, silence=0.1), SpeechGate(0.02, silence=0.1)
    for mark in before:
        assert heard.push(speech=mark == "x") == skipped.push(speech=mark == "x")
    told = [change for _ in range(hops) if (change := heard.push(speech=False))]
    at_once = skipped.skip(hops)
    assert told == ([] if at_once is None else [at_once])
    after = [[change for _ in range(5) if (change := gate.push(speech=True))] for gate in (heard, skipped)]
    if hops > 5:
        assert after[0] == after[1]


@given(st.text(alphabet="x.", max_size=300))
def test_stretches_begin_and_end_in_turns_and_never_overlap(pattern: str) -> None:
    told = changes(pattern)
    assert [kind for kind, _ in told] == ["started", "ended"] * (len(told) // 2) + ["started"] * (len(told) % 2)
    places = [place for _, place in told]
    assert places == sorted(places)
    assert all(pattern[place] == "x" for kind, place in told if kind == "started")
    assert all(pattern[place - 1] == "x" for kind, place in told if kind == "ended")
