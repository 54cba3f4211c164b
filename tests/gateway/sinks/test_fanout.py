"""From one frame to every sink: rates, joining late, and one sink's trouble being its own."""

import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from gateway.media.frame import AudioFrame
from gateway.media.resample import Resampler
from gateway.sinks.base import INBOUND, StreamInfo
from gateway.sinks.delivery import Delivery
from gateway.sinks.events import SinkRemoved
from gateway.sinks.watch import StallWatch
from tests.fakes import FakeClock, ListSink, noise, settle
from tests.gateway.sinks.streams import FailingSink, Sinks, cut, delivered, frame, frames, numbers, until


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


# --- to each what it wants -----------------------------------------------------------------------------------------


async def test_every_sink_gets_each_frame_of_its_tracks_once_and_the_same_object() -> None:
    first, second, deaf = ListSink(), ListSink("inbound", "outbound"), ListSink("played")
    sinks = Sinks({"first": first.factory, "second": second.factory, "deaf": deaf.factory})
    sent = [frame(0), frame(0, "outbound"), frame(1)]
    async with sinks.running():
        sinks.write(*sent)
    assert first.frames == [sent[0], sent[2]]
    assert second.frames == sent
    assert all(one is another for one, another in zip(second.frames, sent, strict=True))
    assert deaf.frames == []
    assert [sinks.told(name)["frames"] for name in ("first", "second", "deaf")] == [2, 3, 0]


async def test_sinks_of_one_name_have_lines_of_their_own_in_the_report() -> None:
    sinks = Sinks({"sink": ListSink().factory, "sink 2": ListSink().factory})
    sinks.fan_out.add("sink", ListSink().factory)
    sinks.fan_out.add("sink", ListSink().factory)
    assert list(sinks.fan_out.describe()) == ["sink", "sink 2", "sink 3", "sink 4"]


async def test_a_sink_added_to_a_running_call_hears_what_comes_from_then_on() -> None:
    late = ListSink()
    sinks = Sinks({"early": ListSink().factory})
    async with sinks.running():
        sinks.write(*frames(0, 5))
        sinks.fan_out.add("late", late.factory)
        sinks.write(*frames(5, 8))  # before it is open
        await settle()
        sinks.write(*frames(8, 10))
    assert numbers(late.frames) == [5, 6, 7, 8, 9]
    assert (sinks.told("late")["frames"], sinks.told("late")["frames_dropped"]) == (5, 0)


async def test_a_sink_added_to_a_call_that_has_ended_is_never_opened() -> None:
    late = ListSink()
    sinks = Sinks({})
    async with sinks.running():
        pass
    sinks.fan_out.add("late", late.factory)
    sinks.write(*frames(0, 2))
    assert (sinks.told("late")["state"], late.opened) == ("closed", [])


# --- rates ---------------------------------------------------------------------------------------------------------


async def test_a_sink_gets_the_rate_it_asks_for_gapless_and_its_neighbour_the_original() -> None:
    sound = noise(16_000)
    wide, plain = ListSink(), ListSink()
    sinks = Sinks({"wide": delivered(wide.factory, sample_rate=16_000), "plain": plain.factory})
    async with sinks.running():
        sinks.write(*cut(sound))
    assert np.array_equal(plain.sound(), sound)
    assert [len(one.samples) for one in wide.frames] == [320] * 100 + [48]  # the last is what the filter held back
    assert [one.timestamp for one in wide.frames] == [320 * n for n in range(101)]
    assert {(one.sample_rate, one.payload) for one in wide.frames} == {(16_000, b"")}
    expected = Resampler(8000, 16_000).push(np.concatenate((sound, np.zeros(24, np.int16))))
    assert np.array_equal(wide.sound(), expected)


async def test_sinks_with_the_same_wish_share_one_conversion() -> None:
    first, second, other = ListSink(), ListSink(), ListSink()
    sinks = Sinks(
        {
            "first": delivered(first.factory, sample_rate=16_000),
            "second": delivered(second.factory, sample_rate=16_000),
            "other": delivered(other.factory, sample_rate=24_000),
        }
    )
    async with sinks.running():
        sinks.write(*cut(noise(1600)))
    assert all(one is another for one, another in zip(first.frames, second.frames, strict=True))
    assert {one.sample_rate for one in other.frames} == {24_000}


async def test_a_wish_for_the_rate_that_is_there_costs_nothing_of_the_frame() -> None:
    sink = ListSink()
    sinks = Sinks({"sink": delivered(sink.factory, sample_rate=8000)})
    sent = frames(0, 3)
    async with sinks.running():
        sinks.write(*sent)
    assert all(one is another for one, another in zip(sink.frames, sent, strict=True))


