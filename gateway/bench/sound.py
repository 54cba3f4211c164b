"""Round trips by the likeness of sound, for codecs that change every bit, and for far sides that do.

Half a second of what came is laid against the last seconds of what was sent, and slid to where the two are most alike
(normalised cross-correlation). That tells for each message which sample of ours it begins with, and so how long that
one was away: the way there and back, and the delay of both codecs, as the caller would hear it.

It costs a decoder for each call and a millisecond for each piece, so only a few calls are listened to.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from audio_codecs import CodecError, Wire, open_codec
from gateway.bench.content import FRAME, Content
from gateway.bench.tally import Meter

__all__ = ["PROBES", "SoundAnswers"]

PROBES: Final = 4
"""Calls of each process that are listened to."""

_PIECE: Final = 0.5  # seconds that are laid against what was sent
_PAUSE: Final = 0.5  # seconds until the next piece
_BACK: Final = 2.5  # seconds that an answer may take, and the piece itself
_ALIKE: Final = 0.5  # a piece of speech through Opus or AMR-WB, twice: 0.7 and more; of strangers: below 0.3
_QUIET: Final = 100.0  # RMS; about -50 dB below full scale: there is nothing to recognise


class SoundAnswers:
    """One call's.

    Args:
        content: What is said.
        meter: Counts pieces as questions and those that were recognised as answers.
        listens: Whether this is one of the calls that are listened to; of the others messages are only counted.
    """

    def __init__(self, content: Content, meter: Meter, *, listens: bool) -> None:
        self._content = content
        self._meter = meter
        self._size = round(content.sample_rate * FRAME)
        wire = Wire(content.byte_order)
        self._codec = open_codec(content.encoding, content.clock_rate, wire=wire) if listens else None
        self._sent: list[tuple[int, float]] = []  # number and time of the last frames
        self._pieces: list[npt.NDArray[np.int16]] = []
        self._came_at: list[float] = []
        # Samples of the pieces; below 0 in a pause. The first is for the codecs, which begin with sound of nobody's.
        self._length = -round(_PAUSE * content.sample_rate)

    def frame_sent(self, number: int, now: float) -> None:
        """Keep when each frame left."""
        if self._codec is not None:
            self._sent.append((number, now))
            if len(self._sent) > 2 * _BACK / FRAME:
                del self._sent[: -round(_BACK / FRAME)]

    def take_echo(self, data: bytes, begin: int, end: int, now: float) -> bool:
        """Nothing can be told from the octets."""
        return False

    def payload_came(self, payload: bytes, now: float) -> float:
        """Keep the sound; when there is half a second of it, find out where it is from."""
        if self._codec is None:
            return FRAME
        try:
            samples = self._codec.decode(payload)
        except CodecError:
            self._meter.tally.foreign += 1
            return FRAME
        rate = self._content.sample_rate
        if self._length >= 0:
            self._pieces.append(samples)
            self._came_at.append(now)
        self._length += len(samples)
        if self._length >= _PIECE * rate:
            self._recognise()
            self._pieces.clear()
            self._came_at.clear()
            self._length = -round(_PAUSE * rate)
        return len(samples) / rate

    def next_ping(self, now: float) -> bytes | None:
        """None."""
        return None

    def pong_came(self, payload: bytes, now: float) -> None:
        """None was asked for."""

    def _recognise(self) -> None:
        heard = np.concatenate(self._pieces)
        if float(np.sqrt(np.mean(np.square(heard, dtype=np.float64)))) < _QUIET:
            return
        sent = self._sent[-round(_BACK / FRAME) :]
        loop = self._content.samples.reshape(-1, self._size)
        said = loop[[number for number, _ in sent]].ravel()
        if len(said) < len(heard):
            return
        begins = [0, *np.cumsum([len(piece) for piece in self._pieces])[:-1]]
        lag, alike = find(heard, said)
        meter = self._meter
        asked_at = sent[min(lag // self._size, len(sent) - 1)][1]
        meter.asked(asked_at)
        if alike < _ALIKE:
            return
        for n, (begin, came_at) in enumerate(zip(begins, self._came_at, strict=True)):
            frame, into = divmod(lag + int(begin), self._size)
            left_at = sent[frame][1]
            trip = came_at - left_at - into / self._content.sample_rate
            if n == 0:
                meter.answered(asked_at, asked_at + trip)
            else:
                meter.timed(left_at, trip)


def find(piece: npt.NDArray[np.int16], within: npt.NDArray[np.int16]) -> tuple[int, float]:
    """Where a piece of sound stands in a longer one.

    Args:
        piece: int16, shape (n,).
        within: int16, shape (m,), m >= n.

    Returns:
        The first sample, and how alike the two are there, -1 to 1.
    """
    short, long = piece.astype(np.float32), within.astype(np.float32)
    size = 1 << int(len(long) + len(short) - 1).bit_length()
    products = np.fft.irfft(np.fft.rfft(long, size) * np.conj(np.fft.rfft(short, size)), size)
    products = products[: len(long) - len(short) + 1]
    powers = np.concatenate(([0.0], np.cumsum(np.square(long, dtype=np.float64))))
    energy = powers[len(short) :] - powers[: len(powers) - len(short)]
    alike = products / np.sqrt(np.maximum(energy, 1.0) * float(np.sum(np.square(short, dtype=np.float64))) + 1.0)
    best = int(np.argmax(alike))
    return best, float(alike[best])
