"""What is counted: `Meter` where it happens, fifty times a second for each call; `Tally` where it is added up."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from gateway.bench.histogram import Histogram

__all__ = ["Meter", "Tally"]

_BATCH: Final = 1000  # times that are kept before they are sorted in: about 50 us of work, so that nobody has to wait


@dataclass(slots=True)
class Tally:
    """What was counted within some time, of the frames that were sent while it was measured.

    Attributes:
        sent: Frames sent.
        asked: Questions sent that are to be answered: frames, pieces of sound, or pings, by the way of measuring.
        answered: Those that were.
        doubled: Answers that came more than once.
        foreign: Media messages that came and held nothing that was recognised.
        messages: Media messages that came.
        round_trips: From each question to its answer.
        lateness: Of what was sent, against its deadline.
        ended: Calls that came to the end of their time, and were replaced.
        refused: Calls that could not be opened, by the reason.
        closed: Calls that the far side closed or that had to be given up, by the reason.
        faults: Faults that were played, by their name.
        backlog: Most octets that one call's socket did not take at once.
    """

    sent: int = 0
    asked: int = 0
    answered: int = 0
    doubled: int = 0
    foreign: int = 0
    messages: int = 0
    round_trips: Histogram = field(default_factory=Histogram)
    lateness: Histogram = field(default_factory=Histogram)
    ended: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    closed: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    backlog: int = 0

    def add(self, other: "Tally") -> None:
        """Count what another has counted as well."""
        for name in ("sent", "asked", "answered", "doubled", "foreign", "messages", "ended"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("round_trips", "lateness"):
            getattr(self, name).merge(getattr(other, name))
        for name in ("refused", "closed", "faults"):
            getattr(self, name).update(getattr(other, name))
        self.backlog = max(self.backlog, other.backlog)

    @property
    def loss(self) -> float | None:
        """Share of the questions that were never answered; None where nothing was asked."""
        return None if not self.asked else max(0, self.asked - self.answered) / self.asked


class Meter:
    """Counts while a window is open; frames are cheap, so times are gathered and sorted in by the thousand.

    Attributes:
        tally: What was counted since `take`.
    """

    def __init__(self) -> None:
        self.tally = Tally()
        self._begin = self._end = float("inf")
        self._round_trips: list[float] = []
        self._lateness: list[float] = []

    def open(self, now: float) -> None:
        """Measure what is sent from now on; forget what was counted."""
        self.take()
        self._begin, self._end = now, float("inf")

    def close(self, now: float) -> None:
        """Measure nothing that is sent from now on; answers to what was sent before still count."""
        self._end = now

    def sent(self, due: float, now: float) -> None:
        """A frame was sent."""
        if self._begin <= now < self._end:
            self.tally.sent += 1
            self._lateness.append(now - due)
            if len(self._lateness) >= _BATCH:
                self._sort_in()

    def asked(self, now: float) -> None:
        """A question was sent."""
        if self._begin <= now < self._end:
            self.tally.asked += 1

    def answered(self, asked_at: float, now: float) -> None:
        """The answer came to a question that was sent then."""
        if self._begin <= asked_at < self._end:
            self.tally.answered += 1
            self._round_trips.append(now - asked_at)
            if len(self._round_trips) >= _BATCH:
                self._sort_in()

    def timed(self, asked_at: float, seconds: float) -> None:
        """A round trip was worked out, beside the answers that are counted."""
        if self._begin <= asked_at < self._end:
            self._round_trips.append(seconds)

    def take(self) -> Tally:
        """What was counted since the last time."""
        self._sort_in()
        tally, self.tally = self.tally, Tally()
        return tally

    def _sort_in(self) -> None:
        self.tally.round_trips.add(self._round_trips)
        self.tally.lateness.add(self._lateness)
        self._round_trips.clear()
        self._lateness.clear()
