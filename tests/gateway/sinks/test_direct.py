"""Sinks that are called directly: from the first frame that waited to the last that comes."""

from collections.abc import Callable

from gateway.media.frame import AudioFrame
from gateway.sinks.budget import LoopBudget
from gateway.sinks.buffered import Buffered
from gateway.sinks.delivery import Delivery
from gateway.sinks.direct import DirectSink
from tests.fakes import FakeClock, ListSink
from tests.gateway.sinks.streams import frame, frames, numbers


class Way:
    """Where frames go before a sink, as its slot says: into the buffer, and then to the sink."""

    def __init__(self) -> None:
        self.sink = ListSink()
        clock = FakeClock()
        self.buffer = Buffered(Delivery(), clock=clock, wake_at=lambda at, wake: None, on_drop=lambda: None)
        self.write: Callable[[AudioFrame], None] = self.buffer.write
        budget = LoopBudget(0.01, clock=clock, on_spent=lambda reason: None)
        self.direct = DirectSink(self.sink, budget, self.changed)
        self.changes = 0

    def changed(self) -> None:
        self.changes += 1
        self.write = self.direct.write


def test_no_frame_overtakes_those_that_waited() -> None:
    way = Way()
    for one in frames(0, 120):
        way.write(one)
    coming = 120
    for _ in way.direct.drain(way.buffer).__await__():  # at every turn of the event loop another one comes
        way.write(frame(coming))
        coming += 1
    way.write(frame(coming))
    assert coming > 123
    assert numbers(way.sink.frames) == list(range(coming + 1))


def test_a_stall_has_the_next_calls_timed_but_hands_nothing_over_sooner() -> None:
    way = Way()
    for one in frames(0, 60):
        way.write(one)
    draining = way.direct.drain(way.buffer).__await__()
    for _ in range(2):  # 50 frames
        next(draining)
    way.direct.watch()
    assert way.write == way.buffer.write
    for _ in draining:
        pass
    for one in frames(60, 199):
        way.write(one)
    assert way.write != way.sink.write
    way.write(frame(199))
    assert way.write == way.sink.write
    way.direct.watch()
    assert way.write != way.sink.write
    way.write(frame(200))
    assert numbers(way.sink.frames) == list(range(201))
