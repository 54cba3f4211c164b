"""What a level's figures are worth: whether the load itself was in order, and whether the far side kept its limits."""

from collections import Counter
from dataclasses import dataclass
from math import inf
from typing import Final

from gateway.bench.level import Level

__all__ = ["Limits", "doubts", "failures"]

_CORE_FULL: Final = 0.9


@dataclass(frozen=True, slots=True)
class Limits:
    """What is asked of the far side, and of the load; infinity asks nothing.

    Attributes:
        max_p50_ms: Of the round trips.
        max_p99_ms: Likewise.
        max_loss: Share of what was sent that never came back.
        max_failed: Calls that could not be opened, or were closed by the far side.
        max_server_cpu: Of a core, above 1 with several.
        max_growth_mib: Of the server's memory while it was measured.
        max_late_ms: 99th percentile of how late the load itself was.
    """

    max_p50_ms: float = inf
    max_p99_ms: float = 20.0
    max_loss: float = 0.0
    max_failed: int = 0
    max_server_cpu: float = inf
    max_growth_mib: float = inf
    max_late_ms: float = 5.0


def doubts(level: Level, limits: Limits) -> list[str]:
    """Why the figures would tell about the load rather than the far side; empty if they do not."""
    found = []
    late = level.tally.lateness.percentile(99)
    if late is not None and 1000 * late > limits.max_late_ms:
        found.append(
            f"the load was late: p99 {1000 * late:.1f} ms behind its deadlines, limit {limits.max_late_ms:g} ms"
        )
    busiest = max(level.generator_cpu, default=0.0)
    if busiest > _CORE_FULL:
        found.append(f"the load had no CPU left: {busiest:.0%} of a core, limit {_CORE_FULL:.0%}")
    return found


def failures(level: Level, limits: Limits) -> list[str]:
    """Which limits the far side did not keep; empty if it kept all."""
    tally, found = level.tally, []
    if level.server_gone:
        found.append("the server's process has ended")
    failed = tally.refused.total() + tally.closed.total()
    if failed > limits.max_failed:
        found.append(f"{failed} calls were refused or closed ({_most(tally.refused + tally.closed)})")
    if tally.sent and not tally.answered:
        found.append("nothing was answered that could be recognised: see --measure")
    for percent, limit in ((50, limits.max_p50_ms), (99, limits.max_p99_ms)):
        trip = tally.round_trips.percentile(percent)
        if trip is not None and 1000 * trip > limit:
            found.append(f"p{percent} is {1000 * trip:.2f} ms, limit {limit:g} ms")
    loss = level.loss
    if loss is not None and loss > limits.max_loss:
        found.append(
            f"{tally.asked - tally.answered} of {tally.asked} were lost ({loss:.3%}), limit {limits.max_loss:.3%}"
        )
    for name, value, most, unit in (
        ("the server's CPU", level.server_share, limits.max_server_cpu, "of a core"),
        ("the server's memory grew by", level.growth_mib, limits.max_growth_mib, "MiB"),
    ):
        if value is not None and value > most:
            found.append(f"{name} {value:.2f} {unit}, limit {most:g}")
    return found


def _most(reasons: Counter[str]) -> str:
    return ", ".join(f"{reason}: {count}" for reason, count in reasons.most_common(3))
