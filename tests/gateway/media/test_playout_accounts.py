"""Whatever is done to a playout, in whatever order: every sample is once heard, cleared, dropped, or still there.

The other end plays in real time and without delay, so that what the ledger says can be held against what was heard.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.media.ear import OWN_MARK
from gateway.media.playback import PlaybackLedger
from gateway.media.playout import Playout
from gateway.media.utterance import Utterance
from tests.gateway.media.far_end import FarEnd

RATE = 1000  # a sample is a millisecond
FRAME = 20


class PlayoutMachine(RuleBasedStateMachine):
    """Numbers instead of sound: each sample is one of its own, and says which utterance it belongs to."""

    def __init__(self) -> None:
        super().__init__()
        self.finished: list[Utterance] = []
        self.ledger = PlaybackLedger(RATE, on_finished=self.finished.append)
        self.now = 0.0
        self.next_number = 1
        self.pushed: dict[str, list[int]] = {}  # of each utterance, what was not dropped
        self.order: list[str] = []  # of the utterances
        self.open_plays: list[Utterance] = []
        self.plays: list[Utterance] = []
        self.heard: list[int] = []
        self.compared = 0  # frames of it
        self.marks_asked: list[str] = []
        self.marks_told: list[str] = []
        self.before_mark: dict[str, list[Utterance]] = {}
        self.mark_places: dict[str, int] = {}
        self.forbidden: set[int] = set()  # said before a clear: may not leave any more
        self.pushed_total = 0
        self.zeros_sent = 0

    @initialize(
        now=st.sampled_from([0.0, 7.013, 86_400.5]),
        lead=st.sampled_from([0.02, 0.05, 0.16, 1.0]),
        message=st.sampled_from([0.02, 0.06, 0.2]),
        phase=st.sampled_from([None, 0.0025, 0.0125]),
    )
    def begin(self, now: float, lead: float, message: float, phase: float | None) -> None:
        self.now = now
        self.lead, self.message = lead, message
        self.far = FarEnd(FRAME)
        self.playout = Playout(
            lambda samples: samples.tobytes(),
            RATE,
            here=lambda: 0,
            ledger=self.ledger,
            lead=lead,
            message=message,
            phase=phase,
            max_queued=3.0,
        )

    # --- what an application does ---------------------------------------------------------------------------------

    @rule(length=st.one_of(st.just(FRAME), st.integers(0, 300)))
    def say(self, length: int) -> None:
        self.leave(self.playout.push(self.numbers(length), now=self.now))
        names = [utterance.name for utterance in self.playout.utterances()]
        speech = self.playout.queue.speech
        if speech is not None and speech.name not in self.pushed:
            assert names[-1] == speech.name
            self.order.append(speech.name)
        if self.fresh:
            assert speech is not None
            self.pushed.setdefault(speech.name, []).extend(self.fresh)

    @rule(count=st.integers(1, 30), late=st.sampled_from([0.0, 0.001, 0.03]))
    def say_as_it_comes(self, count: int, late: float) -> None:
        for _ in range(count):
            self.say(FRAME)
            self.let_time_pass(0.02 + late / count)

    @rule(length=st.integers(0, 1500), close=st.booleans())
    def play(self, length: int, *, close: bool) -> None:
        play = Utterance(f"play {len(self.plays) + 1}")
        self.plays.append(play)
        self.open_plays.append(play)
        self.order.append(play.name)
        self.pushed[play.name] = []
        self.playout.queue.open(play)
        self.leave(self.playout.pop(now=self.now))
        self.feed(play, length)
        if close:
            self.close(play)

    @precondition(lambda self: self.open_plays)
    @rule(which=st.integers(0, 9), length=st.integers(0, 700), close=st.booleans())
    def go_on_with_a_play(self, which: int, length: int, *, close: bool) -> None:
        play = self.open_plays[which % len(self.open_plays)]
        self.feed(play, length)
        if close:
            self.close(play)

    def feed(self, play: Utterance, length: int) -> None:
        if play.finished is not None:
            return  # it was cut off
        self.playout.queue.add(play, self.numbers(length))
        self.pushed[play.name] += self.fresh
        self.leave(self.playout.pop(now=self.now, grown=True))

    def close(self, play: Utterance) -> None:
        self.open_plays.remove(play)
        self.playout.queue.close(play)
        self.leave(self.playout.pop(now=self.now))

    @rule()
    def mark(self) -> None:
        name = f"mark {len(self.marks_asked) + 1}"
        self.marks_asked.append(name)
        self.before_mark[name] = self.playout.utterances()
        self.mark_places[name] = len(self.order)
        self.playout.queue.push_mark(name)
        self.leave(self.playout.pop(now=self.now))

    def clear(self) -> None:
        self.hear()
        self.forbidden.update(range(1, self.next_number))
        names = self.playout.clear()
        self.playout.paused = False
        self.far.clear(now=self.now)
        self.far.receive(names, now=self.now)
        assert self.playout.utterances() == []

    def pause(self) -> None:
        if not self.playout.paused:
            self.hear()
            self.playout.paused = True
            self.playout.take_back()
            self.far.clear(now=self.now)

    def resume(self) -> None:
        self.playout.paused = False
        self.leave(self.playout.pop(now=self.now))

    @rule(what=st.sampled_from(["clear", "pause", "resume", "cancel"]), which=st.integers(0, 99))
    def interfere(self, what: str, which: int) -> None:
        match what:
            case "clear":
                self.clear()
            case "pause":
                self.pause()
            case "resume":
                self.resume()
            case _ if self.plays:
                self.cancel(which)

    def cancel(self, which: int) -> None:
        play = self.plays[which % len(self.plays)]
        self.hear()
        if play.finished is not None or (play.end is not None and play.end <= self.ledger.heard):
            return
        if self.playout.cancel(play):
            self.playout.take_back()
            self.far.clear(now=self.now)
        assert play.finished is not None
        assert play.finished.interrupted or not play.finished.queued
        self.forbidden.update(self.pushed[play.name])
        self.leave(self.playout.pop(now=self.now))

    @rule(seconds=st.one_of(st.floats(0.001, 0.05), st.floats(0.05, 3.0)))
    def let_time_pass(self, seconds: float) -> None:
        end = self.now + seconds
        while True:
            times = [time for time in (self.playout.deadline(), self.far.next_return()) if time is not None]
            if not times or min(times) > end:
                break
            self.now = max(self.now, min(times))
            self.hear()
            self.leave(self.playout.pop(now=self.now))
            self.hear()
            deadline = self.playout.deadline()
            assert deadline is None or deadline > self.now, "it would be woken for nothing, again and again"
        self.now = end
        self.hear()

    # --- what comes of it -----------------------------------------------------------------------------------------

    def numbers(self, length: int) -> np.ndarray:
        length = min(length, 32_000 - self.next_number)
        samples = np.arange(self.next_number, self.next_number + length, dtype=np.int16)
        self.next_number += length
        self.pushed_total += length
        room = 3 * RATE - self.playout.queue.queued
        self.fresh = samples[:room].tolist() if room > 0 else []
        return samples

    def leave(self, due: Sequence[bytes | str]) -> None:
        assert not (due and self.playout.paused)
        for item in due:
            if isinstance(item, bytes):
                numbers = np.frombuffer(item, np.int16)
                assert FRAME <= len(numbers) <= round(self.message * RATE)
                self.zeros_sent += numbers.tolist().count(0)
                assert not self.forbidden.intersection(numbers.tolist())
        self.far.receive(due, now=self.now)
        assert self.far.free_at - self.now <= self.lead + self.message + 1e-6

    def hear(self) -> None:
        told_now: list[str] = []
        for name in self.far.take_returned(now=self.now):
            if self.ledger.ear.mark_returned(name, now=self.now):
                assert not name.startswith(OWN_MARK)
                self.marks_told.append(name)
                told_now.append(name)
        for _, samples in self.playout.heard(now=self.now + 1e-9):
            self.heard += samples.tolist()
        for name in told_now:
            for utterance in self.before_mark[name]:
                over = utterance.end is not None and utterance.end <= self.ledger.heard
                assert over or utterance.finished is not None
            behind = self.order[self.mark_places[name] :]  # of which nothing is to be heard before it is told
            for utterance in (*self.playout.utterances(), *self.finished):
                done = utterance.finished
                heard = self.playout.progress(utterance, now=self.now) if done is None else done.heard
                assert utterance.name not in behind or heard <= FRAME

    @invariant()
    def what_the_ledger_calls_heard_was_heard(self) -> None:
        self.hear()
        assert len(self.heard) == FRAME * len(self.far.heard)
        fresh = self.far.heard[self.compared :]
        assert self.heard[FRAME * self.compared :] == [number for frame in fresh for number in frame.tolist()]
        self.compared += len(fresh)

    def every_utterance_is_heard_from_its_beginning_on_and_in_its_turn(self) -> None:
        numbers = [number for number in self.heard if number]
        at = 0
        for name in self.order:
            pushed = self.pushed.get(name, [])
            count = 0
            while count < len(pushed) and at < len(numbers) and numbers[at] == pushed[count]:
                count += 1
                at += 1
        assert at == len(numbers)

    def accounts_are_right(self) -> None:
        heard = [number for number in self.heard if number]
        names = {number: name for name, numbers in self.pushed.items() for number in numbers}
        heard_of = Counter(names[number] for number in heard)
        for utterance in self.finished:
            finished, pushed = utterance.finished, self.pushed.get(utterance.name, [])
            assert finished is not None
            real = heard_of[utterance.name]
            padding = finished.queued - len(pushed)
            assert padding >= 0
            assert real <= finished.heard <= real + padding
            assert finished.heard + finished.cleared == finished.queued
            assert finished.heard <= finished.sent <= finished.queued
            assert finished.interrupted or finished.heard == finished.queued

    @invariant()
    def every_sample_is_somewhere_once(self) -> None:
        playout = self.playout
        in_flight = sum(len(piece.samples) for piece in playout.in_flight)
        gone = playout.samples_cleared + playout.queue.samples_dropped
        somewhere = len(self.heard) + in_flight + playout.queue.queued + gone
        assert 0 <= somewhere - self.pushed_total <= self.zeros_sent  # the silence that filled up tails

    @invariant()
    def marks_are_told_once_and_in_order(self) -> None:
        assert self.marks_told == self.marks_asked[: len(self.marks_told)]

    def teardown(self) -> None:
        if not hasattr(self, "playout"):
            return
        for play in self.open_plays:
            self.playout.queue.close(play)
        self.resume()
        self.let_time_pass(30.0)
        assert self.marks_told == self.marks_asked
        assert self.playout.utterances() == []
        assert self.playout.deadline() is None
        self.every_utterance_is_heard_from_its_beginning_on_and_in_its_turn()
        self.accounts_are_right()


PlayoutMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestPlayoutMachine = PlayoutMachine.TestCase
