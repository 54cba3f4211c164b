"""What is heard of an application: the queue between its messages and the ear, without a clock.

The queue holds sound and marks. Sound is played in ticks of 20 ms on absolute deadlines, counted from the start of
the stream; a tick takes what is there, up to its 20 ms, and the rest of it is silence. A mark that stands at the head
when the sound before it has ended is reached; on an idle stream that is at once. `clear` drops the sound and reaches
every mark, in order.

Telnyx documents that a message holds 20 ms up to 30 s of sound, and not what happens to one that does not; nor how
much sound may wait, nor what comes of too many messages. All of that are switches.

In mode `mp3` a message holds a whole MP3 file, and one may come each second. Someone who sends codec octets and forgot
to ask for `rtp` is not heard, as in life.

Source: Telnyx, "Media Streaming over WebSockets"; the order of marks is the documented one.
"""

import math
from collections import deque
from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np

from audio_codecs import Codec, CodecError, Samples, decode_mp3
from gateway.media.resample import Resampler
from gateway.simulator.switches import Switches

__all__ = ["TICK", "Hear", "Playout", "PlayoutError"]

TICK: Final = 0.02
"""Seconds of one tick."""

Hear: TypeAlias = Callable[[Samples, float], None]
"""Takes sound at the leg's rate, and when it is heard."""

_MIN_MESSAGE_SECONDS: Final = 0.02
_MAX_MESSAGE_SECONDS: Final = 30
_MAX_FILE_SECONDS: Final = 120
_MAX_MARKS: Final = 1000


