"""The other end of the wire, as far as the ear goes: it plays what comes, in real time, and returns marks."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from audio_codecs import Samples

FRAME_SECONDS = 0.02


@dataclass
class FarEnd:
    """Plays frames of raw int16 samples from the moment they come, one after the other.

    Attributes:
        latency: Seconds that a message takes, each way.
        heard: Every frame that began to be played.
        returned: Marks under way back, with the time they come at.
        gaps: Silence between two frames, in seconds, where there was some.
    """

    frame: int
    latency: float = 0.0
    heard: list[Samples] = field(default_factory=list)
    returned: deque[tuple[float, str]] = field(default_factory=deque)
    gaps: list[float] = field(default_factory=list)
    free_at: float = -np.inf  # when all that came was played
    _queue: deque[tuple[float, Samples | str]] = field(default_factory=deque)  # when it begins, or is reached

    def receive(self, due: Sequence[bytes | str], *, now: float) -> None:
        """Messages that are sent now."""
        arrival = now + self.latency
        for item in due:
            if isinstance(item, str):
                self._queue.append((max(self.free_at, arrival), item))
                continue
            if arrival > self.free_at + 1e-9 and np.isfinite(self.free_at):
                self.gaps.append(arrival - self.free_at)
            self.free_at = max(self.free_at, arrival)
            samples = np.frombuffer(item, np.int16)
            assert len(samples) >= self.frame
            assert len(samples) % self.frame == 0
            for at in range(0, len(samples), self.frame):
                self._queue.append((self.free_at, samples[at : at + self.frame]))
                self.free_at += FRAME_SECONDS

    def stall(self, seconds: float) -> None:
        """Fall behind: all that waits is played so much later."""
        self._queue = deque((time + seconds, item) for time, item in self._queue)
        self.free_at += seconds

    def clear(self, *, now: float) -> None:
        """`clear` is sent now."""
        arrival = now + self.latency
        self.advance(arrival)
        for _, item in self._queue:
            if isinstance(item, str):
                self.returned.append((arrival + self.latency, item))
        self._queue.clear()
        self.free_at = -np.inf

    def advance(self, now: float) -> None:
        """Play on; float noise of a nanosecond counts as in time."""
        while self._queue and self._queue[0][0] <= now + 1e-9:
            time, item = self._queue.popleft()
            if isinstance(item, str):
                self.returned.append((time + self.latency, item))
            else:
                self.heard.append(item)

    def next_return(self) -> float | None:
        """When the next mark comes back, of those that are known."""
        waiting = (time + self.latency for time, item in self._queue if isinstance(item, str))
        times = [self.returned[0][0]] if self.returned else []
        return min([*times, *list(waiting)[:1]], default=None)

    def take_returned(self, *, now: float) -> list[str]:
        """The marks that have come back by now."""
        self.advance(now)
        names = []
        while self.returned and self.returned[0][0] <= now + 1e-9:
            names.append(self.returned.popleft()[1])
        return names
