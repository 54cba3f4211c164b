"""Whatever is done to a playout, in whatever order: every sample is once heard, cleared, dropped, or still there."""

import math
from collections.abc import Sequence

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.media.playout import FRAME_SECONDS
from tests.gateway.media.test_playout import make


class PlayoutMachine(RuleBasedStateMachine):
    """Numbers instead of sound: at 400 Hz a frame has 8 samples, and each sample is a number of its own.

    The machine keeps where each of them has to be: waiting, in flight, or heard; what was cleared is nowhere.
    """

    FRAME = 8
    MOST = 200
    LEAD = 0.05

    def __init__(self) -> None:
        super().__init__()
        self.playout = make(lead=self.LEAD, rate=400, max_queued=0.5)
        self.now = 0.0
        self.next_number = 1
        self.waiting: list[int | str] = []
        self.flying: list[int] = []  # with the zeros that filled up a tail
        self.pushed = self.dropped = self.cleared = self.heard = self.filled = 0
        self.last_push = -math.inf
        self.marks = 0

    @initialize(now=st.floats(0, 1e6))
    def begin(self, now: float) -> None:
        self.now = now

    @rule(length=st.integers(0, 70))
    def push(self, length: int) -> None:
        length = min(length, 32_000 - self.next_number)
        room = self.MOST - sum(not isinstance(item, str) for item in self.waiting)
        samples = np.arange(self.next_number, self.next_number + length, dtype=np.int16)
        self.next_number += length
        self.pushed += length
        self.dropped += max(0, length - room)
        self.waiting += samples[:room].tolist()
        if length and room:
            self.last_push = self.now
        self.leave(self.playout.push(samples, now=self.now))

    @rule()
    def mark(self) -> None:
        self.marks += 1
        self.playout.push_mark(f"mark {self.marks}")
        self.waiting.append(f"mark {self.marks}")

    @rule(seconds=st.one_of(st.floats(0, 0.03), st.floats(0, 2.0)))
    def let_time_pass(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def pop(self) -> None:
        self.take()

    @precondition(lambda self: self.playout.deadline() is not None)
    @rule()
    def pop_at_the_deadline(self) -> None:
        self.take()
        deadline = self.playout.deadline()
        if deadline is not None:
            assert deadline > self.now
            if deadline - 1e-6 > self.now:
                self.now = deadline - 1e-6
                assert not self.take()
            self.now = deadline
            assert self.take()

    def take(self) -> list[bytes | str]:
        left = self.playout.pop(now=self.now)
        self.leave(left)
        return left

    def leave(self, left: Sequence[bytes | str]) -> None:
        for item in left:
            if isinstance(item, str):
                assert item == self.waiting.pop(0)
            else:
                self.leave_piece(np.frombuffer(item, np.int16).tolist())

    def leave_piece(self, numbers: list[int]) -> None:
        assert len(numbers) == self.FRAME
        real = [number for number in numbers if number]
        assert real
        assert numbers == real + [0] * (self.FRAME - len(real))  # silence only behind the sound
        assert real == self.waiting[: len(real)]
        del self.waiting[: len(real)]
        if len(real) < self.FRAME:
            before_mark = bool(self.waiting) and isinstance(self.waiting[0], str)
            assert before_mark or (not self.waiting and self.now >= self.last_push + FRAME_SECONDS)
        self.filled += self.FRAME - len(real)
        self.flying += numbers

    @rule()
    def hear(self) -> None:
        due = sum(len(piece.samples) for piece in self.playout.in_flight if piece.deadline <= self.now)
        before = self.heard
        for _, samples in self.playout.heard(now=self.now):
            numbers = samples.tolist()
            assert numbers == self.flying[: len(numbers)]
            del self.flying[: len(numbers)]
            self.heard += len(numbers)
        assert self.heard - before == due
        assert len(self.flying) / self.FRAME * FRAME_SECONDS <= self.LEAD + FRAME_SECONDS

    @rule()
    def clear(self) -> None:
        lost = sum(not isinstance(item, str) for item in self.waiting) + len(self.flying)
        assert self.playout.clear() == [item for item in self.waiting if isinstance(item, str)]
        self.cleared += lost
        self.waiting.clear()
        self.flying.clear()

    @invariant()
    def every_sample_is_somewhere_once(self) -> None:
        playout = self.playout
        assert playout.samples_dropped == self.dropped
        assert playout.samples_cleared == self.cleared
        in_flight = sum(len(piece.samples) for piece in playout.in_flight)
        assert in_flight == len(self.flying)
        somewhere = self.heard + playout.samples_cleared + playout.samples_dropped + playout.queued + in_flight
        assert somewhere == self.pushed + self.filled

    @invariant()
    def there_is_a_deadline_while_something_waits(self) -> None:
        assert (self.playout.deadline() is None) == (not self.waiting)


PlayoutMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestPlayoutMachine = PlayoutMachine.TestCase
