"""What the gateway knows of its calls: the ones that run and the last ones that ended.

Webhooks and the media socket both tell of a call, in any order, so a record only ever moves forward.
"""

import enum
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["CallDirectory", "CallRecord", "CallState"]


class CallState(enum.IntEnum):
    """How far a call has come; the order is the order of life."""

    INITIATED = 0
    ANSWERED = 1
    STREAMING = 2
    STOPPED = 3
    ENDED = 4


@dataclass(slots=True)
class CallRecord:
    """One call, as the operator sees it.

    Attributes:
        call_control_id: Telnyx's id; hostile input, never a path and never a metric's label.
        state: How far it has come.
        direction: `incoming` or `outgoing`; None where no webhook told.
        reached: Unix time at which each state was reached.
        hangup_cause: From `call.hangup`, such as `normal_clearing`.
        problems: What went wrong, in words, oldest first; bounded.
        media: Makes the report of the call's sound, running or final; None before the first stream.
    """

    call_control_id: str
    state: CallState = CallState.INITIATED
    direction: str | None = None
    reached: dict[CallState, float] = field(default_factory=dict)
    hangup_cause: str | None = None
    problems: list[str] = field(default_factory=list)
    media: Callable[[], Mapping[str, Any]] | None = None

    def advance(self, state: CallState, *, now: float) -> None:
        """Note that the call has come as far as `state`; a later state stays, whatever comes after it."""
        self.reached.setdefault(state, now)
        self.state = max(self.state, state)

    def note_problem(self, text: str) -> None:
        """Keep a problem for the operator; the first twenty are kept, the later ones are usually the same."""
        if len(self.problems) < 20:
            self.problems.append(text)

    def describe(self) -> dict[str, Any]:
        """The record as JSON-ready values."""
        return {
            "call_control_id": self.call_control_id,
            "state": self.state.name.lower(),
            "direction": self.direction,
            "reached": {state.name.lower(): at for state, at in sorted(self.reached.items())},
            "hangup_cause": self.hangup_cause,
            "problems": list(self.problems),
            "media": None if self.media is None else dict(self.media()),
        }


class CallDirectory:
    """All calls by `call_control_id`, oldest first.

    Args:
        keep_ended: How many calls to remember whose stream or life is over; the oldest are forgotten first.
        keep_open: How many others to remember. A call of which nothing more is ever told would stay otherwise.
        clock: Unix time, in seconds.
    """

    def __init__(
        self, *, keep_ended: int = 1000, keep_open: int = 10_000, clock: Callable[[], float] = time.time
    ) -> None:
        self._open: OrderedDict[str, CallRecord] = OrderedDict()
        self._ended: OrderedDict[str, CallRecord] = OrderedDict()
        self._keep_open = keep_open
        self._keep_ended = keep_ended
        self._clock = clock

    def __iter__(self) -> Iterator[CallRecord]:
        yield from self._ended.values()
        yield from self._open.values()

    def get(self, call_control_id: str) -> CallRecord | None:
        """The record of this call, or None."""
        return self._open.get(call_control_id) or self._ended.get(call_control_id)

    def reach(self, call_control_id: str, state: CallState) -> CallRecord:
        """Note that a call has come as far as `state`; makes its record where there is none."""
        record = self.get(call_control_id)
        if record is None:
            record = self._open[call_control_id] = CallRecord(call_control_id)
            if len(self._open) > self._keep_open:
                self._open.popitem(last=False)
        record.advance(state, now=self._clock())
        if record.state >= CallState.STOPPED and call_control_id in self._open:
            del self._open[call_control_id]
            self._ended[call_control_id] = record
            if len(self._ended) > self._keep_ended:
                self._ended.popitem(last=False)
        return record
