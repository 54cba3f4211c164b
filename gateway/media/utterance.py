"""What waits to be said: utterances and marks, in order."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from audio_codecs import Samples

if TYPE_CHECKING:
    from gateway.media.playback import PlaybackFinished

__all__ = ["Utterance", "UtteranceQueue"]

_ROOM: Final = 2.0  # seconds of an utterance that may wait before its source has to


class Utterance:
    """Sound that belongs together, on its way from the queue to the ear. Lengths and places are samples.

    Args:
        name: For whoever reads the ledger.
        on_room: Called when it has room for more sound.

    Attributes:
        open: More may be pushed.
        waiting: How much has not left.
        start: Place of its first sample on the line of what was sent; None until that leaves.
        end: Place behind its last one; None until that has left.
        file: The payload of all of it, where it is not to be encoded from its samples.
        error: Why its source ended early.
        finished: What became of it; None until then.
    """

    __slots__ = (
        "_chunks",
        "_taken",
        "end",
        "error",
        "file",
        "finished",
        "name",
        "on_room",
        "open",
        "start",
        "waiting",
    )

    def __init__(self, name: str, on_room: Callable[[], None] | None = None) -> None:
        self.name = name
        self.on_room = on_room
        self.open = True
        self.waiting = 0
        self.start: int | None = None
        self.end: int | None = None
        self.file: bytes | None = None
        self.error: str | None = None
        self.finished: PlaybackFinished | None = None
        self._chunks: deque[Samples] = deque()
        self._taken = 0  # samples of the first chunk that have left

    def push(self, samples: Samples) -> None:
        """Add sound, int16 of shape (n,)."""
        self._chunks.append(samples)
        self.waiting += len(samples)

    def take(self, count: int) -> Samples:
        """Cut off the next `count` samples, which must be there and more than none."""
        self.waiting -= count
        chunk, begin = self._chunks[0], self._taken
        end = begin + count
        if end < len(chunk):
            self._taken = end
            return chunk[begin:end]
        return self._take_across(count)

    def take_back(self, pieces: list[Samples]) -> int:
        """Put what had left before all that waits; returns how much that is."""
        if self._taken:
            self._chunks[0], self._taken = self._chunks[0][self._taken :], 0
        self._chunks.extendleft(reversed(pieces))
        taken = sum(map(len, pieces))
        self.waiting += taken
        self.end = None
        return taken

    def drop(self) -> int:
        """Forget what waits; returns how much that was."""
        dropped, self.waiting, self._taken = self.waiting, 0, 0
        self._chunks.clear()
        return dropped

    def _take_across(self, count: int) -> Samples:
        """The same where a chunk ends with it."""
        parts: list[Samples] = []
        while count:
            chunk = self._chunks.popleft()
            parts.append(chunk[self._taken : self._taken + count])
            count -= len(parts[-1])
            self._taken += len(parts[-1])
            if self._taken < len(chunk):
                self._chunks.appendleft(chunk)
            else:
                self._taken = 0
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


class UtteranceQueue:
    """Utterances, which are said one after another, and the marks between them.

    The *speech* is the utterance that `say` adds to; it is always the last in the queue, as whatever is queued behind
    it ends it.

    Args:
        sample_rate: Of all samples, in Hz.
        frame: Samples that are cut off at least.
        message: Samples that are cut off at most; a multiple of `frame`.
        max_queued: Seconds of sound that may wait; what is pushed beyond it is dropped and counted.
        on_drop: Told once, as the first sample is dropped.

    Attributes:
        items: Utterances, and marks by their names; whoever takes one off takes the first.
        queued: Samples that wait.
        flowing: The speech is all there is, and none of it waits: what is said next need not pass through here.
        speech: See above; None where the next sound begins another.
    """

    __slots__ = (
        "_frame",
        "_message",
        "_most",
        "_on_drop",
        "_room",
        "_speeches",
        "flowing",
        "items",
        "queued",
        "samples_dropped",
        "speech",
    )

    def __init__(
        self,
        sample_rate: int,
        *,
        frame: int,
        message: int,
        max_queued: float,
        on_drop: Callable[[], None] = lambda: None,
    ) -> None:
        self.queued = 0
        self.samples_dropped = 0
        self.flowing = False
        self.speech: Utterance | None = None
        self.items: deque[Utterance | str] = deque()
        self._frame = frame
        self._message = message
        self._room = round(sample_rate * _ROOM)
        self._most = round(sample_rate * max_queued)
        self._on_drop = on_drop
        self._speeches = 0

    @property
    def marks(self) -> list[str]:
        """The marks that wait."""
        return [item for item in self.items if isinstance(item, str)]

    @property
    def utterances(self) -> list[Utterance]:
        """The utterances that wait, or may go on."""
        return [item for item in self.items if isinstance(item, Utterance)]

    # --- what is added --------------------------------------------------------------------------------------------

    def say(self, samples: Samples) -> None:
        """Add to the speech, or begin one."""
        if self.speech is None and len(samples):
            self._speeches += 1
            speech = Utterance(f"speech {self._speeches}")
            self.open(speech)
            self.speech = speech
        if self.speech is not None:
            self.add(self.speech, samples)

    def open(self, utterance: Utterance) -> None:
        """Queue an utterance behind all others; it keeps its place, and those behind it waiting, until it is closed."""
        self.end_speech()
        self.items.append(utterance)

    def add(self, utterance: Utterance, samples: Samples) -> None:
        """Give an utterance more sound, int16 of shape (n,); once it is closed, nothing is done."""
        if not utterance.open:
            return
        room = max(0, self._most - self.queued)  # below it, where more was put back
        if len(samples) > room:
            if not self.samples_dropped:
                self._on_drop()
            self.samples_dropped += len(samples) - room
            samples = samples[:room]
        if len(samples):
            utterance.push(samples)
            self.queued += len(samples)
            self.flowing = False

    def has_room(self, utterance: Utterance) -> bool:
        """Whether the source of an utterance may go on."""
        return utterance.waiting < self._room

    def close(self, utterance: Utterance) -> None:
        """There is no more of an utterance: its tail need not wait, and what is behind it may follow."""
        utterance.open = False
        if utterance is self.speech:
            self.speech = None
            self.flowing = False

    def end_speech(self) -> None:
        """Close the speech: what is said next is another utterance."""
        if self.speech is not None:
            self.close(self.speech)

    def push_mark(self, name: str) -> None:
        """Queue a mark behind all that was said so far; it ends the speech."""
        self.end_speech()
        self.items.append(name)

    # --- what is taken --------------------------------------------------------------------------------------------

    def take(self, utterance: Utterance) -> Samples:
        """Cut the next message from an utterance of which something waits; less than a frame is filled up.

        Returns:
            int16, shape (n,), n a multiple of the frame.
        """
        waited = utterance.waiting
        count = self._message if waited >= self._message else waited - waited % self._frame
        if count:
            samples = utterance.take(count)
        else:
            count = waited
            samples = np.concatenate((utterance.take(count), np.zeros(self._frame - count, np.int16)))
        self.queued -= count
        if waited >= self._room > utterance.waiting and utterance.on_room is not None:
            utterance.on_room()
        return samples

    def flow_on(self) -> None:
        """See whether only the speech is left, and none of it waits."""
        self.flowing = not self.queued and self.speech is not None and self.items[0] is self.speech

    def put_back(self, items: Sequence[Utterance | str], samples: int) -> None:
        """Queue these before all that waits, in order; so many samples of them had been taken."""
        self.items.extendleft(reversed(items))
        self.queued += samples
        self.flowing = False

    def discard(self, utterance: Utterance) -> None:
        """Forget one utterance if it is here; it is not the speech."""
        if utterance in self.items:
            self.items.remove(utterance)
            self.queued -= utterance.waiting
            self.flowing = False

    def clear(self) -> None:
        """Forget everything."""
        self.items.clear()
        self.queued = 0
        self.speech = None
        self.flowing = False
