"""One level of load, as it was measured: so many calls for so long."""

import statistics
from dataclasses import dataclass, field
from typing import Final

from gateway.bench.tally import Tally

__all__ = ["Level", "Moment"]

_MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Moment:
    """Some seconds of a level.

    Attributes:
        seconds: When they ended, since the level was begun to be measured.
        up: Calls that were up then.
        p50_ms: Median of the round trips in them; None where none came.
        p99_ms: Likewise.
        late_p99_ms: How late the load was.
        generator_cpu: The busiest process of the load, as a share of a core.
        server_cpu: As a share of a core, above 1 with several; None where it is not read.
        server_memory: Octets; None likewise.
    """

    seconds: float
    up: int
    p50_ms: float | None
    p99_ms: float | None
    late_p99_ms: float | None
    generator_cpu: float
    server_cpu: float | None = None
    server_memory: int | None = None


@dataclass(slots=True)
class Level:
    """What one level came to.

    Attributes:
        calls: How many were wanted.
        up: How many spoke in the end.
        seconds: How long it was measured.
        tally: What was counted; calls that were refused or closed, from when the level was begun.
        generator_cpu: Of each process of the load, as a share of a core.
        server_cpu: Seconds; None where it is not read.
        server_memory: Octets in the end; None likewise.
        idle_memory: Octets before the first call of all; None likewise.
        tells_loss: Whether what is not answered was lost; not so where sound was not recognised.
        server_gone: Whether the server's process has ended.
        moments: What happened when.
    """

    calls: int
    up: int = 0
    seconds: float = 0.0
    tally: Tally = field(default_factory=Tally)
    generator_cpu: list[float] = field(default_factory=list)
    server_cpu: float | None = None
    server_memory: int | None = None
    idle_memory: int | None = None
    tells_loss: bool = True
    server_gone: bool = False
    moments: list[Moment] = field(default_factory=list)

    @property
    def loss(self) -> float | None:
        """Share of what was asked that was never answered; None where that is not known."""
        return self.tally.loss if self.tells_loss else None

    @property
    def server_share(self) -> float | None:
        """Of a core, above 1 with several."""
        return None if self.server_cpu is None or not self.seconds else self.server_cpu / self.seconds

    @property
    def server_us_per_frame(self) -> float | None:
        """Microseconds of CPU for a frame sent to the server, and for what it made of it."""
        return None if self.server_cpu is None or not self.tally.sent else self.server_cpu / self.tally.sent * 1e6

    @property
    def memory_per_call(self) -> float | None:
        """Octets of the server's memory for each call that is up."""
        if self.server_memory is None or self.idle_memory is None or not self.up:
            return None
        return (self.server_memory - self.idle_memory) / self.up

    @property
    def growth_mib(self) -> float | None:
        """How much more memory the server had in the last tenth of the time than in the second one.

        The first tenth is left out: a server that has just got its calls is still filling what it keeps.
        """
        seen = [moment.server_memory for moment in self.moments if moment.server_memory is not None]
        tenth = max(1, len(seen) // 10)
        if len(seen) < 3:
            return None
        return (statistics.median(seen[-tenth:]) - statistics.median(seen[tenth : 2 * tenth])) / _MIB
