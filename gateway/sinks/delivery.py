"""How a sink wants its frames: who calls it, at which rate, what waits for it and what gives way when it is late."""

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

from gateway.sinks.base import SinkSource, StreamInfo

__all__ = ["By", "Declared", "Delivery", "Overflow", "Restart", "delivery_of"]

By: TypeAlias = Literal["call", "task", "thread", "process"]
"""Who calls `write`; see `Delivery`."""

Overflow: TypeAlias = Literal["drop_oldest", "drop_newest", "spill", "stop"]
"""What happens when a sink's buffer is full; nobody ever waits for it.

`drop_oldest` suits what lives in the present (a transcriber of a live call), `drop_newest` what needs an unbroken
beginning, `spill` what may be late but must be whole: it goes to disk, up to `spill_bytes`, and then the newest is
dropped. `stop` ends the sink: it fails, and is restarted where it says so. The first three count what they drop.
"""

_RATES: Final = range(4000, 192_001)


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """When a sink that failed is opened again. Seconds.

    Attributes:
        first: Wait before the first new attempt; each further one waits twice as long.
        longest: Longest wait.
        attempts: So many in a row, then the sink has failed for good.
        healthy: A sink that ran this long begins anew, with the first wait and all attempts.
    """

    first: float = 1.0
    longest: float = 30.0
    attempts: int = 5
    healthy: float = 60.0

    def delay(self, attempt: int) -> float | None:
        """How long to wait before this attempt, counted from 1; None if there is to be none."""
        if attempt > self.attempts:
            return None
        doublings = min(attempt - 1, 60)  # more are longer than anything, and then longer than a float
        return float(min(self.longest, self.first * 2**doublings))


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What a sink asks of the gateway; a class attribute `delivery` of the sink.

    Attributes:
        by: Who calls `write`. `call`: the frame's own way, at once; for what never waits. `task`: `write` is a
            coroutine function. `thread`: `write` may block; opening and closing happen in the thread as well.
            `process`: the same in a worker process that all streams of this sink share, a thread each.
        sample_rate: What frames are converted to, in Hz; None: as they come.
        frames: How many may wait: 250 are five seconds of one track. Until the sink is open, they wait for every sink.
        full: See `Overflow`.
        spill_bytes: How much may wait on disk; a second of 8 kHz sound takes about 25 kB, and 1 MiB is the least.
        linger: Seconds that a frame may wait for more, so that one wake-up hands over many; 0: at once.
        preroll: Seconds from before the sink was added, as far as they are kept (GATEWAY_PREROLL_SECONDS).
        restart: When it is opened again after a failure; None: never.
        open_timeout: Seconds it may take to open.
        close_timeout: Seconds it may take to be given what waits as the call ends, and as many to close.

    Raises:
        ValueError: A value is out of its range.
    """

    by: By = "call"
    sample_rate: int | None = None
    frames: int = 250
    full: Overflow = "drop_oldest"
    spill_bytes: int = 64 * 2**20
    linger: float = 0.1
    preroll: float = 0.0
    restart: Restart | None = None
    open_timeout: float = 10.0
    close_timeout: float = 30.0

    def __post_init__(self) -> None:
        possible = {
            "by": self.by in get_args(By),
            "sample_rate": self.sample_rate is None or self.sample_rate in _RATES,
            "frames": self.frames >= 1,
            "full": self.full in get_args(Overflow),
            "spill_bytes": self.spill_bytes >= 2**20,
            "linger": 0 <= self.linger <= 60,
            "preroll": self.preroll >= 0,
            "open_timeout": self.open_timeout > 0,
            "close_timeout": self.close_timeout > 0,
        }
        for name, is_possible in possible.items():
            if not is_possible:
                raise ValueError(f"{name} is {getattr(self, name)!r}, and that cannot be")

    def __str__(self) -> str:
        parts = [] if self.sample_rate is None else [f"Resampled({self.sample_rate})"]
        if self.by != "call":
            parts += [f"Buffered({self.frames}, {self.full})", self.by]
        return " -> ".join(parts) or "call"


@dataclass(frozen=True, slots=True)
class Declared:
    """A source with another delivery than its own: for a function, or for what the settings say."""

    source: SinkSource
    delivery: Delivery

    def __call__(self, info: StreamInfo) -> Any:
        """Make a sink."""
        return self.source(info)


def delivery_of(source: object) -> Delivery:
    """What this source's sinks, or this sink, ask for.

    Raises:
        TypeError: It has a `delivery` that is something else.
    """
    delivery = getattr(source, "delivery", None)
    if delivery is None:
        return Delivery()
    if not isinstance(delivery, Delivery):
        raise TypeError(f"its delivery is {delivery!r}, want a Delivery")
    return delivery
