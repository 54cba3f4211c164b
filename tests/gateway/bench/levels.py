"""Levels of load as tests want them."""

from typing import Any

from gateway.bench.level import Level, Moment
from gateway.bench.run import Judged
from gateway.bench.tally import Tally
from gateway.bench.verdict import Limits, doubts, failures


def level(
    calls: int = 10, *, trip: float = 0.001, late: float = 0.0005, cpu: float = 0.3, lost: int = 0, **fields: Any
) -> Level:
    """Ten seconds, with these round trips and this lateness, in seconds."""
    tally = Tally(sent=1000, asked=1000, answered=1000 - lost)
    tally.round_trips.add([trip] * 1000)
    tally.lateness.add([late] * 1000)
    moments = [
        Moment(float(n), calls, 1000 * trip, 1000 * trip, 1000 * late, cpu, 0.5, 2**20 * (100 + n))
        for n in range(1, 11)
    ]
    return Level(
        calls,
        calls,
        fields.pop("seconds", 10.0),
        tally,
        [cpu],
        **{"server_cpu": 5.0, "server_memory": 110 * 2**20, "idle_memory": 100 * 2**20, "moments": moments, **fields},
    )


def judged(limits: Limits | None = None, *, one: Level | None = None, **fields: Any) -> Judged:
    limits, made = limits or Limits(), one or level(**fields)
    return Judged(made, doubts(made, limits), failures(made, limits))
