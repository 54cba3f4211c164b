"""The way of media out of the simulator: straight, or through the faults that are in force at the moment."""

from collections import deque
from collections.abc import Callable
from functools import partial

from gateway.simulator.clock import Timer
from gateway.simulator.faults import MediaFaults
from gateway.simulator.media_faults import MediaFaultEngine, Spoil, Timed
from gateway.simulator.media_side import MediaSide

__all__ = ["FaultyWay"]

_NONE = MediaFaults()


class FaultyWay:
    """One stream's media on its way.

    Args:
        send: Puts a message on the wire.
        side: Of the call.
        spoil: Makes a message malformed.
    """

    def __init__(self, send: Callable[[bytes], None], side: MediaSide, *, spoil: Spoil) -> None:
        self._send = send
        self._side = side
        self._clock = side.clock
        self._spoil = spoil
        self._faults = _NONE
        self._engine: MediaFaultEngine | None = None
        self._waiting: deque[Timed] = deque()
        self._timer: Timer | None = None

    def push(self, message: bytes) -> None:
        """Send a message, or whatever comes of it."""
        faults = self._side.book.of(self._side.call_control_id).media
        if faults is not self._faults:
            self._change(faults)
        if self._engine is None and not self._waiting:
            self._send(message)
            return
        now = self._clock.now()
        self._queue([(now, message)] if self._engine is None else self._engine.push(message, now))

    def flush(self) -> None:
        """Send at once whatever is still under way."""
        if self._engine is not None:
            self._waiting.extend(self._engine.flush(self._clock.now()))
        self._release(float("inf"))

    def close(self) -> None:
        """Send nothing more."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _change(self, faults: MediaFaults) -> None:
        now = self._clock.now()
        if self._engine is not None:
            self._queue(self._engine.flush(now))
        self._faults = faults
        self._engine = None
        if faults != _NONE:
            dice = self._side.book.stream_dice(self._side.call_control_id)
            self._engine = MediaFaultEngine(faults, dice, spoil=self._spoil, note=partial(self._side.note, "media"))

    def _queue(self, timed: list[Timed]) -> None:
        self._waiting.extend(timed)
        self._release(self._clock.now())

    def _release(self, now: float) -> None:
        while self._waiting and self._waiting[0][0] <= now:
            self._send(self._waiting.popleft()[1])
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            delay = max(0.0, self._waiting[0][0] - self._clock.now())
            self._timer = self._clock.call_later(delay, self._due)

    def _due(self) -> None:
        self._timer = None
        self._release(self._clock.now())
