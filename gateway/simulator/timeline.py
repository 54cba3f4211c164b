"""The one log of everything that happened: commands, webhooks, streams, frame counts, people, faults.

Each entry is JSON-ready, has a number that only grows, and says which call it belongs to, if any. Entries are kept up
to a number, for the simulator and for each call; older ones go first, and how many went is told.
"""

from collections import deque
from typing import Any, Final, TypeAlias

from gateway.simulator.clock import Clock
from gateway.simulator.leg import iso_time

__all__ = ["CallTimeline", "Entry", "Timeline"]

_MAX_ENTRIES: Final = 20_000
_MAX_CALL_ENTRIES: Final = 5_000

Entry: TypeAlias = dict[str, Any]


class _Log:
    def __init__(self, max_entries: int) -> None:
        self._entries: deque[Entry] = deque(maxlen=max_entries)
        self.dropped = 0

    def append(self, entry: Entry) -> None:
        self.dropped += len(self._entries) == self._entries.maxlen
        self._entries.append(entry)

    def entries(self, *, after: int = 0, kind: str | None = None) -> list[Entry]:
        """Those with a higher number than `after`, oldest first; all kinds if None."""
        return [entry for entry in self._entries if entry["number"] > after and kind in (None, entry["kind"])]


class Timeline(_Log):
    """The log of a simulator."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(_MAX_ENTRIES)
        self._clock = clock
        self._number = 0

    def note(self, kind: str, **fields: Any) -> Entry:
        """Write something down.

        Args:
            kind: `command`, `query`, `webhook`, `call`, `stream`, `media`, `person` or `fault`.
            **fields: What is to be said of it; JSON-ready.
        """
        self._number += 1
        entry = {"number": self._number, "time": iso_time(self._clock.unix()), "kind": kind, **fields}
        self.append(entry)
        return entry


class CallTimeline(_Log):
    """The log of one call; what it gets, the simulator's gets too."""

    def __init__(self, timeline: Timeline, call_control_id: str) -> None:
        super().__init__(_MAX_CALL_ENTRIES)
        self._timeline = timeline
        self._call_control_id = call_control_id

    def note(self, kind: str, **fields: Any) -> None:
        """Write something about this call down."""
        self.append(self._timeline.note(kind, call_control_id=self._call_control_id, **fields))
