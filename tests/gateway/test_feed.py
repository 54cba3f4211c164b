import asyncio
import json
import threading
from collections.abc import Mapping
from typing import Any

import pytest

from gateway.feed import CallEvent, CallFeed

NOW = 1_763_640_000.0
FIRST = int(NOW * 1e6) + 1


def feed(**limits: int) -> CallFeed:
    return CallFeed(clock=lambda: NOW, **limits)


def types(events: list[CallEvent]) -> list[str]:
    return [event.event_type for event in events]


def missed(of: CallFeed, call: str | None, last_id: int | None) -> list[CallEvent]:
    with of.follow(call, last_id) as (_, events):
        return events


async def test_an_event_is_one_json_object_with_a_number_that_counts_up() -> None:
    calls = feed()
    data: dict[str, Any] = {"digits": "12"}
    calls.publish("v3:a", "gather.ended", data)
    data["digits"] = "changed"
    calls.publish("v3:a", "speak.ended", {})
    first, second = missed(calls, "v3:a", None)
    assert json.loads(first.text) == {
        "id": FIRST,
        "at": NOW,
        "call_control_id": "v3:a",
        "event_type": "gather.ended",
        "data": {"digits": "12"},
    }
    assert (first.id, second.id) == (FIRST, FIRST + 1)
    assert b"\n" not in first.text


async def test_a_reader_gets_what_is_published_of_its_call_only() -> None:
    calls = feed()
    with calls.follow("v3:a", None) as (reader, _), calls.follow(None, None) as (everything, _):
        calls.publish("v3:a", "one", {})
        calls.publish("v3:b", "two", {})
        async with asyncio.timeout(5):
            assert types(await reader.read()) == ["one"]
            assert types(await everything.read()) == ["one", "two"]
        assert calls.readers == 2
    assert calls.readers == 0


async def test_what_was_missed_comes_first_and_nothing_twice() -> None:
    calls = feed()
    for name in ("one", "two", "three"):
        calls.publish("v3:a", name, {})
    assert types(missed(calls, "v3:a", FIRST)) == ["two", "three"]
    assert types(missed(calls, "v3:a", FIRST + 2)) == []
    assert types(missed(calls, "v3:a", None)) == ["one", "two", "three"]
    assert types(missed(calls, None, FIRST)) == ["two", "three"]
    assert types(missed(calls, None, None)) == []


@pytest.mark.parametrize("call", ["v3:a", None])
async def test_what_is_not_kept_any_more_is_a_gap_with_the_number_of_the_last_that_is_missing(call: str | None) -> None:
    calls = feed(max_events_per_call=2, max_bytes=420)
    for number in range(6):
        calls.publish("v3:a", f"event.{number}", {})
    gap, *rest = missed(calls, call, FIRST)
    assert gap.event_type == "feed.gap"
    assert json.loads(gap.text)["data"] == {"after": FIRST, "through": gap.id}
    assert types(rest) == ["event.4", "event.5"]
    assert gap.id == rest[0].id - 1
    assert missed(calls, call, gap.id) == rest


@pytest.mark.parametrize("last_id", [0, 5, FIRST - 2, 10**17])
@pytest.mark.parametrize("call", ["v3:a", "v3:unknown", None])
async def test_a_number_of_another_process_is_answered_with_a_gap(call: str | None, last_id: int) -> None:
    calls = feed()
    calls.publish("v3:a", "one", {})
    events = missed(calls, call, last_id)
    assert types(events) == ["feed.gap"] + (["one"] if call != "v3:unknown" else [])


async def test_calls_that_were_silent_the_longest_are_forgotten_and_whoever_followed_them_is_told() -> None:
    calls = feed(max_calls=2)
    for call in ("v3:a", "v3:b", "v3:a", "v3:c"):
        calls.publish(call, "one", {})
    assert types(missed(calls, "v3:a", FIRST)) == ["one"]
    assert types(missed(calls, "v3:b", FIRST)) == ["feed.gap"]
    assert types(missed(calls, "v3:b", FIRST + 1)) == []
    assert types(missed(calls, "v3:c", None)) == ["one"]


async def test_memory_has_a_bound_however_many_calls_there_are() -> None:
    calls = feed(max_bytes=100_000, max_calls=10_000)
    for number in range(2000):
        calls.publish(f"v3:{number}", "one", {"text": "x" * 200})
    kept = sum(bool(missed(calls, f"v3:{number}", None)) for number in range(2000))
    assert 200 < kept < 400
    assert calls._size <= 100_000
    assert calls._size == sum(len(event.text) for n in range(2000) for event in missed(calls, f"v3:{n}", None))


