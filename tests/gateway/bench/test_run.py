"""Levels one after the other, with a far side and a load that are only told of; no time passes."""

from collections.abc import Callable

import pytest

from gateway.bench.crew import Crew, LoadError
from gateway.bench.level import Moment
from gateway.bench.run import Judged, Outcome, Schedule, run_load
from gateway.bench.tally import Tally
from gateway.bench.verdict import Limits
from gateway.bench.worker import Beat, Verb


class FakeCrew(Crew):
    """Two processes; the far side loses frames above `knee` calls, and takes `most` of them.

    `late` says how late the load is at the nth level.
    """

    def __init__(self, knee: int, *, most: int = 10_000, late: Callable[[int], float] = lambda _: 0.001) -> None:
        self.now = 0.0
        self.tried: list[int] = []
        self._knee = knee
        self._most = most
        self._late = late
        self._up = self._level = 0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def want(self, calls: int) -> list[Beat]:
        self.tried.append(calls)
        self._level += calls > 0
        self._up = min(calls, self._most)
        beats = self.ask("report")
        if calls > self._most:
            beats[0].tally.closed["closed by the far side with 1013"] += calls - self._most
        return beats

    def ask(self, verb: Verb) -> list[Beat]:
        return [self._beat(self._up // 2), self._beat(self._up - self._up // 2)]

    def _beat(self, calls: int) -> Beat:
        tally = Tally(sent=50 * calls, asked=50 * calls, answered=50 * calls - (self._up > self._knee))
        tally.round_trips.add([0.001] * tally.answered)
        tally.lateness.add([self._late(self._level)] * tally.sent)
        return Beat(tally, calls, True, self.now, 0.4 * self.now)


class Seen:
    """A display that keeps what it is shown."""

    def __init__(self) -> None:
        self.judgements: list[Judged] = []
        self.moments: list[Moment] = []

    def opening(self, calls: int, up: int) -> None:
        assert up <= calls

    def moment(self, calls: int, moment: Moment) -> None:
        self.moments.append(moment)

    def judged(self, judged: Judged) -> None:
        self.judgements.append(judged)


def run(crew: FakeCrew, calls: int, ramp_to: int | None = None, *, seconds: float = 10.0) -> tuple[Outcome, Seen]:
    seen = Seen()
    schedule = Schedule(calls, ramp_to, 100, 25, 2.0, seconds)
    return run_load(crew, schedule, Limits(), seen, clock=lambda: crew.now, sleep=crew.sleep), seen


def test_a_level_is_held_and_told_second_by_second() -> None:
    outcome, seen = run(FakeCrew(500), 100)
    (judged,) = outcome.levels
    assert judged.held
    assert judged is seen.judgements[0]
    assert judged.level.up == 100
    assert judged.level.seconds == pytest.approx(10)
    assert judged.level.generator_cpu == pytest.approx([0.4, 0.4])
    assert len(seen.moments) == len(judged.level.moments) == 10
    assert outcome.knee is None


def test_a_soak_of_a_day_is_told_in_some_hundred_pieces() -> None:
    _, seen = run(FakeCrew(500), 100, seconds=86_400)
    assert 500 <= len(seen.moments) <= 601


def test_a_ramp_finds_the_knee() -> None:
    crew = FakeCrew(330)
    outcome, _ = run(crew, 100, 800)
    assert crew.tried == [100, 200, 300, 400, 0, 350, 0, 325], "after a failure the calls are other ones"
    assert outcome.knee == 325
    assert [judged.held for judged in outcome.levels] == [True, True, True, False, False, True]


def test_a_far_side_that_takes_no_more_calls_has_found_its_knee() -> None:
    outcome, _ = run(FakeCrew(5000, most=150), 100, 800)
    assert outcome.knee == 150
    assert "50 calls were refused or closed" in outcome.levels[1].failures[0]


def test_a_level_whose_load_was_late_is_measured_again() -> None:
    crew = FakeCrew(5000, late=lambda level: 0.1 if level == 2 else 0.001)
    outcome, _ = run(crew, 100, 300)
    assert crew.tried == [100, 200, 0, 200, 300]
    assert outcome.knee == 300
    assert all(judged.held for judged in outcome.levels)


def test_a_load_that_stays_late_ends_the_ramp_without_judging_the_far_side() -> None:
    crew = FakeCrew(5000, late=lambda level: 0.1 if level >= 2 else 0.001)
    outcome, _ = run(crew, 100, 300)
    assert crew.tried == [100, 200, 0, 200, 0, 200]
    assert outcome.knee == 100
    assert outcome.levels[-1].doubts
    assert not outcome.levels[-1].failures


def test_ctrl_c_leaves_what_was_measured_so_far() -> None:
    crew = FakeCrew(5000)

    pressed: list[bool] = []

    def sleep(seconds: float) -> None:
        crew.sleep(seconds)
        if crew.now > 7 and not pressed:
            pressed.append(True)
            raise KeyboardInterrupt

    outcome = run_load(
        crew, Schedule(100, None, 1, 1, 2.0, 60.0), Limits(), Seen(), clock=lambda: crew.now, sleep=sleep
    )
    assert outcome.interrupted
    assert 3 <= outcome.levels[0].level.seconds < 60
    assert outcome.levels[0].held, "the last answers had their time"


def test_where_no_call_can_be_opened_there_is_nothing_to_measure() -> None:
    with pytest.raises(LoadError, match="not one call could be opened: closed by the far side with 1013"):
        run(FakeCrew(5000, most=0), 100)
