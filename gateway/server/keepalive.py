"""Whether the other end of a socket still lives: decided without a clock.

Anything that comes is a sign of life, so a socket that carries sound is never asked. One that falls silent gets a
ping; if nothing at all follows, it is dead. A peer that is gone without a word (its machine, or a cable) shows this
way and no other.
"""

import enum

__all__ = ["KeepAlive", "Verdict"]


class Verdict(enum.Enum):
    """What to do about a socket."""

    ALIVE = "alive"
    ASK = "ask"
    DEAD = "dead"


class KeepAlive:
    """Watches one socket.

    Args:
        interval: Seconds of silence after which to ask.
        timeout: Seconds of silence after the question.
        now: The present; monotonic seconds.
    """

    __slots__ = ("_asked_at", "_interval", "_timeout", "last_heard")

    def __init__(self, interval: float, timeout: float, *, now: float) -> None:
        self.last_heard = now  # set by the owner whenever octets come
        self._interval = interval
        self._timeout = timeout
        self._asked_at: float | None = None

    def check(self, *, now: float) -> Verdict:
        """Judge the socket now; `ASK` is said once for each silence."""
        if self._asked_at is not None and self.last_heard >= self._asked_at:
            self._asked_at = None
        if self._asked_at is not None:
            return Verdict.DEAD if now >= self._asked_at + self._timeout else Verdict.ALIVE
        if now >= self.last_heard + self._interval:
            self._asked_at = now
            return Verdict.ASK
        return Verdict.ALIVE

    def deadline(self) -> float:
        """When to check next, on the clock of `now`."""
        if self._asked_at is not None and self.last_heard < self._asked_at:
            return self._asked_at + self._timeout
        return self.last_heard + self._interval