class PlayoutError(Exception):
    """The application's message is not taken; `code` is what the `error` message says, see `ERROR_TITLES`."""

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class Playout:
    """Plays one stream's sound into the ear.

    Args:
        codec: Of what the application sends; None in mode `mp3`.
        hear: Where the sound goes.
        start: Time of the first tick, in seconds; all later times are on that clock.
        sample_rate: Of the leg, in Hz.
        switches: What Telnyx does not document.

    Attributes:
        ignored: Why the last message that was not heard, and not refused, was not heard; None if there was none.
    """

    def __init__(
        self, codec: Codec | None, hear: Hear, *, start: float, sample_rate: int, switches: Switches | None = None
    ) -> None:
        self.ignored: str | None = None
        self._codec = codec
        self._hear = hear
        self._start = start
        self._sample_rate = sample_rate
        self._switches = switches or Switches()
        self._resampler = None if codec is None else Resampler(codec.sample_rate, sample_rate)
        self._tick_samples = round(sample_rate * TICK)
        self._queue: deque[Samples | str] = deque()
        self._queued_samples = 0
        self._queued_marks = 0
        self._passed: list[str] = []  # marks in the midst of the tick that plays: reached at its end
        self._ticks = 0  # ticks that were played
        self._busy_until = start
        self._most = self._switches.mp3_messages if codec is None else self._switches.rtp_messages
        self._taken: deque[float] = deque(maxlen=self._most or 1)  # when the last messages came

    def push_audio(self, payload: bytes, *, now: float) -> list[str]:
        """Queue the sound of one message.

        Returns:
            The marks that were reached until now.

        Raises:
            PlayoutError: The sound cannot be decoded, is too short or too long, too many messages come, or the queue
                is full.
        """
        reached = self.advance(now)
        if self._codec is not None or _begins_as_mp3(payload):  # nobody reports being told off for octets of a codec
            self._count(now)
        samples = self._decode_file(payload) if self._codec is None else self._decode(self._codec, payload)
        limit = self._switches.queue_seconds
        if self._queued_samples + len(samples) > self._sample_rate * limit:
            raise PlayoutError(100005, f"more than {limit} s of sound wait to be played")
        if len(samples):
            self._queue.append(samples)
            self._queued_samples += len(samples)
        return reached

    def push_mark(self, name: str, *, now: float) -> list[str]:
        """Queue a mark.

        Returns:
            The marks that were reached until now; the new one too if nothing plays.

        Raises:
            PlayoutError: Too many marks wait already.
        """
        reached = self.advance(now)
        if not self._queue and not self._passed and now >= self._busy_until:
            return [*reached, name]
        if self._queued_marks >= _MAX_MARKS:
            raise PlayoutError(100005, f"more than {_MAX_MARKS} marks wait for their sound")
        self._queue.append(name)
        self._queued_marks += 1
        return reached

    def clear(self, *, now: float) -> list[str]:
        """Drop all sound that was not played.

        Returns:
            Every mark that waited, in order.
        """
        reached = [*self.advance(now), *self._passed, *(item for item in self._queue if isinstance(item, str))]
        self._queue.clear()
        self._passed.clear()
        self._queued_samples = self._queued_marks = 0
        self._busy_until = min(self._busy_until, now)
        if self._resampler is not None:
            self._resampler.reset()
        return reached

    def advance(self, now: float) -> list[str]:
        """Play every tick whose time has come.

        Returns:
            The marks that were reached by it, in order.
        """
        reached: list[str] = []
        due = math.floor((now - self._start) / TICK + 1e-6) + 1  # a deadline computed in floats may fall just short
        while self._ticks < due:
            if not self._queue and not self._passed:
                self._ticks = due
                break
            reached += self._play_tick()
        return reached

    def _count(self, now: float) -> None:
        if not self._most:
            return
        if len(self._taken) == self._most and now - self._taken[0] < 1.0:
            mode = "mp3" if self._codec is None else "rtp"
            raise PlayoutError(100005, f"mode {mode} takes {self._most} media messages a second")
        self._taken.append(now)

    def _decode(self, codec: Codec, payload: bytes) -> Samples:
        """Read codec octets, as samples at the leg's rate."""
        try:
            samples = codec.decode(payload)
        except CodecError as error:
            raise PlayoutError(100004, str(error)) from error
        seconds = len(samples) / codec.sample_rate
        short = seconds < _MIN_MESSAGE_SECONDS and self._switches.short_media == "refuse"
        long = seconds > _MAX_MESSAGE_SECONDS and self._switches.long_media == "refuse"
        if short or long:
            raise PlayoutError(100004, f"{1000 * seconds:g} ms of sound, want 20 ms up to 30 s")
        assert self._resampler is not None
        return self._resampler.push(samples)

    def _decode_file(self, payload: bytes) -> Samples:
        """Read an MP3 file, as samples at the leg's rate; what is none is no sound."""
        try:
            if not _begins_as_mp3(payload):
                raise CodecError(f"{len(payload)} octets that are no MP3 file")
            samples, sample_rate = decode_mp3(payload, max_seconds=_MAX_FILE_SECONDS)
            return Resampler(sample_rate, self._sample_rate).push(samples)
        except (CodecError, ValueError) as error:
            if isinstance(error.__cause__, ImportError):
                raise PlayoutError(100002, str(error)) from error
            if self._switches.mp3_garbage == "error":
                raise PlayoutError(100004, f"mode is mp3: {error}") from error
            self.ignored = str(error)
            return np.zeros(0, np.int16)

    def _play_tick(self) -> list[str]:
        reached, self._passed = self._passed, []
        filled = 0
        begins = self._start + self._ticks * TICK
        while self._queue and filled < self._tick_samples:
            item = self._queue.popleft()
            if isinstance(item, str):
                self._queued_marks -= 1
                (self._passed if filled else reached).append(item)
                continue
            piece = item[: self._tick_samples - filled]
            self._hear(piece, begins + filled / self._sample_rate)
            if len(piece) < len(item):
                self._queue.appendleft(item[len(piece) :])
            filled += len(piece)
        self._queued_samples -= filled
        if filled:
            self._busy_until = begins + filled / self._sample_rate
        self._ticks += 1
        return reached


def _begins_as_mp3(payload: bytes) -> bool:
    """Whether it has a file's first octets: a tag, or the header of a frame of layer III."""
    if payload[:3] == b"ID3":
        return True
    return len(payload) > 4 and payload[0] == 0xFF and payload[1] & 0xE6 == 0xE2
