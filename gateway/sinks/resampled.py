"""One track at another rate, for all sinks that want it so: they share the conversion."""

from asyncio import CancelledError
from collections.abc import Callable
from typing import Final

import numpy as np

from gateway.media.frame import AudioFrame
from gateway.media.resample import Resampler

__all__ = ["SINK_ERRORS", "Resampled"]

SINK_ERRORS: Final = (Exception, CancelledError, SystemExit)
"""What a plain call of a sink may raise without harm to anyone else: nobody cancels a call, or ends us by it."""

_DELAY: Final = 24  # samples of the lower rate, by which the resampler delays


class Resampled:
    """Takes the frames of one track and passes them on at another rate.

    A frame of n samples becomes one of n * L / M, on a time line of the new rate, without its payload. The sound in it
    comes later than its timestamp says by the resampler's constant delay, 24 samples of the lower rate. Where the track
    jumps, what the resampler holds back comes first, as a short frame, and the next frame begins at its own position.

    Args:
        sample_rate: What is passed on, in Hz. Frames that have this rate already are passed on as they are.
        on_failure: Told when one of the sinks raises; the others get the frame all the same.
        writes: See the attribute.

    Attributes:
        writes: What is called with each frame.
    """

    def __init__(
        self,
        sample_rate: int,
        on_failure: Callable[[Callable[[AudioFrame], None], BaseException], None],
        *writes: Callable[[AudioFrame], None],
    ) -> None:
        self.writes = writes
        self._sample_rate = sample_rate
        self._on_failure = on_failure
        self._resampler: Resampler | None = None
        self._last: AudioFrame | None = None
        self._end = 0  # of the last frame, in samples of the track
        self._position = 0  # of the next frame passed on, in samples of the new rate

    def write(self, frame: AudioFrame) -> None:
        """Convert a frame and pass it on.

        Raises:
            ValueError: There is no conversion between the two rates.
        """
        if frame.sample_rate == self._sample_rate:
            self._pass_on(frame)
            return
        resampler = self._resampler
        if resampler is None or frame.timestamp != self._end or frame.sample_rate != resampler.from_rate:
            resampler = self._begin(frame)
        self._last = frame
        self._end = frame.timestamp + len(frame.samples)
        self._give(frame, resampler)

    def finish(self) -> None:
        """Pass on what the resampler holds back: nothing follows without a gap."""
        if self._last is not None and self._resampler is not None:
            from_rate = self._resampler.from_rate
            silence = np.zeros(-(-_DELAY * from_rate // min(from_rate, self._sample_rate)), np.int16)
            last = self._last
            self._last = None
            self._give(AudioFrame(last.track, silence, from_rate, self._end, concealed=last.concealed), self._resampler)

    def _begin(self, frame: AudioFrame) -> Resampler:
        self.finish()
        if self._resampler is None or self._resampler.from_rate != frame.sample_rate:
            self._resampler = Resampler(frame.sample_rate, self._sample_rate)
        self._resampler.reset()
        self._position = max(self._position, frame.timestamp * self._sample_rate // frame.sample_rate)
        return self._resampler

    def _give(self, frame: AudioFrame, resampler: Resampler) -> None:
        samples = resampler.push(frame.samples)
        if len(samples):
            position = self._position
            self._position = position + len(samples)
            self._pass_on(AudioFrame(frame.track, samples, self._sample_rate, position, concealed=frame.concealed))

    def _pass_on(self, frame: AudioFrame) -> None:
        for write in self.writes:
            try:
                write(frame)
            except SINK_ERRORS as error:
                self._on_failure(write, error)
