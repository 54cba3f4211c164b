"""One leg's sound, frame by frame."""

from collections.abc import Callable
from typing import Any

import numpy as np

from audio_codecs import Samples
from gateway.simulator.clock import Clock
from gateway.simulator.journal import Journal
from gateway.simulator.line import Line
from tests.fakes import FakeClock


class Talker:
    """Counts: its nth frame is full of n; hangs up after `frames`; presses 7 as it says its third."""

    note: Callable[..., None]

    def __init__(self, frames: int | None = None) -> None:
        self.frames = frames
        self.spoken = 0
        self.heard: list[int] = []

    @property
    def finished(self) -> bool:
        return self.frames is not None and self.spoken > self.frames

    def hear(self, samples: Samples) -> None:
        assert samples.shape == (160,)
        self.heard.append(int(samples[0]))

    def speak(self) -> Samples:
        self.spoken += 1
        return np.full(160, self.spoken, np.int16)

    def take_pressed(self) -> list[str]:
        return ["7"] if self.spoken == 3 else []

    def cleared(self) -> None:
        self.heard.append(-1)

    def describe(self) -> list[dict[str, Any]]:
        return []


class Ear:
    """Takes down what it hears, and when."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.times: list[float] = []

    def __call__(self, frame: Samples, at: float) -> None:
        self.numbers.append(int(frame[0]))
        self.times.append(round(at, 3))


class Bench:
    def __init__(self, frames: int | None = None, *, late: float = 0.0) -> None:
        self.clock = FakeClock(late=late)
        self.talker = Talker(frames)
        self.journal = Journal(8000)
        self.hung_up = 0
        clock = Clock(self.clock, self.clock, self.clock.call_later)
        self.pressed: list[tuple[str, float]] = []
        self.line = Line(self.talker, self.journal, clock, self.hang_up, self.press)

    def hang_up(self) -> None:
        self.hung_up += 1

    def press(self, key: str) -> None:
        self.pressed.append((key, round(self.clock.now, 3)))

    def wait(self, seconds: float) -> None:
        self.clock.run_until(self.clock.now + seconds)


def test_a_frame_every_20_ms_to_all_who_listen() -> None:
    bench, first, second = Bench(), Ear(), Ear()
    assert bench.line.listen(first) == 100.0
    bench.wait(0.03)
    assert round(bench.line.listen(second), 3) == 100.04
    bench.wait(0.04)
    assert (first.numbers, first.times) == ([1, 2, 3, 4], [100.0, 100.02, 100.04, 100.06])
    assert (second.numbers, second.times) == ([3, 4], [100.04, 100.06])


def test_nothing_is_said_while_nobody_listens() -> None:
    bench, ear = Bench(), Ear()
    bench.wait(1.0)
    bench.line.listen(ear)
    bench.wait(0.03)
    bench.line.leave(ear)
    bench.line.leave(ear)
    bench.wait(1.0)
    assert bench.line.listen(ear) == bench.clock.now
    bench.wait(0.01)
    assert ear.numbers == [1, 2, 3]


def test_a_machine_does_not_wait() -> None:
    bench, ear = Bench(), Ear()
    bench.line.speak_on()
    bench.wait(1.0)
    bench.line.listen(ear)
    bench.wait(0.03)
    bench.line.leave(ear)
    bench.wait(0.1)
    assert ear.numbers[0] > 50
    assert bench.talker.spoken > ear.numbers[-1]


def test_deadlines_are_absolute_however_late_the_timers_are() -> None:
    bench, ear = Bench(late=0.015), Ear()
    bench.line.listen(ear)
    bench.wait(2.0)
    np.testing.assert_allclose(np.diff(ear.times), 0.02, atol=0.0011)
    assert len(ear.times) == 100


def test_what_was_missed_in_a_stall_is_said_at_once() -> None:
    bench, ear = Bench(), Ear()
    bench.line.listen(ear)
    bench.wait(0.01)
    bench.clock.now += 0.2
    bench.wait(0.0)
    assert ear.numbers == list(range(1, 12))
    assert ear.times[-1] == 100.2


def test_whoever_has_nothing_more_to_say_puts_the_receiver_down() -> None:
    bench, ear = Bench(frames=3), Ear()
    bench.line.listen(ear)
    bench.wait(1.0)
    assert (ear.numbers, bench.hung_up) == ([1, 2, 3], 1)
    assert bench.clock.pending == []


def test_a_closed_line_is_silent() -> None:
    bench, ear = Bench(), Ear()
    bench.line.speak_on()
    bench.line.listen(ear)
    bench.line.close()
    bench.wait(1.0)
    assert (ear.numbers, bench.hung_up) == ([], 0)


def test_the_person_hears_what_reached_the_ear_just_before() -> None:
    bench = Bench()
    bench.line.listen(Ear())
    bench.wait(0.03)
    for position, number in ((320, 7), (640, 9)):
        bench.journal.heard.add(position, np.full(160, number, np.int16))
    bench.wait(0.1)
    assert bench.talker.heard == [0, 0, 0, 7, 0, 9, 0]


def test_a_key_is_told_as_its_frame_is_said() -> None:
    bench = Bench()
    start = bench.clock.now
    bench.line.listen(Ear())
    bench.wait(0.1)
    assert bench.pressed == [("7", round(start + 0.04, 3))]


def test_a_clear_reaches_the_speaker() -> None:
    bench = Bench()
    bench.line.cleared()
    assert bench.talker.heard == [-1]
