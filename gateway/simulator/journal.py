"""What happened on one call's media, kept for whoever wants to check it: sound, messages, marks and errors.

Sound and the times of messages are kept for an hour, marks and errors up to a number: what goes beyond is counted,
not kept.
"""

import math
from array import array
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from audio_codecs import Samples

__all__ = ["Heard", "Inlet", "Journal", "MessageLog", "Said"]

_MAX_SECONDS = 3600
_MAX_NOTES = 1000


class Heard:
    """The sound that reached the ear, on a time line of samples: what comes at the same time is mixed.

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
        self._line = bytearray()

    @property
    def end(self) -> int:
        """Where the last piece ends, in samples."""
        return sum(self.pieces[-1]) if self.pieces else 0

    def add(self, position: int, samples: Samples) -> None:
        """Keep a stretch of sound that begins at `position`; where there is sound already, both are heard."""
        end, known = position + len(samples), len(self._line) // 2
        if end > _MAX_SECONDS * self.sample_rate:
            self.complete = False
            return
        together = max(0, min(known - position, len(samples)))
        if together:
            there = np.frombuffer(self._line, np.int16)[position : position + together]
            there[:] = np.clip(there.astype(np.int32) + samples[:together], -32768, 32767)
            del there  # a bytearray that is looked at cannot grow
        self._line += bytes(2 * max(0, position - known))
        self._line += samples[together:].tobytes()
        self._add_piece(position, end)

    def samples(self) -> Samples:
        """The whole time line up to the last sound, silence included."""
        return np.frombuffer(bytes(self._line), np.int16)

    def window(self, start: int, length: int) -> Samples:
        """A stretch of the time line as it is now; silence where nothing was heard, and before the beginning."""
        if start >= 0 and 2 * (start + length) <= len(self._line):  # as nearly always while sound comes
            return np.frombuffer(bytes(self._line[2 * start : 2 * (start + length)]), np.int16)
        if 2 * start >= len(self._line):
            return np.zeros(length, np.int16)
        found = np.frombuffer(bytes(self._line[2 * max(0, start) : 2 * max(0, start + length)]), np.int16)
        before = min(length, max(0, -start))
        return np.concatenate([np.zeros(before, np.int16), found, np.zeros(length - before - len(found), np.int16)])

    def _add_piece(self, start: int, end: int) -> None:
        later = []
        while self.pieces and self.pieces[-1][0] > end:
            later.append(self.pieces.pop())
        while self.pieces and sum(self.pieces[-1]) >= start:
            position, length = self.pieces.pop()
            start, end = min(start, position), max(end, position + length)
        self.pieces += [(start, end - start), *reversed(later)]


class Inlet:
    """One source of sound on its way into an ear: what follows in time is heard without a gap.

    Args:
        journal: Of the leg that hears it.
    """

    def __init__(self, journal: "Journal") -> None:
        self._journal = journal
        self._next = 0

    def hear(self, samples: Samples, at: float) -> None:
        """Put sound where its time is, on the simulator's clock."""
        position = self._journal.position(at)
        if abs(position - self._next) <= 1:  # times are floats
            position = self._next
        self._next = position + len(samples)
        self._journal.heard.add(position, samples)


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
        heard: What the person on the leg heard; position 0 is `origin`.
        media_sent: Media messages to the application.
        media_received: Media messages from it, those included that were refused.
        messages_sent: How many by event, all of them.
        messages_received: The same; `malformed` and `unknown` are events here.
        origin: When the first stream or bridge began, on the simulator's clock; None before that.

    Args:
        sample_rate: Of the leg, in Hz.
        note: Told of each mark and error too: a kind and its fields.
    """

    def __init__(self, sample_rate: int, note: Callable[..., None] = lambda kind, **fields: None) -> None:
        self.said = Said(sample_rate)
        self.heard = Heard(sample_rate)
        self.media_sent = MessageLog()
        self.media_received = MessageLog()
        self.messages_sent: Counter[str] = Counter()
        self.messages_received: Counter[str] = Counter()
        self.origin: float | None = None
        self._note = note
        self._marks_returned: list[str] = []
        self._errors: list[dict[str, Any]] = []

    def note_mark(self, name: str) -> None:
        """A mark went back to the application."""
        self._note("stream", event="mark returned", name=name)
        if len(self._marks_returned) < _MAX_NOTES:
            self._marks_returned.append(name)

    def note_error(self, code: int, detail: str) -> None:
        """Something on the stream was no good; `code` as in the `error` message, 100002 where none was sent."""
        self._note("stream", event="error", code=code, detail=detail)
        if len(self._errors) < _MAX_NOTES:
            self._errors.append({"code": code, "detail": detail})

    def note_ignored(self, why: str) -> None:
        """The application's sound is not heard, and it is not told why."""
        self._note("stream", event="not heard", detail=why)

    def position(self, at: float) -> int:
        """Where a moment is on the time line of `heard`, in samples; the first that is asked for is its beginning."""
        if self.origin is None:
            self.origin = at
        return math.ceil((at - self.origin) * self.heard.sample_rate - 1e-3)

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
