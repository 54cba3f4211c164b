"""Streams whose socket fell: their calls wait a little for Telnyx to come back with another."""

import asyncio
from collections.abc import Callable, Iterator

from gateway.server.session import MediaSession

__all__ = ["LostStreams"]


class LostStreams:
    """Keeps them, each for the grace time.

    Args:
        grace: Seconds; 0 keeps none.
        on_over: Called with each session whose time is over.
    """

    def __init__(self, grace: float, on_over: Callable[[MediaSession], None]) -> None:
        self._grace = grace
        self._on_over = on_over
        self._waiting: dict[MediaSession, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[MediaSession]:
        """Oldest first; a copy, so that each may be ended."""
        return iter(tuple(self._waiting))

    def keep(self, session: MediaSession) -> bool:
        """Let the call of a session wait. Returns whether it does."""
        if not self._grace:
            return False
        loop = asyncio.get_running_loop()
        self._waiting[session] = loop.call_later(self._grace, self._over, session)
        return True

    def forget(self, session: MediaSession) -> None:
        """It came back, or has ended."""
        timer = self._waiting.pop(session, None)
        if timer is not None:
            timer.cancel()

    def _over(self, session: MediaSession) -> None:
        self.forget(session)
        self._on_over(session)
