"""What the sinks of all calls share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.sinks.process import WorkerProcesses
from gateway.sinks.watch import StallWatch

__all__ = ["SinkServices"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkServices:
    """What the gateway gives the sinks of every call.

    Attributes:
        budget: Seconds that one call of a sink may keep the event loop.
        preroll: Seconds of each track that are kept for sinks that join late; 0: none.
        spill_folder: Where what does not fit in memory waits; the system's for temporary files if None.
        processes: Where sinks run that want a process; without, they fail.
        watch: Tells when the event loop stood still; without, only a sink's first frames are timed.
    """

    budget: float = 0.010
    preroll: float = 0.0
    spill_folder: Path | None = None
    processes: WorkerProcesses | None = None
    watch: StallWatch | None = None

    def describe(self) -> dict[str, Any]:
        """Counters as JSON-ready values."""
        return {} if self.watch is None else self.watch.describe()
