"""Levels, one after the other: one that is held, or many until the knee is found."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from gateway.bench.crew import Crew, LoadError
from gateway.bench.knee import KneeSearch
from gateway.bench.level import Level, Moment
from gateway.bench.server_process import ServerProcess
from gateway.bench.tally import Tally
from gateway.bench.verdict import Limits, doubts, failures
from gateway.bench.worker import Beat

__all__ = ["Display", "Judged", "Outcome", "Schedule", "run_load"]

_GRACE: Final = 1.0  # seconds that answers get after the last frame that counts
_HANG_UP: Final = 2.0  # seconds that calls get to say good-bye
_LOOK: Final = 0.1
_MOMENTS: Final = 600  # of one level: of a soak, each is some seconds long
_TRIES: Final = 3  # of a level in which the load was not in order
_OPENED_PER_SECOND: Final = 20  # at least, or the level begins without the rest
_OPEN_TIMEOUT: Final = 15.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """What is to be run.

    Attributes:
        calls: How many at once; with `ramp_to`, how many to begin with.
        ramp_to: How many at most; None holds `calls`.
        step: How many more each time.
        precision: How near the knee is to be known.
        settle: Seconds between the last call that opened and measuring.
        seconds: How long each level is measured.
    """

    calls: int
    ramp_to: int | None
    step: int
    precision: int
    settle: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Judged:
    """A level, and what it is worth."""

    level: Level
    doubts: list[str]
    failures: list[str]

    @property
    def held(self) -> bool:
        """Whether the far side kept all limits, and the load was in order."""
        return not self.doubts and not self.failures


@dataclass(slots=True)
class Outcome:
    """All that was run.

    Attributes:
        levels: In the order in which they were run; those that were repeated only once, as they were last.
        knee: The greatest number of calls whose limits held; None where none did, or no ramp was run.
        interrupted: Whether somebody stopped it.
    """

    levels: list[Judged] = field(default_factory=list)
    knee: int | None = None
    interrupted: bool = False


class Display(Protocol):
    """Is shown how it goes."""

    def opening(self, calls: int, up: int) -> None:
        """Calls are being opened."""

    def moment(self, calls: int, moment: Moment) -> None:
        """Some seconds of a level have passed."""

    def judged(self, judged: Judged) -> None:
        """A level is over."""


def run_load(
    crew: Crew,
    schedule: Schedule,
    limits: Limits,
    display: Display,
    *,
    server: ServerProcess | None = None,
    tells_loss: bool = True,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome:
    """Run all levels, until they are over or Ctrl-C is pressed.

    Args:
        crew: Makes the load.
        schedule: What is to be run.
        limits: By which each level is judged.
        display: Is shown how it goes.
        server: The far side's process, where it can be read.
        tells_loss: Whether what is not answered was lost.
        clock: Monotonic seconds.
        sleep: Lets them pass.

    Raises:
        LoadError: Not one call could be opened, or a process of the load has died.
    """
    outcome = Outcome()
    runner = _Runner(crew, schedule, display, server=server, tells_loss=tells_loss, clock=clock, sleep=sleep)
    ramp_to = schedule.ramp_to
    search = KneeSearch(
        schedule.calls, schedule.calls if ramp_to is None else ramp_to, schedule.step, precision=schedule.precision
    )
    judged: Judged | None = None
    try:
        while (calls := search.next()) is not None:
            for _ in range(_TRIES if ramp_to is not None else 1):
                level = runner.run(calls, anew=judged is not None and not judged.held)
                judged = Judged(level, doubts(level, limits), failures(level, limits))
                if not judged.doubts:
                    break
            assert judged is not None
            outcome.levels.append(judged)
            display.judged(judged)
            if judged.doubts:
                break  # more calls would not be better measured
            search.judge(calls, held=judged.held)
    except KeyboardInterrupt:
        outcome.interrupted = True
        if runner.level is not None:
            level = runner.finish(runner.level)
            outcome.levels.append(Judged(level, doubts(level, limits), failures(level, limits)))
    outcome.knee = search.held if ramp_to is not None else None
    return outcome


class _Runner:
    def __init__(
        self,
        crew: Crew,
        schedule: Schedule,
        display: Display,
        *,
        server: ServerProcess | None,
        tells_loss: bool,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self.level: Level | None = None  # the one that is being measured
        self._crew = crew
        self._schedule = schedule
        self._display = display
        self._server = server
        self._tells_loss = tells_loss
        self._clock = clock
        self._sleep = sleep
        idle = None if server is None else server.read()
        self._idle_memory = None if idle is None else idle.memory

    def run(self, calls: int, *, anew: bool) -> Level:
        """Measure one level; `anew` with other calls than those that are up."""
        crew, level = self._crew, Level(calls, idle_memory=self._idle_memory, tells_loss=self._tells_loss)
        if anew:
            crew.want(0)
            self._sleep(_HANG_UP)
            crew.ask("report")  # what came of those calls was told already
        self._open(level)
        self._sleep(self._schedule.settle)
        opened = crew.ask("open")
        _add_ends(level.tally, opened)
        self.level = level
        self._measure(level, opened)
        return self.finish(level)

    def finish(self, level: Level) -> Level:
        """Measure no more; give the last answers their time."""
        last = self._crew.ask("close")
        self._sleep(_GRACE)
        for beat in (*last, *self._crew.ask("report")):
            level.tally.add(beat.tally)
        self.level = None
        return level

    def _open(self, level: Level) -> None:
        crew = self._crew
        beats = crew.want(level.calls)
        deadline = self._clock() + _OPEN_TIMEOUT + level.calls / _OPENED_PER_SECOND
        while True:
            _add_ends(level.tally, beats)
            up = sum(beat.up for beat in beats)
            self._display.opening(level.calls, up)
            if all(beat.settled for beat in beats) or self._clock() > deadline:
                break
            self._sleep(_LOOK)
            beats = crew.ask("report")
        if not up:
            reasons = level.tally.refused or level.tally.closed
            why = reasons.most_common(1)[0][0] if reasons else "none was up in time"
            raise LoadError(f"not one call could be opened: {why}")

    def _measure(self, level: Level, opened: list[Beat]) -> None:
        begin = self._clock()
        step = max(1.0, self._schedule.seconds / _MOMENTS)
        use = None if self._server is None else self._server.read()
        first_cpu = None if use is None else use.cpu
        before, cpu_before = opened, first_cpu
        while (past := self._clock() - begin) < self._schedule.seconds:
            self._sleep(min(step, self._schedule.seconds - past))
            beats = self._crew.ask("report")
            some = Tally()
            for beat in beats:
                some.add(beat.tally)
            level.tally.add(some)
            level.up = sum(beat.up for beat in beats)
            level.seconds = beats[0].at - opened[0].at
            level.generator_cpu = _shares(opened, beats)
            use = None if self._server is None else self._server.read()
            level.server_gone = self._server is not None and use is None
            server_share = None
            if use is not None and cpu_before is not None and first_cpu is not None:
                server_share = (use.cpu - cpu_before) / max(1e-3, beats[0].at - before[0].at)
                cpu_before = use.cpu
                level.server_cpu, level.server_memory = use.cpu - first_cpu, use.memory
            moment = Moment(
                level.seconds,
                level.up,
                _ms(some.round_trips.percentile(50)),
                _ms(some.round_trips.percentile(99)),
                _ms(some.lateness.percentile(99)),
                max(_shares(before, beats)),
                server_share,
                None if use is None else use.memory,
            )
            before = beats
            level.moments.append(moment)
            self._display.moment(level.calls, moment)
            if level.server_gone:
                break


def _add_ends(tally: Tally, beats: list[Beat]) -> None:
    """Of the time before a level is measured, only the calls that came to nothing count."""
    for beat in beats:
        tally.refused.update(beat.tally.refused)
        tally.closed.update(beat.tally.closed)


def _shares(first: list[Beat], last: list[Beat]) -> list[float]:
    return [(b.cpu - a.cpu) / max(1e-3, b.at - a.at) for a, b in zip(first, last, strict=True)]


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else 1000 * seconds
