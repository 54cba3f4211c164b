"""How fast what waits may be sent: some services refuse, or delay, what comes much faster than it was spoken."""

__all__ = ["Pace"]


class Pace:
    """Without a clock: the time is an argument.

    Args:
        factor: How many times faster than it was spoken sound may be sent.
        ahead: Seconds of sound that may be sent at once.
        now: When the connection began, in monotonic seconds.
    """

    def __init__(self, factor: float, *, ahead: float, now: float) -> None:
        self._factor = factor
        self._ahead = ahead
        self._began = now

    def wait(self, sent: float, *, now: float) -> float:
        """How many seconds the next sound has to wait, where so many seconds of it were sent already."""
        return max(0.0, (sent - self._ahead) / self._factor - (now - self._began))
