"""What waits for a sink: a bounded queue between the frame's way and whoever hands the sink its frames.

`write` is a plain call and never waits; when the queue is full, the sink's own rule says what gives way. The other end
is woken once for many frames: a tenth of a second after the first came, and all that came since is handed over.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from gateway.errors import SinkError
from gateway.media.frame import AudioFrame, FrameTrack
from gateway.sinks.base import ALL_TRACKS
from gateway.sinks.delivery import Delivery
from gateway.sinks.spill import Spill

__all__ = ["Buffered", "WakeAt"]

WakeAt: TypeAlias = Callable[[float, Callable[[float], None]], None]
"""Calls a function with the present time, once, when a deadline has passed: `Pacer.wake_at`."""


class Buffered:
    """The frames that wait for one sink.

    `write`, `ready`, `close` and `discard` belong to the event loop; `pop` may be called from one other thread.

    Args:
        delivery: Says how many may wait, and what happens then.
        clock: Monotonic seconds.
        wake_at: On the same clock.
        spill_folder: Where what does not fit in memory waits, if the rule is `spill`.
        on_drop: Told once, as the first frame is dropped.

    Attributes:
        popped: How many frames were taken out.
        lag_max: Seconds of sound that waited, at the most.
        closed: No frame will be added.
    """

    def __init__(
        self,
        delivery: Delivery,
        *,
        clock: Callable[[], float],
        wake_at: WakeAt,
        spill_folder: Path | None = None,
        on_drop: Callable[[], None],
    ) -> None:
        self.popped = 0
        self.lag_max = 0.0
        self.closed = False
        self._delivery = delivery
        self._clock = clock
        self._wake_at = wake_at
        self._on_drop = on_drop
        self._frames: deque[AudioFrame] = deque()
        self._room = delivery.frames  # 0 while frames go to disk
        self._dropped = 0
        self._spill = Spill(spill_folder, delivery.spill_bytes) if delivery.full == "spill" else None
        self._awake = False  # the reader is, or will be by itself
        self._told = False
        self._tracks = ALL_TRACKS
        self._something = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many frames wait."""
        return len(self._frames) + (0 if self._spill is None else self._spill.waiting)

    @property
    def dropped(self) -> int:
        """How many frames gave way."""
        return self._dropped + (0 if self._spill is None else self._spill.dropped)

    def write(self, frame: AudioFrame) -> None:
        """Add a frame.

        Raises:
            SinkError: There is no room, and the rule is to stop the sink.
        """
        if len(self._frames) >= self._room:
            self._overflow(frame)
            return
        self._frames.append(frame)
        if not self._awake:
            self._arm()

    def pop(self) -> AudioFrame | None:
        """Take the oldest frame in memory; None if there is none. What is on disk comes with `ready`."""
        try:
            frame = self._frames.popleft()
        except IndexError:  # not asked before: the event loop may drop the last one in between
            return None
        self.popped += 1
        return frame

    async def ready(self) -> bool:
        """Wait until there is something to pop; False when there is nothing and nothing more will come."""
        while not self._frames:
            if not self._room:
                await self._unspill()
            elif self.closed:
                return False
            else:
                self._awake = False
                self._something.clear()
                await self._something.wait()
        self._note_lag()
        return True

    def keep(self, tracks: frozenset[FrameTrack]) -> None:
        """Forget the frames of all other tracks: nobody wants them."""
        self._tracks = tracks
        self._frames = deque(frame for frame in self._frames if frame.track in tracks)

    def close(self) -> None:
        """No frame will be added; what is here can still be taken."""
        self.closed = self._awake = True
        self._something.set()

    def discard(self) -> None:
        """Drop what is here."""
        self._note_lag()
        self._dropped = self.dropped + self.waiting
        self._frames.clear()
        if self._spill is not None:
            self._spill.close()
            self._spill = None

    def lag(self) -> float:
        """Seconds of sound that wait: from the oldest frame to the newest of its track."""
        frames = [*self._frames]
        if not frames:
            return 0.0
        if self._spill is not None:
            frames += self._spill.newest
        oldest = frames[0]
        newest = next(frame for frame in reversed(frames) if frame.track == oldest.track)
        return (newest.timestamp + len(newest.samples) - oldest.timestamp) / oldest.sample_rate

    def _arm(self) -> None:
        self._awake = True
        if self._delivery.linger > 0:
            self._wake_at(self._clock() + self._delivery.linger, self._wake)
        else:
            self._something.set()

    def _wake(self, now: float) -> None:
        del now
        self._something.set()

    def _overflow(self, frame: AudioFrame) -> None:
        match self._delivery.full:
            case "stop":
                raise SinkError(f"{self._room} frames wait for it, and it is to stop then")
            case "drop_newest":
                self._drop()
            case "drop_oldest":
                self._frames.append(frame)
                if len(self._frames) > self._room:  # the reader may have taken some just now
                    with suppress(IndexError):
                        self._frames.popleft()
                        self._drop()
            case "spill":
                self._room = 0  # all further frames come behind it
                assert self._spill is not None
                self._spill.put(frame)
                if self._spill.dropped:
                    self._tell()

    async def _unspill(self) -> None:
        """Fetch the next frames from disk; when there are none left, there is room in memory again."""
        assert self._spill is not None
        frames = await self._spill.take()
        if frames:
            self._frames.extend(frame for frame in frames if frame.track in self._tracks)
        else:
            self._room = self._delivery.frames

    def _drop(self) -> None:
        self._dropped += 1
        self._tell()

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            self._note_lag()
            self._on_drop()

    def _note_lag(self) -> None:
        self.lag_max = max(self.lag_max, self.lag())
