"""What the person on the leg hears: the queue between the application's messages and the ear, without a clock.

The queue holds sound and marks. Sound is played in ticks of 20 ms on absolute deadlines, counted from the start of
the stream; a tick takes what is there, up to its 20 ms, and the rest of it is silence. A mark that stands at the head
when the sound before it has ended is reached; on an idle stream that is at once. `clear` drops the sound and reaches
every mark, in order.

Telnyx documents that a message holds 20 ms up to 30 s of sound, and not what happens to one that does not. Here it is
refused as `invalid_media`, so that nobody comes to rely on it. How deep Telnyx's queue is, is not documented either:
here ten minutes of sound and a thousand marks, then `rate_limit_reached`.

In mode `mp3` a message should hold a whole MP3 file. Files are not decoded here: whatever is sent in that mode is
counted and not heard, which is also what happens in life to someone who sends codec octets and forgot the mode.

Source: Telnyx, "Media Streaming over WebSockets"; the order of marks is the documented one.
"""

import math
from collections import deque
from typing import Final

from audio_codecs import Codec, CodecError, Samples
from gateway.simulator.journal import Heard

__all__ = ["TICK", "Playout", "PlayoutError"]

TICK: Final = 0.02
"""Seconds of one tick."""

_MAX_QUEUE_SECONDS: Final = 600
_MAX_MESSAGE_SECONDS: Final = 30
_MAX_MARKS: Final = 1000


class PlayoutError(Exception):
    """The application's message is not taken; `code` is what the `error` message says, see `ERROR_TITLES`."""

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class Playout:
    """Plays one stream's sound into the ear.

    Args:
        codec: Of what the application sends; None in mode `mp3`, where nothing is heard.
        heard: Where the sound goes.
        start: Time of the first tick, in seconds; all later times are on that clock.
        position: Of the first tick on the time line of `heard`, in samples.
    """

    def __init__(self, codec: Codec | None, heard: Heard, *, start: float, position: int = 0) -> None:
        self._codec = codec
        self._heard = heard
        self._start = start
        self._position = position
        self._tick_samples = round(heard.sample_rate * TICK)
        self._queue: deque[Samples | str] = deque()
        self._queued_samples = 0
        self._queued_marks = 0
        self._passed: list[str] = []  # marks in the midst of the tick that plays: reached at its end
        self._ticks = 0  # ticks that were played
        self._busy_until = start

    def push_audio(self, payload: bytes, *, now: float) -> list[str]:
        """Queue the sound of one message.

        Returns:
            The marks that were reached until now.

        Raises:
            PlayoutError: The sound cannot be decoded, is too short or too long, or the queue is full.
        """
        reached = self.advance(now)
        if self._codec is None:
            return reached
        try:
            samples = self._codec.decode(payload)
        except CodecError as error:
            raise PlayoutError(100004, str(error)) from error
        rate = self._codec.sample_rate
        if not self._tick_samples <= len(samples) <= rate * _MAX_MESSAGE_SECONDS:
            raise PlayoutError(100004, f"{1000 * len(samples) / rate:g} ms of sound, want 20 ms up to 30 s")
        if self._queued_samples + len(samples) > rate * _MAX_QUEUE_SECONDS:
            raise PlayoutError(100005, f"more than {_MAX_QUEUE_SECONDS} s of sound wait to be played")
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

    def _play_tick(self) -> list[str]:
        reached, self._passed = self._passed, []
        filled = 0
        while self._queue and filled < self._tick_samples:
            item = self._queue.popleft()
            if isinstance(item, str):
                self._queued_marks -= 1
                (self._passed if filled else reached).append(item)
                continue
            piece = item[: self._tick_samples - filled]
            self._heard.add(self._position + self._ticks * self._tick_samples + filled, piece)
            if len(piece) < len(item):
                self._queue.appendleft(item[len(piece) :])
            filled += len(piece)
        self._queued_samples -= filled
        if filled:
            self._busy_until = self._start + self._ticks * TICK + filled / self._heard.sample_rate
        self._ticks += 1
        return reached
