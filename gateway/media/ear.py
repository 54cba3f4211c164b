"""How far the other end has come in hearing what was sent, told by the marks that come back.

A mark is sent behind a piece of sound, and its echo comes when the sound before it was played: a round trip after the
moment it tells of. So the quickest echo of a call tells what the round trip takes, and what an echo comes later than
that is the *lag*: how far the ear is behind our own deadlines. Between two marks the ear is taken to go on at the pace
of sound; past a mark whose echo is overdue it does not go. Where no mark ever came back, it hears at the deadlines.

`clear` returns every mark that waits, so an echo from before a `clear` tells of nothing: it is known by its name and
left out of account.
"""

from collections import deque
from typing import Final

import msgspec

__all__ = ["OWN_MARK", "Ear"]

OWN_MARK: Final = "gateway:"
"""What the names of the gateway's own marks begin with, and those of an application must not."""

_SLACK: Final = 0.1  # seconds that an echo may be late before the ear is taken to stand still
_PATIENCE: Final = 1.0  # seconds after which an echo is given up
_MAX_LAG: Final = 2.0
_MAX_MARKS: Final = 1000


class _Mark(msgspec.Struct, frozen=True, gc=False):
    name: str
    place: int  # samples that were sent before it
    deadline: float  # when the last of them is over


class Ear:
    """Follows the marks of one stream. Times are seconds on one monotonic clock, places samples that were sent.

    Attributes:
        lag: Seconds that the ear is behind the deadlines.
        confirmed: Place of the last mark that came back in its time; -1 before the first.
        marks_missing: Marks that never came back.
        pending: Those that are out, in order; for others to look at.
    """

    __slots__ = (
        "_quickest",
        "_stale",
        "confirmed",
        "lag",
        "marks_missing",
        "pending",
    )

    def __init__(self) -> None:
        self.lag = 0.0
        self.confirmed = -1
        self.marks_missing = 0
        self._quickest: float | None = None
        self.pending: deque[_Mark] = deque(maxlen=_MAX_MARKS)
        self._stale: deque[tuple[str, bool]] = deque(maxlen=_MAX_MARKS)  # name, and whether its echo is to be told

    def mark_sent(self, name: str, place: int, deadline: float) -> None:
        """Note a mark behind sound that is over at `deadline`; at the present, if nothing is being played."""
        self.pending.append(_Mark(name, place, deadline))

    def mark_returned(self, name: str, *, now: float) -> bool:
        """Take an echo; returns whether it is the application's, to be told."""
        for number, (stale, tell) in enumerate(self._stale):
            if stale == name:
                _drop(self._stale, number + 1)
                return tell
        for number, mark in enumerate(self.pending):
            if mark.name == name:
                self._stale.clear()  # echoes come in order: those will not come any more
                _drop(self.pending, number + 1)
                self._learn(mark, now)
                break
        return not _is_own(name)

    def time(self, now: float) -> float:
        """The deadline that the ear has come to by now."""
        time = now - self.lag
        if self.pending and self._quickest is not None:
            time = min(time, self.pending[0].deadline + self._quickest + _SLACK)
        return time

    def when(self, deadline: float) -> float:
        """When, as it looks now, the ear will have come to this deadline."""
        if self.pending and self._quickest is not None:
            first = self.pending[0]
            if first.deadline + self._quickest + _SLACK < deadline:
                return self._give_up_at(first)
        return deadline + self.lag

    def awaits(self, place: int) -> float | None:
        """Until when to wait for a mark at this place or before it; None where none is out."""
        return self._give_up_at(self.pending[0]) if self.pending and self.pending[0].place <= place else None

    def expire(self, now: float) -> None:
        """Give up the marks that should long have come back."""
        while self.pending and self._give_up_at(self.pending[0]) <= now:
            self.pending.popleft()
            self.marks_missing += 1

    def clear(self, place: int) -> None:
        """All marks come back at once, and nothing behind `place` was heard: the echoes tell nothing of the ear."""
        self._forget(place, tell_all=True)

    def take_back(self, place: int) -> list[tuple[int, str]]:
        """The same, but what stands behind `place` will be sent again, the application's marks among it.

        Returns:
            Those marks, with their places; the echoes that come now are not to be told.
        """
        again = [(mark.place, mark.name) for mark in self.pending if mark.place > place and not _is_own(mark.name)]
        self._forget(place, tell_all=False)
        return again

    def lose(self) -> list[str]:
        """The socket is gone: no mark comes back. Returns the application's, so that they can be sent on another."""
        names = [name for name, tell in self._stale if tell]
        names += [mark.name for mark in self.pending if not _is_own(mark.name)]
        self._stale.clear()
        self.pending.clear()
        return names

    def _forget(self, place: int, *, tell_all: bool) -> None:
        for mark in self.pending:
            self._stale.append((mark.name, not _is_own(mark.name) and (tell_all or mark.place <= place)))
        self.pending.clear()
        self.confirmed = min(self.confirmed, place)

    def _learn(self, mark: _Mark, now: float) -> None:
        late = max(0.0, now - mark.deadline)
        self._quickest = late if self._quickest is None else min(self._quickest, late)
        self.lag = min(late - self._quickest, _MAX_LAG)
        self.confirmed = mark.place

    def _give_up_at(self, mark: _Mark) -> float:
        if self._quickest is not None:
            return mark.deadline + self._quickest + self.lag + _PATIENCE
        return mark.deadline + (_SLACK if self.marks_missing else _PATIENCE)  # none ever came: it may not know marks


def _is_own(name: str) -> bool:
    return name.startswith(OWN_MARK)


def _drop(items: deque[_Mark] | deque[tuple[str, bool]], count: int) -> None:
    for _ in range(count):
        items.popleft()
