"""The simulator's time: handed in as a value, so that minutes of a call can pass in milliseconds.

Nothing else in the simulator reads a clock or arms a timer of the event loop, but for the time limits on real sockets.
"""

import asyncio
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Clock", "Timer", "Timers"]


class Timer(Protocol):
    """What `Clock.call_later` gives back."""

    def cancel(self) -> None:
        """Never call, if it has not called yet."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Two times and a timer.

    Attributes:
        now: Seconds that only ever grow, for durations and deadlines.
        unix: Unix time in seconds, for what is written down and signed.
        call_later: Calls a function so many seconds of `now` later, once.
    """

    now: Callable[[], float]
    unix: Callable[[], float]
    call_later: Callable[[float, Callable[[], object]], Timer]

    @classmethod
    def of_loop(cls) -> "Clock":
        """Real time, on the event loop that runs."""
        loop = asyncio.get_running_loop()
        return cls(loop.time, time.time, loop.call_later)

    async def sleep(self, delay: float) -> None:
        """Wait so many seconds."""
        over = asyncio.Event()
        timer = self.call_later(delay, over.set)
        try:
            await over.wait()
        finally:
            timer.cancel()


class Timers:
    """Timers that are given up together."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._numbers = itertools.count()
        self._armed: dict[int, Timer] = {}

    def later(self, delay: float, callback: Callable[[], object]) -> None:
        """Call a function so many seconds from now."""
        number = next(self._numbers)

        def fire() -> None:
            del self._armed[number]
            callback()

        self._armed[number] = self._clock.call_later(delay, fire)

    def cancel(self) -> None:
        """Give up all that have not called yet."""
        for timer in self._armed.values():
            timer.cancel()
        self._armed.clear()