async def test_one_of_a_shared_conversion_fails_alone() -> None:
    bad, good = FailingSink(3), ListSink()
    sinks = Sinks({name: delivered(sink.factory, sample_rate=16_000) for name, sink in (("bad", bad), ("good", good))})
    async with sinks.running():
        sinks.write(*cut(noise(1600)))
    assert len(good.sound()) == 3200 + 48
    assert (sinks.told("bad")["state"], sinks.told("bad")["frames"]) == ("failed", 3)
    assert sinks.told("bad")["frames_dropped"] == 7


async def test_a_rate_that_there_is_no_way_to_fails_those_who_want_it_and_nobody_else() -> None:
    odd, good = ListSink(), ListSink()
    sinks = Sinks({"odd": delivered(odd.factory, sample_rate=8001), "good": good.factory})
    async with sinks.running():
        sinks.write(*frames(0, 3))
    assert "8000 to 8001 Hz" in sinks.told("odd")["error"]
    assert (sinks.told("odd")["state"], odd.closed, odd.frames) == ("failed", 1, [])
    assert numbers(good.frames) == [0, 1, 2]


# --- what was heard before -----------------------------------------------------------------------------------------


async def test_a_sink_that_joins_late_gets_the_last_seconds_that_it_asks_for_first() -> None:
    late = ListSink("inbound", "played")
    sinks = Sinks({}, preroll=3.0)
    async with sinks.running():
        for number in range(500):
            sinks.write(frame(number))
            if number == 470:
                sinks.write(frame(470, "played"))
        sinks.fan_out.add("late", delivered(late.factory, preroll=2.0))
        sinks.write(*frames(500, 503))
    assert numbers([one for one in late.frames if one.track == "inbound"]) == list(range(400, 503))
    assert numbers([one for one in late.frames if one.track == "played"]) == [470]
    assert late.frames.index(frame_of(late, "played")) == 71  # in the order they came


def frame_of(sink: ListSink, track: str) -> AudioFrame:
    return next(one for one in sink.frames if one.track == track)


async def test_no_more_is_kept_than_the_settings_say_and_nothing_where_they_say_nothing() -> None:
    for preroll, expected in ((1.0, list(range(50, 100))), (0.0, [])):
        late = ListSink()
        sinks = Sinks({}, preroll=preroll)
        async with sinks.running():
            sinks.write(*frames(0, 100))
            sinks.fan_out.add("late", delivered(late.factory, preroll=60.0))
        assert numbers(late.frames) == expected


@pytest.mark.parametrize("sample_rate", [None, 16_000])
async def test_a_sink_whose_buffer_is_too_small_for_what_was_before_fails_alone(sample_rate: int | None) -> None:
    good, late = ListSink(), ListSink()
    sinks = Sinks({"good": good.factory}, preroll=3.0)
    async with sinks.running():
        sinks.write(*frames(0, 100))
        small = delivered(late.factory, preroll=2.0, frames=10, full="stop", sample_rate=sample_rate)
        sinks.fan_out.add("late", small)
        sinks.write(frame(100))
        await settle()
    assert (sinks.told("late")["state"], late.frames) == ("failed", [])
    assert len(good.frames) == 101


@pytest.mark.parametrize("kept", [0.0, 1.0])
async def test_what_is_handed_over_with_a_sink_comes_first_and_at_its_rate_and_not_twice(kept: float) -> None:
    sound, late = noise(16_000), ListSink()
    pieces = list(cut(sound))
    sinks = Sinks({}, preroll=kept)
    sinks.write(*pieces[:10])
    source = delivered(late.factory, sample_rate=16_000, preroll=1.0)
    sinks.fan_out.add("late", source, early=pieces[5:10])
    async with sinks.running():
        sinks.write(*pieces[10:])
    first = 0 if kept else 5
    expected = Resampler(8000, 16_000).push(np.concatenate((sound[first * 160 :], np.zeros(24, np.int16))))
    assert np.array_equal(late.sound(), expected)
    assert late.frames[0].timestamp == 320 * first


async def test_a_sink_that_does_not_ask_gets_nothing_of_what_was_before() -> None:
    late = ListSink()
    sinks = Sinks({}, preroll=3.0)
    async with sinks.running():
        sinks.write(*frames(0, 100))
        sinks.fan_out.add("late", late.factory)
        sinks.write(frame(100))
    assert numbers(late.frames) == [100]


@pytest.mark.parametrize("others", [0, 1], ids=["alone", "beside one who converts already"])
async def test_what_was_before_and_what_comes_fit_together_to_the_sample_at_another_rate(others: int) -> None:
    sound, late = noise(16_000), ListSink()
    sinks = Sinks({f"other {n}": delivered(ListSink().factory, sample_rate=16_000) for n in range(others)}, preroll=1.0)
    pieces = list(cut(sound))
    async with sinks.running():
        sinks.write(*pieces[:80])
        sinks.fan_out.add("late", delivered(late.factory, sample_rate=16_000, preroll=1.0))
        sinks.write(*pieces[80:])
    expected = Resampler(8000, 16_000).push(np.concatenate((sound[30 * 160 :], np.zeros(24, np.int16))))
    assert np.array_equal(late.sound(), expected)
    assert [one.timestamp for one in late.frames] == [320 * n for n in range(30, 101)]


