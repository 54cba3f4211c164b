"""The person on the leg: says a recorded sentence, keeps silent for a while, and hangs up."""

import numpy as np

from audio_codecs import Samples

__all__ = ["Caller"]


class Caller:
    """Speaks in frames, each as long as the last; the speech's last one is filled up with silence.

    Args:
        speech: What is said.
        frame_samples: Samples of one frame.
        silence_samples: How much silence follows before the caller hangs up, rounded up to whole frames.
    """

    def __init__(self, speech: Samples, *, frame_samples: int, silence_samples: int) -> None:
        frames = -(-len(speech) // frame_samples) + -(-silence_samples // frame_samples)
        self._line = np.zeros(frames * frame_samples, np.int16)
        self._line[: len(speech)] = speech
        self._frame_samples = frame_samples
        self._position = 0

    @property
    def finished(self) -> bool:
        """Nothing is left to say: the caller hangs up."""
        return self._position >= len(self._line)

    def speak(self) -> Samples:
        """The next frame."""
        frame = self._line[self._position : self._position + self._frame_samples]
        self._position += self._frame_samples
        return frame
