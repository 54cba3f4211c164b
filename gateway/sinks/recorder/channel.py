"""Where a track's sound stands in the file."""

from collections.abc import Iterator
from functools import cached_property
from typing import TypeAlias

import numpy as np

from audio_codecs import Samples
from gateway.media.resample import Resampler

__all__ = ["Channel", "Placed"]

Placed: TypeAlias = tuple[int, Samples]
"""Position of the first sample, in samples of the file, and the samples, int16, shape (n,)."""

_DELAY = 24  # samples of the lower rate, by which the resampler delays
_SILENCE = np.zeros(_DELAY, np.int16)


class Channel:
    """Takes the pieces of one track to the file's sample rate.

    Pieces that follow each other stay gapless to the sample; a piece after a jump begins at its own position, rounded
    down, with a fresh resampler. The resampler's delay is taken out again: what it holds back comes with the next
    piece, or with `finish`.

    Args:
        sample_rate: Of the track, in Hz.
        file_rate: Of the file, in Hz; not below the track's.
    """

    def __init__(self, sample_rate: int, file_rate: int) -> None:
        self._sample_rate = sample_rate
        self._file_rate = file_rate
        self._end = 0  # in samples of the track
        self._file_end = 0  # in samples of the file
        self._delay = round(_DELAY * file_rate / sample_rate)  # in samples of the file
        self._lead = self._delay  # what of it the present piece has still to leave out

    def place(self, position: int, samples: Samples) -> Iterator[Placed]:
        """Say where a piece stands in the file, and how it sounds there.

        Args:
            position: Of its first sample, in samples of the track; not before the end of the last piece.
            samples: int16, shape (n,).

        Yields:
            It, and before it what was still held of the last one, in order.
        """
        if position != self._end:
            yield from self.finish()
            if self._resampler is not None:
                self._resampler.reset()
                self._lead = self._delay
            self._file_end = max(self._file_end, position * self._file_rate // self._sample_rate)
        self._end = position + len(samples)
        yield self._append(samples)

    def finish(self) -> Iterator[Placed]:
        """What the resampler still holds of the last piece; nothing may follow that piece without a gap."""
        if self._resampler is not None and self._end:
            yield self._append(_SILENCE)

    @cached_property
    def _resampler(self) -> Resampler | None:
        """Made at its first use, which is in the writer thread: its filters take a while to compute."""
        return None if self._sample_rate == self._file_rate else Resampler(self._sample_rate, self._file_rate)

    def _append(self, samples: Samples) -> Placed:
        if self._resampler is not None:
            samples = self._resampler.push(samples)
            left_out = min(self._lead, len(samples))
            self._lead -= left_out
            samples = samples[left_out:]
        start = self._file_end
        self._file_end += len(samples)
        return start, samples
