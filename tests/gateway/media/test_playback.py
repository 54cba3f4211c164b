"""The playback ledger: what it says became of each utterance, held against an ear that heard it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from audio_codecs import Samples
from gateway.media.playback import PlaybackFinished, PlaybackLedger
from gateway.media.playout import Playout
from gateway.media.utterance import Utterance
from tests.fakes import noise
from tests.gateway.media.far_end import FarEnd

RATE, FRAME = 8000, 160


class Stage:
    """A playout, the wire and the ear at its other end, on a clock of their own."""

    def __init__(self, *, latency: float = 0.0, deaf: bool = False, lead: float = 0.16, **options: Any) -> None:
        self.now = 50.0
        self.finished: list[PlaybackFinished] = []
        self.ledger = PlaybackLedger(RATE, on_finished=self.note, max_entries=3)
        self.playout = Playout(
            lambda samples: samples.tobytes(), RATE, here=lambda: 0, ledger=self.ledger, lead=lead, **options
        )
        self.far = FarEnd(FRAME, latency)
        self.deaf = deaf  # to marks
        self.told: list[str] = []
        self.sent: list[bytes | str] = []

    def note(self, utterance: Utterance) -> None:
        assert utterance.finished is not None
        self.finished.append(utterance.finished)

    def play(self, name: str, samples: Samples, *, close: bool = True) -> Utterance:
        play = Utterance(name)
        self.playout.queue.open(play)
        self.playout.queue.add(play, samples)
        if close:
            self.playout.queue.close(play)
        self.leave(self.playout.pop(now=self.now, grown=True))
        return play

    def say(self, samples: Samples) -> None:
        self.leave(self.playout.push(samples, now=self.now))

    def mark(self, name: str) -> None:
        self.playout.queue.push_mark(name)
        self.leave(self.playout.pop(now=self.now))

    def clear(self) -> None:
        self.hear()
        marks = self.playout.clear()
        self.far.clear(now=self.now)
        self.playout.paused = False
        self.leave(marks)

    def pause(self) -> None:
        self.hear()
        self.playout.paused = True
        self.playout.take_back()
        self.far.clear(now=self.now)

    def resume(self) -> None:
        self.playout.paused = False
        self.leave(self.playout.pop(now=self.now))

    def leave(self, due: Sequence[bytes | str]) -> None:
        self.sent += due
        self.far.receive([item for item in due if isinstance(item, bytes) or not self.deaf], now=self.now)

    def hear(self) -> None:
        for name in self.far.take_returned(now=self.now):
            if self.ledger.ear.mark_returned(name, now=self.now):
                self.told.append(name)
        self.playout.heard(now=self.now + 1e-9)

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while times := [time for time in (self.playout.deadline(), self.far.next_return()) if time is not None]:
            if min(times) > end:
                break
            self.now = max(self.now, min(times))
            self.hear()
            self.leave(self.playout.pop(now=self.now))
        self.now = end
        self.hear()

    def really_heard(self) -> int:
        """Milliseconds."""
        self.far.advance(self.now)
        return 20 * len(self.far.heard)


def test_a_play_that_is_heard_to_its_end_is_over_when_its_mark_comes_back() -> None:
    stage = Stage(latency=0.05)
    play = stage.play("greeting", noise(2 * RATE))
    stage.wait(2.09)
    assert stage.finished == []
    stage.wait(0.02)
    assert stage.finished == [
        PlaybackFinished(
            name="greeting", queued=2000, sent=2000, heard=2000, cleared=0, interrupted=False, estimated=False
        )
    ]
    assert play.finished is stage.finished[0]


def test_the_silence_that_fills_a_tail_counts_as_sound() -> None:
    stage = Stage()
    stage.play("short", noise(RATE // 10 + 1))
    stage.wait(1.0)
    assert (stage.finished[0].queued, stage.finished[0].heard) == (120, 120)


def test_a_play_without_sound_is_over_in_its_turn() -> None:
    stage = Stage()
    stage.play("first", noise(RATE))
    stage.play("empty", noise(0))
    stage.wait(0.5)
    assert stage.finished == []
    stage.wait(1.0)
    assert [(one.name, one.heard, one.interrupted) for one in stage.finished] == [
        ("first", 1000, False),
        ("empty", 0, False),
    ]


@pytest.mark.parametrize("latency", [0.0, 0.04, 0.3])
@pytest.mark.parametrize("after", [0.5, 1.01, 2.71])
def test_what_was_heard_at_a_clear_is_told_to_the_frame(latency: float, after: float) -> None:
    stage = Stage(latency=latency)
    stage.play("long", noise(10 * RATE))
    stage.wait(after)
    stage.clear()
    (finished,) = stage.finished
    assert abs(finished.heard - stage.really_heard()) <= 20
    assert finished.interrupted
    assert finished.estimated == (after <= 2 * latency)  # its first mark is not back yet
    assert finished.queued == 10_000 == finished.heard + finished.cleared
    assert finished.heard <= finished.sent <= finished.heard + 200


def test_an_ear_that_fell_behind_is_found_out_by_the_marks() -> None:
    stage = Stage(latency=0.02)
    stage.play("long", noise(10 * RATE))
    stage.wait(0.5)
    stage.far.stall(0.4)
    stage.wait(1.9)  # the mark of the first second came 0.4 s late
    stage.clear()
    (finished,) = stage.finished
    assert stage.really_heard() == pytest.approx(2000, abs=20)
    assert finished.heard == pytest.approx(2000, abs=40)
    assert not finished.estimated


def test_an_ear_that_stands_still_is_not_taken_to_go_on() -> None:
    stage = Stage()
    stage.play("long", noise(10 * RATE))
    stage.wait(0.9)
    stage.far.stall(5.0)
    stage.wait(0.6)  # the mark behind the first second is half a second overdue
    stage.clear()
    assert stage.finished[0].heard == pytest.approx(1100, abs=20)  # and not 1500


def test_where_no_mark_comes_back_the_clock_tells_and_says_so() -> None:
    stage = Stage(deaf=True)
    stage.play("first", noise(RATE))
    stage.play("second", noise(RATE))
    stage.wait(5.0)
    assert [(one.heard, one.estimated, one.interrupted) for one in stage.finished] == [(1000, True, False)] * 2
    stage.play("third", noise(2 * RATE))
    stage.wait(0.7)
    stage.clear()
    last = stage.finished[-1]
    assert last.heard == pytest.approx(700, abs=20)
    assert (last.estimated, last.interrupted) == (True, True)
    assert stage.ledger.describe()["marks_missing"] > 0


def test_speech_is_one_utterance_until_a_mark_ends_it() -> None:
    stage = Stage()
    for _ in range(25):
        stage.say(noise(FRAME))
        stage.wait(0.02)
    stage.mark("sentence")
    stage.say(noise(FRAME))
    stage.wait(0.1)
    assert [(one.name, one.heard) for one in stage.finished] == [("speech 1", 500)]
    assert stage.told == ["sentence"]


def test_a_second_of_silence_ends_speech_and_a_shorter_one_does_not() -> None:
    stage = Stage()
    for pause in (0.9, 1.1, 0.0):
        stage.say(noise(FRAME))
        stage.wait(0.02 + pause)
    stage.wait(1.5)
    assert [(one.name, one.heard, one.estimated) for one in stage.finished] == [
        ("speech 1", 40, False),
        ("speech 2", 20, False),
    ]


def test_speech_as_it_comes_costs_no_marks_but_the_one_behind_it() -> None:
    stage = Stage()
    for _ in range(500):
        stage.say(noise(FRAME))
        stage.wait(0.02)
    assert not any(isinstance(item, str) for item in stage.sent)
    stage.wait(2.0)
    assert sum(isinstance(item, str) for item in stage.sent) == 1
    assert stage.finished[0].heard == 10_000


def test_a_long_play_has_a_mark_before_it_after_each_second_and_behind_it() -> None:
    stage = Stage()
    stage.play("long", noise(round(3.5 * RATE)))
    stage.wait(5.0)
    frames, marks_after = 0, []
    for item in stage.sent:
        if isinstance(item, bytes):
            frames += 1
        else:
            marks_after.append(frames)
    assert marks_after == [0, 50, 100, 150, 175]


def test_utterances_wait_for_each_other_even_if_the_first_is_still_being_made() -> None:
    stage = Stage()
    first = stage.play("first", np.full(FRAME, 1, np.int16), close=False)
    stage.play("second", np.full(FRAME, 2, np.int16))
    stage.say(np.full(FRAME, 3, np.int16))
    stage.wait(1.0)
    assert stage.really_heard() == 20
    stage.playout.queue.add(first, np.full(FRAME, 1, np.int16))
    stage.playout.queue.close(first)
    stage.leave(stage.playout.pop(now=stage.now, grown=True))
    stage.wait(0.5)
    assert [frame[0] for frame in stage.far.heard] == [1, 1, 2, 3]


def test_a_pause_acts_at_once_and_what_was_not_heard_is_said_after_it() -> None:
    stage = Stage()
    samples = noise(2 * RATE)
    stage.play("story", samples)
    stage.wait(0.505)
    stage.pause()
    assert stage.really_heard() == 520
    stage.wait(5.0)
    assert stage.really_heard() == 520
    stage.resume()
    stage.wait(3.0)
    assert np.array_equal(np.concatenate(stage.far.heard), samples)
    (finished,) = stage.finished
    assert (finished.heard, finished.interrupted, finished.estimated) == (2000, False, False)
    assert stage.playout.underruns == 0


def test_a_mark_whose_sound_was_taken_back_is_told_once_and_after_that_sound() -> None:
    stage = Stage(lead=1.0)
    stage.say(noise(5 * FRAME))
    stage.mark("behind the first")
    stage.say(noise(5 * FRAME, seed=2))
    stage.mark("behind the second")
    stage.wait(0.11)  # the first is heard to its end, both marks are at the other end
    stage.pause()
    stage.wait(2.0)
    assert stage.told == ["behind the first"]
    stage.resume()
    stage.wait(0.07)
    assert stage.told == ["behind the first"]
    stage.wait(0.1)
    assert stage.told == ["behind the first", "behind the second"]


def test_marks_between_utterances_that_were_taken_back_keep_their_places() -> None:
    stage = Stage(lead=1.0)
    for value, mark in ((1, "one"), (2, "two"), (3, "three")):
        stage.say(np.full(2 * FRAME, value, np.int16))
        stage.mark(mark)
    stage.wait(0.005)
    stage.pause()
    at = len(stage.sent)
    stage.resume()
    again = [item if isinstance(item, str) else np.frombuffer(item, np.int16)[0] for item in stage.sent[at:]]
    assert [item for item in again if not str(item).startswith("gateway:")] == [1, "one", 2, 2, "two", 3, 3, "three"]


def test_a_clear_while_paused_takes_everything_and_ends_the_pause() -> None:
    stage = Stage()
    stage.play("story", noise(RATE))
    stage.wait(0.1)
    stage.pause()
    stage.clear()
    assert stage.finished[0].heard == pytest.approx(100, abs=20)
    assert stage.finished[0].heard + stage.finished[0].cleared == 1000
    fresh = noise(FRAME, seed=5)
    stage.say(fresh)
    stage.wait(0.1)
    assert np.array_equal(stage.far.heard[-1], fresh)


def test_the_ledger_keeps_the_latest_utterances_and_counts_all() -> None:
    stage = Stage()
    for number in range(5):
        stage.play(f"play {number}", noise(FRAME))
        stage.wait(0.5)
    described = stage.ledger.describe()
    assert [entry["name"] for entry in described["playbacks"]] == ["play 2", "play 3", "play 4"]
    assert (described["playbacks_total"], described["playbacks_omitted"]) == (5, 2)


@pytest.mark.parametrize(("played_out", "heard"), [(True, 160), (False, 20)])
def test_what_was_sent_counts_as_heard_by_estimate_where_only_the_socket_is_gone(played_out: bool, heard: int) -> None:
    stage = Stage()
    stage.play("last words", noise(RATE))
    stage.hear()
    stage.playout.finish(played_out=played_out)
    (finished,) = stage.finished
    assert finished.heard == pytest.approx(heard, abs=20)
    assert finished.interrupted
    assert finished.estimated == played_out