# --- who keeps the event loop --------------------------------------------------------------------------------------


class Holding(ListSink):
    """Keeps the loop at some frames; the clock is the test's."""

    def __init__(self, clock: FakeClock, seconds: float, *at: int) -> None:
        super().__init__()
        self.clock, self.seconds, self.at = clock, seconds, at

    def write(self, frame: AudioFrame) -> None:
        if not self.at or len(self.frames) in self.at:
            self.clock.now += self.seconds
        super().write(frame)


async def test_a_sink_that_keeps_the_loop_is_counted_then_removed_and_the_others_go_on() -> None:
    clock = FakeClock()
    slow, good = Holding(clock, 0.05), ListSink()
    sinks = Sinks({"slow": slow.factory, "good": good.factory}, clock=clock, budget=0.01)
    async with sinks.running():
        sinks.write(*frames(0, 20))
    assert numbers(slow.frames) == [0, 1, 2, 3, 4]
    assert numbers(good.frames) == list(range(20))
    assert slow.closed == 1
    told = sinks.told("slow")
    assert (told["state"], told["frames"], told["frames_dropped"], told["loop_overruns"]) == ("removed", 5, 15, 5)
    assert told["loop_longest"] == pytest.approx(0.05)
    reason = "it kept the event loop for 50.0 ms, budget 10 ms, the fifth time in ten seconds"
    assert sinks.events == [SinkRemoved("slow", reason)]
    assert sinks.told("good")["loop_overruns"] == 0


async def test_a_sink_that_holds_the_loop_now_and_then_stays_and_is_counted() -> None:
    clock = FakeClock()
    slow = Holding(clock, 0.05, 3, 30)
    sinks = Sinks({"slow": slow.factory}, clock=clock)
    async with sinks.running():
        sinks.write(*frames(0, 200))
    told = sinks.told("slow")
    assert (told["state"], told["frames"], told["loop_overruns"]) == ("closed", 200, 2)


async def test_a_sink_that_goes_bad_later_is_found_when_the_loop_has_stood_still() -> None:
    clock = FakeClock()
    slow = Holding(clock, 0.05, *range(100, 200))
    with StallWatch(clock.call_later, clock, limit=0.01) as watch:
        sinks = Sinks({"slow": slow.factory}, clock=clock, watch=watch)
        async with sinks.running():
            for number in range(150):
                sinks.write(frame(number))
                clock.run_until(clock.now + 0.02)
    assert watch.stalls > 0
    assert sinks.told("slow")["state"] == "removed"
    assert 105 <= len(slow.frames) <= 108


async def test_early_frames_count_as_well() -> None:
    clock = FakeClock()
    slow = Holding(clock, 0.05)
    sinks = Sinks({"slow": slow.factory}, clock=clock)
    sinks.write(*frames(0, 100))
    async with sinks.running():
        await until(lambda: sinks.told("slow")["state"] == "removed")
    told = sinks.told("slow")
    assert (told["frames"], told["frames_dropped"], len(slow.frames)) == (5, 95, 5)


async def test_many_early_frames_are_handed_over_a_few_at_a_time() -> None:
    sink = ListSink()
    seen: set[int] = set()

    async def look() -> None:
        while len(sink.frames) < 200:
            seen.add(len(sink.frames))
            await asyncio.sleep(0)

    sinks = Sinks({"sink": sink.factory})
    sinks.write(*frames(0, 200))
    looking = asyncio.ensure_future(look())
    async with sinks.running():
        await looking
    assert seen == {0, 25, 50, 75, 100, 125, 150, 175}
    assert numbers(sink.frames) == list(range(200))


class AsyncHolding:
    """Blocks in a coroutine: the usual mistake."""

    tracks = INBOUND
    delivery = Delivery(by="task", linger=0)
    clock = FakeClock()

    def __init__(self, info: StreamInfo) -> None:
        del info

    async def write(self, frame: AudioFrame) -> None:
        await asyncio.sleep(0)
        self.clock.now += 0.05
        await asyncio.sleep(0)


async def test_a_coroutine_that_keeps_the_loop_is_found_too() -> None:
    good = ListSink()
    options: dict[str, Any] = {"clock": AsyncHolding.clock}
    sinks = Sinks({"slow": AsyncHolding, "good": good.factory}, **options)
    async with sinks.running():
        sinks.write(*frames(0, 20))
        await until(lambda: sinks.told("slow")["state"] == "removed")
    told = sinks.told("slow")
    assert told["loop_overruns"] == 5
    assert told["frames"] + told["frames_dropped"] == 20
    assert numbers(good.frames) == list(range(20))
