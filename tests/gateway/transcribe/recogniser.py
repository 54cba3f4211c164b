"""Speech that a test makes and a fake service understands: a word is a digit, and a digit is how loud it is.

As the fakes understand nothing but what they are really sent, a transcript shows what was lost, doubled or cut.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from audio_codecs import Samples

STEP = 3000  # from one digit to the next
WORD = 0.2  # seconds
GAP = 0.08  # within an utterance
PAUSE = 0.7  # behind one
ENDPOINT = 0.3  # seconds of silence that end an utterance

BLOCK = 0.01


class Spoken(NamedTuple):
    """A word, in seconds."""

    text: str
    start: float
    end: float


class Utterance(NamedTuple):
    """Words without a pause, and where it is known that they are over."""

    words: list[Spoken]
    over: float

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)


def speech(*utterances: str, rate: int = 8000, lead: float = 0.2) -> tuple[Samples, list[Spoken]]:
    """Utterances of digits as sound, and where their words are. The last one has no pause behind it."""
    parts, words, at = [np.zeros(round(lead * rate), np.int16)], [], lead
    for number, utterance in enumerate(utterances):
        for digit in utterance.split():
            parts += [np.full(round(WORD * rate), STEP * int(digit), np.int16), np.zeros(round(GAP * rate), np.int16)]
            words.append(Spoken(digit, at, at + WORD))
            at += WORD + GAP
        if number < len(utterances) - 1:
            parts.append(np.zeros(round(PAUSE * rate), np.int16))
            at += PAUSE
    return np.concatenate(parts), words


class Recogniser:
    """Understands such speech; the words so far are `words`."""

    def __init__(self, rate: int) -> None:
        self.words: list[Spoken] = []
        self.heard = 0.0  # seconds
        self._block = round(rate * BLOCK)
        self._rate = rate
        self._rest: Samples = np.zeros(0, np.int16)
        self._digit = 0
        self._since = 0.0
        self._silent_since = 0.0

    def push(self, samples: Samples) -> list[Utterance]:
        """Take sound; gives the utterances that are over."""
        done = []
        sound = np.concatenate([self._rest, samples])
        whole = len(sound) // self._block * self._block
        self._rest = sound[whole:]
        for block in sound[:whole].reshape(-1, self._block):
            self._hear(round(float(np.median(np.abs(block.astype(np.int32)))) / STEP))
            if self.words and not self._digit and self.heard - self._silent_since >= ENDPOINT - 1e-6:
                done.append(self.finish())
        return done

    def finish(self) -> Utterance:
        """The utterance as it is; a word that goes on ends here."""
        self._hear(0, seconds=0.0)
        words, self.words = self.words, []
        return Utterance(words, self.heard)

    def _hear(self, digit: int, seconds: float = BLOCK) -> None:
        if digit != self._digit:
            if self._digit:
                whole = self.heard - self._since > WORD - 3 * BLOCK
                self.words.append(Spoken(str(self._digit) if whole else "?", self._since, self.heard))
                self._silent_since = self.heard
            self._digit, self._since = digit, self.heard
        self.heard += seconds

    @property
    def talking(self) -> bool:
        """Whether an utterance goes on."""
        return bool(self.words) or self._digit != 0


def texts(words: Sequence[Spoken]) -> str:
    """The words in one line."""
    return " ".join(word.text for word in words)
