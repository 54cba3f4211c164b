"""Keys as RFC 4733 sends them: many packets, one digit."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import RemoteProtocolError
from gateway.protocol.telephone_event import (
    TelephoneEvent,
    TelephoneEvents,
    build_telephone_event,
    parse_telephone_events,
)

Packet = tuple[int, bool, bytes]
"""Timestamp, marker, payload."""


def press(digit: str, begin: int, *, packets: int = 5) -> list[Packet]:
    """The packets of one key: one each 50 ms, the last three times."""
    event = "0123456789*#ABCD".index(digit)
    durations = [400 * (n + 1) for n in range(packets)]
    sent = [TelephoneEvent(event, end=False, duration=duration) for duration in durations]
    sent += 3 * [TelephoneEvent(event, end=True, duration=durations[-1] + 400)]
    return [(begin, n == 0, build_telephone_event(event)) for n, event in enumerate(sent)]


def push_all(events: TelephoneEvents, packets: list[Packet]) -> str:
    return "".join(events.push(payload, timestamp=timestamp, marker=marker) for timestamp, marker, payload in packets)


def test_a_payload_is_read_and_written() -> None:
    # RFC 4733, section 5.1: digit 1 of 1760 timestamp units, at its end.
    assert parse_telephone_events(bytes.fromhex("01 87 06e0")) == [TelephoneEvent(1, True, 1760, 7)]
    assert build_telephone_event(TelephoneEvent(1, True, 1760, 7)).hex() == "018706e0"
    assert parse_telephone_events(bytes.fromhex("0b0a0320 0f8a0640")) == [
        TelephoneEvent(11, False, 800),
        TelephoneEvent(15, True, 1600),
    ]


@pytest.mark.parametrize("payload", [b"", b"\x01", b"\x01\x0a\x03", bytes(5)])
def test_a_payload_of_broken_events_is_refused(payload: bytes) -> None:
    events = TelephoneEvents()
    with pytest.raises(RemoteProtocolError, match=f"of {len(payload)} octets, want a multiple of 4"):
        events.push(payload, timestamp=0, marker=True)


def test_a_key_is_one_digit_told_with_its_first_packet() -> None:
    events = TelephoneEvents()
    first, *others = press("5", 1000)
    assert push_all(events, [first]) == "5"
    assert push_all(events, others) == ""


def test_the_same_key_again_is_told_again() -> None:
    events = TelephoneEvents()
    assert push_all(events, press("5", 1000) + press("5", 6000) + press("#", 9000)) == "55#"


def test_all_keys_are_told() -> None:
    keys = "0123456789*#ABCD"
    events = TelephoneEvents()
    assert push_all(events, [one for n, key in enumerate(keys) for one in press(key, 8000 * n)]) == keys


@pytest.mark.parametrize("kept", [slice(5, 6), slice(7, 8), slice(2, 4)])
def test_any_packet_of_a_key_is_enough(kept: slice) -> None:
    assert push_all(TelephoneEvents(), press("9", 1000)[kept]) == "9"


def test_a_key_held_for_half_a_minute_is_one_digit() -> None:
    """Each segment but the last says the longest duration there is (RFC 4733, section 2.5.1.3)."""
    events = TelephoneEvents()
    packets: list[Packet] = []
    for segment in range(4):
        begin = 1000 + 0xFFFF * segment
        for duration in (20_000, 40_000, 0xFFFF):
            end = segment == 3 and duration == 0xFFFF
            payload = build_telephone_event(TelephoneEvent(1, end, duration))
            packets.append((begin, not packets, payload))
    assert push_all(events, packets) == "1"
    assert push_all(events, press("1", 1000 + 4 * 0xFFFF)) == "1"


def test_a_segment_whose_last_packet_was_lost_goes_on_all_the_same() -> None:
    events = TelephoneEvents()
    first = build_telephone_event(TelephoneEvent(1, end=False, duration=400))
    second = build_telephone_event(TelephoneEvent(1, end=False, duration=800))
    assert push_all(events, [(0, True, first), (0xFFFF, False, second)]) == "1"


def test_a_key_that_begins_where_the_same_one_ended_is_another_one() -> None:
    ended = build_telephone_event(TelephoneEvent(1, end=True, duration=800))
    events = TelephoneEvents()
    assert push_all(events, [(0, True, ended), (800, False, ended)]) == "11"


def test_several_keys_in_one_packet_are_told_in_their_order() -> None:
    """RFC 4733, section 2.5.1.5: each begins where the one before it ends."""
    payload = b"".join(build_telephone_event(TelephoneEvent(event, end=True, duration=800)) for event in (1, 2, 3))
    events = TelephoneEvents()
    assert push_all(events, [(0, True, payload), (0, False, payload)]) == "123"
    assert push_all(events, press("3", 1600)) == ""


def test_other_events_are_counted() -> None:
    events = TelephoneEvents()
    flash = build_telephone_event(TelephoneEvent(16, end=True, duration=800))
    assert push_all(events, [(0, True, flash), (0, False, flash)]) == ""
    assert events.events_other == 1


@settings(deadline=None)
@given(keys=st.text("0123456789*#ABCD", max_size=8), seed=st.integers(0, 2**32))
def test_each_key_is_told_once_whatever_is_doubled_lost_or_late(keys: str, seed: int) -> None:
    """At least one packet of each key comes; packets are late by up to the length of two keys."""
    chance = random.Random(seed)
    arrivals = []
    for n, key in enumerate(keys):
        packets = press(key, 4000 * n)
        kept = [one for one in packets if chance.random() < 0.6] or [packets[0]]
        arrivals += [(n + 2 * chance.random(), one) for one in kept + kept[:2]]
    arrivals.sort(key=lambda arrival: arrival[0])
    told = push_all(TelephoneEvents(), [one for _, one in arrivals])
    assert sorted(told) == sorted(keys)
