"""What happened on one call's media, kept for whoever wants to check it: sound, messages, marks and errors.

Sound and the times of messages are kept for an hour, marks and errors up to a number: what goes beyond is counted,
not kept.
"""

from array import array
from collections import Counter
from typing import Any

import numpy as np

from audio_codecs import Samples

__all__ = ["Heard", "Journal", "MessageLog", "Said"]

_MAX_SECONDS = 3600
_MAX_NOTES = 1000


class Heard:
    """The sound that reached the ear, on a time line of samples.

    Attributes:
        sample_rate: In Hz.
        pieces: `(position, length)` of each stretch in which something was playing, in samples; neighbours that
            touch are one.
        complete: Nothing had to be left out.
    """

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.pieces: list[tuple[int, int]] = []
        self.complete = True
        self._octets = bytearray()

    @property
    def end(self) -> int:
        """Where the last piece ends, in samples."""
        return sum(self.pieces[-1]) if self.pieces else 0

    def add(self, position: int, samples: Samples) -> None:
        """Keep a stretch that begins at `position`, at or after the end of the last one."""
        if position + len(samples) > _MAX_SECONDS * self.sample_rate:
            self.complete = False
            return
        self._octets += samples.tobytes()
        if self.pieces and position == self.end:
            start, length = self.pieces[-1]
            self.pieces[-1] = (start, length + len(samples))
        else:
            self.pieces.append((position, len(samples)))

    def samples(self) -> Samples:
        """The whole time line up to the last sound, silence included."""
        line = np.zeros(self.end, np.int16)
        heard = np.frombuffer(bytes(self._octets), np.int16)
        start = 0
        for position, length in self.pieces:
            line[position : position + length] = heard[start : start + length]
            start += length
        return line


class Said:
    """The sound that was sent to the application, one message after the other; bounded as `Heard` is."""

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.complete = True
        self._octets = bytearray()

    def add(self, samples: Samples) -> None:
        """Keep the sound of one message."""
        if len(self._octets) + 2 * len(samples) > 2 * _MAX_SECONDS * self.sample_rate:
            self.complete = False
            return
        self._octets += samples.tobytes()

    def samples(self) -> Samples:
        """All of it."""
        return np.frombuffer(bytes(self._octets), np.int16)


class MessageLog:
    """When the media messages of one direction passed, and how many codec octets each held."""

    def __init__(self) -> None:
        self.messages = 0
        self._times = array("d")
        self._octets = array("I")

    def add(self, now: float, octets: int) -> None:
        """Note one message; the first hour's worth at 50 a second is kept."""
        self.messages += 1
        if len(self._times) < _MAX_SECONDS * 50:
            self._times.append(now)
            self._octets.append(octets)

    def pairs(self) -> list[tuple[float, int]]:
        """`(seconds, octets)` of each message, oldest first."""
        return list(zip(self._times, self._octets, strict=True))


class Journal:
    """All of one call's media, over every stream that it had.

    Attributes:
        said: What the application was sent.
        heard: What the person on the leg heard; position 0 is the start of the call's first stream.
        media_sent: Media messages to the application.
        media_received: Media messages from it, those included that were refused.
        messages_sent: How many by event, all of them.
        messages_received: The same; `malformed` and `unknown` are events here.
        origin: When the first stream started, on the simulator's clock; None before that.
    """

    def __init__(self, sample_rate: int) -> None:
        self.said = Said(sample_rate)
        self.heard = Heard(sample_rate)
        self.media_sent = MessageLog()
        self.media_received = MessageLog()
        self.messages_sent: Counter[str] = Counter()
        self.messages_received: Counter[str] = Counter()
        self.origin: float | None = None
        self._marks_returned: list[str] = []
        self._errors: list[dict[str, Any]] = []

    def note_mark(self, name: str) -> None:
        """A mark went back to the application."""
        if len(self._marks_returned) < _MAX_NOTES:
            self._marks_returned.append(name)

    def note_error(self, code: int, detail: str) -> None:
        """Something on the stream was no good; `code` as in the `error` message, 100002 where none was sent."""
        if len(self._errors) < _MAX_NOTES:
            self._errors.append({"code": code, "detail": detail})

    def describe(self) -> dict[str, Any]:
        """The journal as JSON-ready values, without the sound and the times."""
        return {
            "messages_sent": dict(self.messages_sent),
            "messages_received": dict(self.messages_received),
            "marks_returned": list(self._marks_returned),
            "errors": list(self._errors),
            "heard_pieces": list(self.heard.pieces),
            "complete": self.said.complete and self.heard.complete,
        }
