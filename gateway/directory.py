"""What the gateway knows of its calls: the ones that run and the last ones that ended.

Every change is told to whoever keeps the records beyond the process, and what was kept is taken back at the start.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from gateway.errors import StoreError
from gateway.lifecycle import CallLifecycle, CallState, Fact, HungUp, MediaSocket, SocketStage

__all__ = ["CallDirectory", "CallRecord"]

_MAX_PROBLEMS: Final = 20


class _Frozen(msgspec.Struct, omit_defaults=True):
    """A record as it is kept."""

    facts: list[tuple[Fact, float]]
    problems: list[str] = []
    media: dict[str, Any] | None = None


_decoder: Final = msgspec.json.Decoder(_Frozen)
_encoder: Final = msgspec.json.Encoder()


@dataclass(slots=True, eq=False)
class CallRecord:
    """One call, as the operator sees it.

    Attributes:
        call_control_id: Telnyx's id; hostile input, never a path and never a metric's label.
        life: What was told of it, and how far it has come.
        problems: What went wrong, in words, oldest first; bounded.
        media: Makes the report of the call's sound, running or final; None before the first stream.
    """

    call_control_id: str
    life: CallLifecycle = field(default_factory=CallLifecycle)
    problems: list[str] = field(default_factory=list)
    media: Callable[[], Mapping[str, Any]] | None = None

    @property
    def state(self) -> CallState:
        """How far the call has come."""
        return self.life.state

    @property
    def started_at(self) -> float:
        """When the gateway first heard of the call; Unix time."""
        return min(self.life.facts.values(), default=0.0)

    def describe(self) -> dict[str, Any]:
        """The record as JSON-ready values."""
        return {
            "call_control_id": self.call_control_id,
            "state": self.state.name.lower(),
            "direction": self.life.direction,
            "from": self.life.from_,
            "to": self.life.to,
            "reached": {state.name.lower(): at for state, at in self.life.reached().items()},
            "hangup_cause": self.life.hangup_cause,
            "problems": list(self.problems),
            "media": None if self.media is None else dict(self.media()),
        }

    def freeze(self) -> bytes:
        """The record as JSON to keep; `thaw` makes the same record of it."""
        media = None if self.media is None else dict(self.media())
        return _encoder.encode(_Frozen(list(self.life.facts.items()), self.problems, media))

    @classmethod
    def thaw(cls, call_control_id: str, frozen: bytes) -> "CallRecord":
        """Make a record of what `freeze` gave.

        Raises:
            StoreError: It is something else.
        """
        try:
            kept = _decoder.decode(frozen)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise StoreError(f"a call's record cannot be read: {error}") from error
        media = kept.media
        return cls(
            call_control_id,
            CallLifecycle(kept.facts),
            kept.problems,
            None if media is None else lambda: media,
        )


class CallDirectory:
    """All calls by `call_control_id`, oldest first.

    Args:
        keep_ended: How many calls to remember whose stream or life is over; the oldest are forgotten first.
        keep_open: How many others to remember. A call of which nothing more is ever told would stay otherwise.
        changed: Told of each record that has changed.
        given: Told of each call that was given away.
        clock: Unix time, in seconds.
    """

    def __init__(
        self,
        *,
        keep_ended: int = 1000,
        keep_open: int = 10_000,
        changed: Callable[[CallRecord], None] | None = None,
        given: Callable[[str], None] = lambda call_control_id: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._open: OrderedDict[str, CallRecord] = OrderedDict()
        self._ended: OrderedDict[str, CallRecord] = OrderedDict()
        self._keep_open = keep_open
        self._keep_ended = keep_ended
        self._changed = changed
        self._given = given
        self._clock = clock

    def __iter__(self) -> Iterator[CallRecord]:
        yield from self._ended.values()
        yield from self._open.values()

    def get(self, call_control_id: str) -> CallRecord | None:
        """The record of this call, or None."""
        return self._open.get(call_control_id) or self._ended.get(call_control_id)

    def tell(self, call_control_id: str, *facts: Fact, problem: str | None = None) -> CallRecord:
        """Take what is told of a call; makes its record where there is none.

        Args:
            call_control_id: Any text.
            facts: In any order, and as often as they are told.
            problem: What went wrong, in words for the operator. The first twenty of a call are kept, as the later
                ones are usually the same.
        """
        record = self.get(call_control_id)
        news = record is None
        if record is None:
            record = CallRecord(call_control_id)
        now = self._clock()
        for fact in facts:
            news |= record.life.tell(fact, now=now)
        if problem is not None and len(record.problems) < _MAX_PROBLEMS:
            record.problems.append(problem)
            news = True
        if news:
            self._file(record)
            if self._changed is not None:
                self._changed(record)
        return record

    def restore(self, record: CallRecord, *, longest_call: float) -> None:
        """Take back a record that another process kept: what that process was in the midst of is over.

        Args:
            record: The next one, oldest first.
            longest_call: Seconds after which a call is over even if nobody told of its end.
        """
        self._file(record)
        for end in _ends(record.life.sockets_open):
            self.tell(record.call_control_id, end, problem="the gateway was restarted during the stream")
        if record.state < CallState.ENDED and self._clock() - record.started_at > longest_call:
            self.tell(record.call_control_id, HungUp(), problem="nobody told of the hang-up")

    def give_away(self, call_control_id: str) -> bytes | None:
        """Forget a call, as another worker has it from now on; its record for `take_over`, None where there is none."""
        record = self.get(call_control_id)
        if record is None:
            return None
        self._open.pop(call_control_id, None)
        self._ended.pop(call_control_id, None)
        self._given(call_control_id)
        return record.freeze()

    def take_over(self, call_control_id: str, frozen: bytes) -> None:
        """Take what another worker was told of a call; its sockets there count as gone.

        Raises:
            StoreError: It is no record.
        """
        theirs = CallRecord.thaw(call_control_id, frozen)
        record = self.get(call_control_id) or CallRecord(call_control_id)
        for fact, at in theirs.life.facts.items():
            record.life.tell(fact, now=at)
        record.problems[:0] = theirs.problems
        del record.problems[_MAX_PROBLEMS:]
        if record.media is None:
            record.media = theirs.media
        for end in _ends(theirs.life.sockets_open):
            record.life.tell(end, now=self._clock())
        self._file(record)
        if self._changed is not None:
            self._changed(record)

    def _file(self, record: CallRecord) -> None:
        """Put a record where its state belongs, and forget the oldest where there are too many."""
        over = record.state >= CallState.STOPPED
        place, other, room = (
            (self._ended, self._open, self._keep_ended) if over else (self._open, self._ended, self._keep_open)
        )
        if record.call_control_id in place:
            return
        other.pop(record.call_control_id, None)
        place[record.call_control_id] = record
        if len(place) > room:
            place.popitem(last=False)


def _ends(sockets: Iterable[MediaSocket]) -> list[MediaSocket]:
    """How sockets end that nobody will tell more of."""
    return [
        MediaSocket(one.socket, SocketStage.STOPPED if one.stage is SocketStage.STARTED else SocketStage.ABANDONED)
        for one in sockets
    ]
