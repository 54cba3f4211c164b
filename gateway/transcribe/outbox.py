"""What is on its way to a service: kept on media time until the service has understood it, and sent again if need be.

    push --> [ acknowledged | sent, and not acknowledged | not sent ] <-- pop
               forgotten      comes again after `rewind`

Without I/O and without a clock.
"""

from bisect import bisect_left, bisect_right
from typing import NamedTuple

from gateway.transcribe.audio import AudioFormat, Chunk

__all__ = ["Outbox", "SessionClock"]


class Outbox:
    """The sound between a call and a service.

    When it is full, what was sent longest ago is let go: after a broken connection it cannot be sent again. What was
    not sent is never let go; there is no room then.

    Args:
        audio: The format of the payloads.
        seconds: How much it holds.
        least: Seconds of sound in a chunk, at least.

    Attributes:
        acknowledged: Up to here, in seconds on media time, all is understood.
        let_go: Seconds that were let go since the last `rewind`, and not acknowledged since.
        lost: Seconds that should have been sent again, and could not.
        replayed: Seconds that were sent again.
    """

    def __init__(self, audio: AudioFormat, seconds: float, *, least: float = 0.0) -> None:
        self.acknowledged = 0.0
        self.let_go = 0.0
        self.lost = 0.0
        self.replayed = 0.0
        self._audio = audio
        self._room = seconds
        self._least = least
        self._grain = 0.5 / audio.sample_rate  # less than that is no sample
        self._chunks: list[Chunk] = []
        self._next = 0  # the first that was not sent

    @property
    def full(self) -> bool:
        """Whether there is no room for anything more."""
        return self._room <= 0 and self._next == 0

    @property
    def unsent(self) -> bool:
        """Whether there is something to pop."""
        return self._next < len(self._chunks)

    @property
    def seconds(self) -> float:
        """How much it holds."""
        return sum(self._audio.seconds(chunk.payload) for chunk in self._chunks)

    def push(self, chunk: Chunk) -> None:
        """Add what comes next."""
        self._chunks.append(chunk)
        self._room -= self._audio.seconds(chunk.payload)
        while self._room < 0 and self._next > 0:
            self.let_go += self._remove_first()

    def pop(self) -> Chunk | None:
        """What is to be sent next; None if all was sent."""
        if not self.unsent:
            return None
        self._next += 1
        return self._chunks[self._next - 1]

    def acknowledge(self, position: float) -> None:
        """All that was sent up to here, in seconds on media time, is understood; going back changes nothing."""
        if position <= self.acknowledged:
            return
        self.acknowledged = position
        self.let_go = 0.0
        while self._next > 0 and self._chunks[0].end <= position + self._grain:
            self._remove_first()

    def rewind(self) -> None:
        """The connection is gone: what was sent and is not acknowledged comes again, from the very sample on."""
        self.lost += self.let_go
        self.let_go = 0.0
        if self._next > 0 and self._chunks[0].start < self.acknowledged:
            self._cut_first()
        self.replayed += sum(self._audio.seconds(chunk.payload) for chunk in self._chunks[: self._next])
        self._next = 0

    def _cut_first(self) -> None:
        """Take what is acknowledged from the first chunk; what is left may be too short to be sent alone."""
        start, end, payload = self._chunks.pop(0)
        samples = round((self.acknowledged - start) * self._audio.sample_rate)
        rest = payload[samples * self._audio.width :]
        missing = self._least - self._audio.seconds(rest)
        if missing > 0 and self._chunks and abs(self._chunks[0].start - end) < self._grain:
            _, end, following = self._chunks.pop(0)
            rest += following
            self._room += self._audio.seconds(following)
            self._next = max(1, self._next - 1)
        elif missing > 0:
            rest += self._audio.silence(missing)
        self._chunks.insert(0, Chunk(self.acknowledged, end, rest))
        self._room += self._audio.seconds(payload) - self._audio.seconds(rest)

    def _remove_first(self) -> float:
        seconds = self._audio.seconds(self._chunks.pop(0).payload)
        self._room += seconds
        self._next -= 1
        return seconds


class _Anchor(NamedTuple):
    session: float  # seconds of sound sent before it
    start: float  # on media time
    end: float  # on media time; what is sent behind it is a hole


class SessionClock:
    """From a service's time, which counts what it was sent on one connection, to the media's.

    Args:
        audio: The format of the payloads.

    Attributes:
        sent: Seconds of sound that were sent.
    """

    def __init__(self, audio: AudioFormat) -> None:
        self.sent = 0.0
        self._audio = audio
        self._anchors: list[_Anchor] = []

    def add(self, chunk: Chunk) -> None:
        """Note that this is sent."""
        last = self._anchors[-1] if self._anchors else None
        if (
            last is not None
            and chunk.start == last.end
            and abs(self.sent - last.session - last.end + last.start) < 1e-6
        ):
            self._anchors[-1] = last._replace(end=chunk.end)
        else:
            self._anchors.append(_Anchor(self.sent, chunk.start, chunk.end))
        self.sent += self._audio.seconds(chunk.payload)

    def media(self, seconds: float, *, end: bool = False) -> float:
        """Where on media time something is that the service places here; never where nothing was sent.

        Args:
            seconds: On the service's time.
            end: It is an end: what is sent just there comes behind it.
        """
        if not self._anchors:
            return 0.0
        find = bisect_left if end else bisect_right
        anchor = self._anchors[max(0, find(self._anchors, seconds, key=lambda anchor: anchor.session) - 1)]
        return min(max(anchor.start, anchor.start + seconds - anchor.session), anchor.end)
