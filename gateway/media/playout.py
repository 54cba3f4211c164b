"""What the application says, on its way to the wire: when each 20 ms leaves, and when it is heard.

Two times belong to each piece of sound. Its *deadline* is when it is to be heard; deadlines of one utterance are
exactly 20 ms apart, on one clock, so that no error adds up. It *leaves* up to `lead` seconds earlier: the carrier
queues what comes early, and the lead rides out a stall of the event loop. The lead is only a ceiling on sending ahead.
A piece that is pushed with nothing before it is due at once and leaves at once, which is why an echo has no delay
from here.

Each piece also has a *position* on the call's time line. It follows the piece before it, unless the application has
fallen behind: then it is due the moment it comes, and begins where the caller's channel is by then, if that is later.
So a recorder leaves the hole where the listener had one.

Marks stand in the queue between the sounds they follow, and leave directly behind them. `clear` drops the sound that
has not left and forgets what was not yet heard: none from before it can leave after it. The marks among it are given
back, so that whoever waits for one can be told.
"""

from collections import deque
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from audio_codecs import Samples

__all__ = ["FRAME_SECONDS", "Piece", "Playout"]

FRAME_SECONDS = 0.02
"""Length of one message of sound. Telnyx documents 20 ms as the least."""

_LONGEST_PAUSE_CALLED_UNDERRUN = 1.0


class Piece(msgspec.Struct, frozen=True, gc=False):
    """Sound that has left.

    Attributes:
        deadline: When it is to be heard.
        position: Of its first sample on the call's time line, in samples at the playout's rate.
        samples: int16, shape (n,).
    """

    deadline: float
    position: int
    samples: Samples


class Playout:
    """The queue of one call's outgoing sound. Times are seconds on one monotonic clock.

    Args:
        encode: int16 samples to payload, called once for each piece, as it leaves.
        sample_rate: Of all samples pushed, in Hz.
        here: Tells where the caller's channel stands, in samples at this playout's rate.
        lead: Seconds that a piece may leave before its deadline.
        max_queued: Seconds of sound that may wait here; what is pushed beyond it is dropped and counted.

    Attributes:
        queued: Samples that have not left.
        in_flight: What left and was not handed out by `heard` yet, in the order of the deadlines. To be looked at only.
    """

    def __init__(
        self,
        encode: Callable[[Samples], bytes],
        sample_rate: int,
        *,
        here: Callable[[], int],
        lead: float,
        max_queued: float = 600.0,
    ) -> None:
        self.samples_dropped = 0
        self.samples_cleared = 0
        self.frames_sent = 0
        self.underruns = 0
        self.in_flight: deque[Piece] = deque()
        self.queued = 0
        self._encode = encode
        self._here = here
        self._lead = lead
        self._frame = round(sample_rate * FRAME_SECONDS)
        self._most = round(sample_rate * max_queued)
        self._queue: deque[Samples | str] = deque()
        self._taken = 0  # samples of the queue's head that have left already
        self._playhead = -np.inf  # deadline of the next piece, unless that has passed
        self._pad_at = np.inf  # when a tail shorter than a frame stops waiting for more
        self._utterance_open = False
        self._position = 0  # of the next piece, unless it comes late

    def push(self, samples: Samples, *, now: float) -> Sequence[bytes | str]:
        """Queue sound, int16 of shape (n,), any length; a tail shorter than 20 ms waits a little for more.

        Returns:
            What is to leave now, as `pop`.
        """
        if not self._queue and len(samples) == self._frame and self._playhead - self._lead <= now:
            return (self._depart(samples, now),)  # the usual case of what is live: nothing to queue
        room = self._most - self.queued
        if len(samples) > room:
            self.samples_dropped += len(samples) - room
            samples = samples[:room]
        if len(samples):
            self._queue.append(samples)
            self.queued += len(samples)
            self._pad_at = now + FRAME_SECONDS
        return self.pop(now=now)

    def push_mark(self, name: str) -> None:
        """Queue a mark behind all sound pushed so far; it ends the utterance, so a short tail is padded."""
        self._queue.append(name)

    def pop(self, *, now: float) -> list[bytes | str]:
        """Take what is to leave now: payloads as bytes, the names of marks as str, in order."""
        due: list[bytes | str] = []
        queue = self._queue
        while queue:
            head = queue[0]
            if type(head) is str:
                queue.popleft()
                due.append(head)
                self._utterance_open = False
                continue
            if self._playhead - self._lead > now:
                break
            samples = self._take(now)
            if samples is None:
                break
            due.append(self._depart(samples, now))
        return due

    def heard(self, *, now: float) -> list[tuple[int, Samples]]:
        """Take what left and whose deadline has come: positions and samples, in order, what is gapless in one piece."""
        heard: list[tuple[int, Samples]] = []
        in_flight = self.in_flight
        while in_flight and in_flight[0].deadline <= now:
            position = end = in_flight[0].position
            stretch: list[Samples] = []
            while in_flight and in_flight[0].position == end and in_flight[0].deadline <= now:
                samples = in_flight.popleft().samples
                stretch.append(samples)
                end += len(samples)
            heard.append((position, np.concatenate(stretch)))
        return heard

    def clear(self) -> list[str]:
        """Forget all sound that was not heard yet; call `heard` first. Returns the marks that had not left."""
        marks = [item for item in self._queue if isinstance(item, str)]
        if self.in_flight:
            self._position = self.in_flight[0].position
        self.samples_cleared += self.queued + sum(len(piece.samples) for piece in self.in_flight)
        self._queue.clear()
        self.in_flight.clear()
        self._taken = self.queued = 0
        self._playhead = -np.inf
        self._utterance_open = False
        return marks

    def deadline(self) -> float | None:
        """When `pop` will have something next; None while nothing is queued."""
        if not self._queue:
            return None
        if self.queued < self._frame and str not in map(type, self._queue):
            return max(self._pad_at, self._playhead - self._lead)
        return self._playhead - self._lead

    def _depart(self, samples: Samples, now: float) -> bytes:
        """Give a piece its deadline and its position, and encode it."""
        late = now - self._playhead
        if late > 0:
            if self._utterance_open and FRAME_SECONDS < late < _LONGEST_PAUSE_CALLED_UNDERRUN:
                self.underruns += 1
            self._playhead = now
            self._position = max(self._position, self._here())
        self.in_flight.append(Piece(self._playhead, self._position, samples))
        self._playhead += FRAME_SECONDS
        self._position += len(samples)
        self._utterance_open = True
        self.frames_sent += 1
        return self._encode(samples)

    def _take(self, now: float) -> Samples | None:
        """Cut one frame from the queue; None while its tail is too short and may still grow."""
        head = self._queue[0]
        assert isinstance(head, np.ndarray)
        frame = self._frame
        if self._taken == 0 and len(head) == frame:
            self._queue.popleft()
            self.queued -= frame
            return head
        parts: list[Samples] = []
        need = frame
        for item in self._queue:
            if isinstance(item, str):
                break  # the utterance ends here
            part = item if parts else item[self._taken :]
            parts.append(part[:need])
            need -= len(parts[-1])
            if need == 0:
                break
        else:
            if now < self._pad_at:
                return None
        self._drop(frame - need)
        if need:
            parts.append(np.zeros(need, np.int16))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _drop(self, count: int) -> None:
        """Advance the head of the queue by `count` samples."""
        self.queued -= count
        while count:
            head = self._queue[0]
            left = len(head) - self._taken
            if count < left:
                self._taken += count
                return
            count -= left
            self._taken = 0
            self._queue.popleft()
