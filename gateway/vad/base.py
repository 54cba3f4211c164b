"""The contract of a voice activity detector: is this stretch of sound speech, yes or no."""

from typing import Protocol

from audio_codecs import Samples

__all__ = ["VoiceDetector"]


class VoiceDetector(Protocol):
    """Judges one track, hop by hop; what it makes of one may depend on those before.

    Attributes:
        sample_rate: Of what it hears, in Hz.
        hop: How many samples it judges at a time.
    """

    sample_rate: int
    hop: int

    def is_speech(self, samples: Samples) -> bool:
        """Judge the next hop: int16, shape (hop,). Takes far less than the time that the hop lasts."""

    def reset(self) -> None:
        """Forget what was heard: there is a hole in the sound."""
