"""The person on the leg: says a recorded sentence, keeps silent for a while, and hangs up or stays."""

from collections.abc import Callable
from typing import Any

import numpy as np

from audio_codecs import Samples

__all__ = ["Caller"]


class Caller:
    """Speaks in frames, each as long as the last; the speech's last one is filled up with silence.

    Args:
        speech: What is said; may be empty.
        frame_samples: Samples of one frame.
        silence_samples: How much silence follows before the caller hangs up, rounded up to whole frames; None if the
            caller stays until somebody else hangs up.
    """

    def __init__(self, speech: Samples, *, frame_samples: int, silence_samples: int | None) -> None:
        speaking = -(-len(speech) // frame_samples)
        self._line = np.zeros(speaking * frame_samples, np.int16)
        self._line[: len(speech)] = speech
        self.note: Callable[..., None] = lambda kind, **fields: None
        self._frame_samples = frame_samples
        self._silence = np.zeros(frame_samples, np.int16)
        self._frames = None if silence_samples is None else speaking + -(-silence_samples // frame_samples)
        self._spoken = 0

    @property
    def finished(self) -> bool:
        """The caller has hung up: there was nothing left to say, and no silence to keep."""
        return self._frames is not None and self._spoken > self._frames

    def hear(self, samples: Samples) -> None:
        """Hear it, and care no more."""

    def take_pressed(self) -> list[str]:
        """None: this one presses no keys."""
        return []

    def cleared(self) -> None:
        """Take no notice."""

    def describe(self) -> list[dict[str, Any]]:
        """Nothing: this one follows no script."""
        return []

    def speak(self) -> Samples:
        """The next frame; silence once the caller has hung up."""
        position = self._spoken * self._frame_samples
        self._spoken += 1
        frame = self._line[position : position + self._frame_samples]
        return frame if len(frame) else self._silence