async def test_a_reader_that_does_not_read_is_dropped_and_counted_and_the_others_go_on() -> None:
    calls = feed(max_waiting=3)
    with calls.follow("v3:a", None) as (slow, _), calls.follow("v3:a", None) as (quick, _):
        async with asyncio.timeout(5):
            for number in range(4):
                calls.publish("v3:a", f"event.{number}", {})
                assert types(await quick.read()) == [f"event.{number}"]
            assert await slow.read() == []
        assert (slow.dropped, quick.dropped, calls.readers_dropped, calls.readers) == (True, False, 1, 1)


async def test_readers_are_woken_a_few_at_a_time() -> None:
    calls = feed()
    woken: list[int] = []

    async def follow() -> None:
        with calls.follow(None, None) as (reader, _):
            await reader.read()
            woken[-1] += 1

    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        for _ in range(30):
            tasks.create_task(follow())
        await asyncio.sleep(0)
        calls.publish("v3:a", "one", {})
        while sum(woken) < 30:
            woken.append(0)
            await asyncio.sleep(0)
    assert max(woken) <= 4


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"text": "x" * 70_000}, "limit 65536"),
        ({"object": object()}, "object"),
        ({"lone": "\ud800"}, "surrogates"),
        ({3j: 1}, ""),
    ],
)
async def test_what_cannot_be_told_is_told_without_its_data(data: Mapping[str, Any], problem: str) -> None:
    calls = feed()
    calls.publish("v3:a", "one", data)
    (event,) = missed(calls, "v3:a", None)
    assert problem in json.loads(event.text)["data"]["problem"]
    assert calls.refused == 1


async def test_what_is_made_of_octets_is_made_once_and_when_it_is_read() -> None:
    calls = feed()
    read: list[bytes] = []

    def reading(octets: bytes) -> Mapping[str, Any]:
        read.append(octets)
        return {"digits": octets.decode()}

    calls.publish_octets("v3:a", "gather.ended", b"12", reading)
    assert read == []
    for _ in range(2):
        (event,) = missed(calls, "v3:a", None)
        assert json.loads(event.text) == {
            "id": FIRST,
            "at": NOW,
            "call_control_id": "v3:a",
            "event_type": "gather.ended",
            "data": {"digits": "12"},
        }
    assert read == [b"12"]


async def test_what_is_kept_as_octets_counts_and_too_much_of_it_is_not_kept() -> None:
    calls = feed(max_bytes=100_000, max_calls=10_000)
    for number in range(2000):
        calls.publish_octets(f"v3:{number}", "one", b"x" * 200, lambda octets: {"text": octets.decode()})
    events = [event for number in range(2000) for event in missed(calls, f"v3:{number}", None)]
    assert 200 < len(events) < 400
    assert sum(len(event.text) for event in events) <= 100_000
    calls.publish_octets("v3:b", "one", b"x" * 70_000, lambda octets: {"text": octets.decode()})
    (event,) = missed(calls, "v3:b", None)
    assert "limit 65536" in json.loads(event.text)["data"]["problem"]
    assert len(event.text) < 1000
    assert calls.refused == 1


@pytest.mark.parametrize("name", ["two\nlines", "x" * 101, "ä", "a\rb"])
async def test_a_name_that_would_break_the_stream_is_not_told(name: str) -> None:
    calls = feed()
    calls.publish("v3:a", name, {})
    assert types(missed(calls, "v3:a", None)) == ["unnamed"]


async def test_a_call_whose_id_is_no_text_for_json_harms_nobody() -> None:
    calls = feed()
    calls.publish("v3:\ud800", "one", {})
    calls.publish("v3:a", "two", {})
    assert types(missed(calls, "v3:a", None)) == ["two"]


async def test_a_state_is_told_when_it_changes() -> None:
    calls = feed()
    for state in ("ringing", "ringing", "answered", "answered"):
        calls.publish_state("v3:a", state)
    states = [json.loads(event.text)["data"]["state"] for event in missed(calls, "v3:a", None)]
    assert states == ["ringing", "answered"]


async def test_a_thread_may_publish() -> None:
    calls = feed()
    with calls.follow("v3:a", None) as (reader, _):
        thread = threading.Thread(target=calls.publish, args=("v3:a", "one", {}))
        thread.start()
        async with asyncio.timeout(5):
            assert types(await reader.read()) == ["one"]
        thread.join()


async def test_the_counters_tell() -> None:
    calls = feed()
    with calls.follow(None, None):
        calls.publish("v3:a", "one", {})
        assert calls.counters() == {
            "events_published": 1,
            "events_refused": 0,
            "event_readers": 1,
            "event_readers_dropped": 0,
        }
