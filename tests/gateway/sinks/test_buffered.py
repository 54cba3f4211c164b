"""What waits for a sink: bounded, by its own rule, and handed over in batches."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from gateway.errors import SinkError
from gateway.media.frame import AudioFrame
from gateway.sinks.buffered import Buffered
from gateway.sinks.delivery import Delivery
from tests.fakes import FakeClock, settle
from tests.gateway.sinks.streams import frame, frames, numbers


class Bench:
    """A buffer, its clock, and how often it woke its reader."""

    def __init__(self, **delivery: Any) -> None:
        self.clock = FakeClock()
        self.drops = 0
        self.buffer = Buffered(
            Delivery(by="task", **delivery), clock=self.clock, wake_at=self._wake_at, on_drop=self._dropped
        )

    def _wake_at(self, deadline: float, wake: Callable[[float], None]) -> None:
        self.clock.call_later(deadline - self.clock.now, lambda: wake(self.clock.now))

    def _dropped(self) -> None:
        self.drops += 1

    def write(self, *frames: AudioFrame) -> None:
        for one in frames:
            self.buffer.write(one)

    def popped(self) -> list[int]:
        heard = []
        while (one := self.buffer.pop()) is not None:
            heard.append(one)
        return numbers(heard)


async def test_one_wake_up_hands_over_all_that_came_meanwhile() -> None:
    bench = Bench(linger=0.09)
    batches: list[list[int]] = []

    async def read() -> None:
        while await bench.buffer.ready():
            batches.append(bench.popped())

    reading = asyncio.ensure_future(read())
    await settle()
    for number in range(10):
        bench.write(frame(number))
        bench.clock.run_until(bench.clock.now + 0.02)
        await settle()
    bench.buffer.close()
    await asyncio.wait_for(reading, 1)
    assert batches == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]


async def test_without_linger_the_reader_is_woken_at_once() -> None:
    bench = Bench(linger=0)
    reading = asyncio.ensure_future(bench.buffer.ready())
    await settle()
    assert not reading.done()
    bench.write(frame(0))
    await settle()
    assert reading.result() is True
    assert bench.clock.pending == []


async def test_a_closed_buffer_is_ready_until_it_is_empty() -> None:
    bench = Bench()
    bench.write(*frames(0, 2))
    bench.buffer.close()
    assert await bench.buffer.ready()
    assert bench.popped() == [0, 1]
    assert not await bench.buffer.ready()
    assert (bench.buffer.popped, bench.buffer.dropped) == (2, 0)


async def test_drop_oldest_keeps_the_present() -> None:
    bench = Bench(frames=5, full="drop_oldest")
    bench.write(*frames(0, 12))
    assert (bench.popped(), bench.buffer.dropped, bench.drops) == ([7, 8, 9, 10, 11], 7, 1)


async def test_drop_newest_keeps_the_beginning() -> None:
    bench = Bench(frames=5, full="drop_newest")
    bench.write(*frames(0, 12))
    assert (bench.popped(), bench.buffer.dropped, bench.drops) == ([0, 1, 2, 3, 4], 7, 1)
    bench.write(frame(12))
    assert bench.popped() == [12]


async def test_stop_is_an_error_of_the_sink() -> None:
    bench = Bench(frames=5, full="stop")
    bench.write(*frames(0, 5))
    with pytest.raises(SinkError, match="5 frames wait for it"):
        bench.write(frame(5))


async def test_spill_loses_nothing_and_keeps_the_order() -> None:
    bench = Bench(frames=5, full="spill")
    heard: list[int] = []
    bench.write(*frames(0, 173))
    assert bench.buffer.waiting == 173
    assert await bench.buffer.ready()
    heard += [int(one.samples[0]) for one in [bench.buffer.pop()] if one is not None]
    bench.write(*frames(173, 300))
    bench.buffer.close()
    while await bench.buffer.ready():
        heard += bench.popped()
    assert heard == list(range(300))
    assert (bench.buffer.waiting, bench.buffer.dropped, bench.drops) == (0, 0, 0)


async def test_after_a_spill_frames_wait_in_memory_again() -> None:
    bench = Bench(frames=5, full="spill")
    bench.write(*frames(0, 60))
    heard: list[int] = []
    reading = asyncio.ensure_future(_read_into(bench, heard))
    await asyncio.sleep(0.05)
    assert heard == list(range(60))
    bench.write(*frames(60, 63))
    assert bench.buffer.pop() is not None  # it is in memory, and was not when it went to disk
    bench.buffer.close()
    await asyncio.wait_for(reading, 2)
    assert heard == [*range(60), 61, 62]


async def _read_into(bench: Bench, heard: list[int]) -> None:
    while await bench.buffer.ready():
        heard += bench.popped()


async def test_the_lag_is_the_sound_that_waits_of_the_oldest_frames_track() -> None:
    bench = Bench(frames=500)
    assert bench.buffer.lag() == 0.0
    bench.write(*frames(100, 150), frame(140, "played"))
    assert bench.buffer.lag() == pytest.approx(1.0)
    await bench.buffer.ready()
    bench.popped()
    assert bench.buffer.lag() == 0.0
    assert bench.buffer.lag_max == pytest.approx(1.0)


async def test_the_lag_counts_what_is_on_disk() -> None:
    bench = Bench(frames=50, full="spill")
    bench.write(*frames(0, 200))
    assert bench.buffer.lag() == pytest.approx(4.0)
    bench.buffer.discard()


async def test_what_is_discarded_is_counted_as_dropped() -> None:
    bench = Bench(frames=5, full="spill")
    bench.write(*frames(0, 130))
    assert bench.buffer.pop() is not None
    bench.buffer.discard()
    assert (bench.buffer.waiting, bench.buffer.dropped, bench.popped()) == (0, 129, [])


async def test_frames_of_tracks_that_nobody_wants_are_forgotten_wherever_they_wait() -> None:
    bench = Bench(frames=10, full="spill")
    for number in range(100):
        bench.write(frame(number), frame(number, "outbound"))
    bench.buffer.keep(frozenset({"inbound"}))
    bench.buffer.close()
    heard: list[int] = []
    await _read_into(bench, heard)
    assert heard == list(range(100))
