"""WebRTC's detector: Gaussian mixtures over six bands; 2 microseconds for 20 ms. Extra `vad`.

The package is `webrtcvad-wheels`: the original `webrtcvad` comes as source only and wants `pkg_resources`.
"""

from typing import Final

from audio_codecs import Samples
from gateway.errors import ConfigError

__all__ = ["RATES", "WebRtcVad"]

RATES: Final = (8000, 16_000, 32_000, 48_000)


class WebRtcVad:
    """One track.

    Args:
        sample_rate: One of `RATES`.
        mode: How sure it is to be of what it calls speech, 0 to 3. At 8 kHz and 1, a quarter of faint noise is speech
            to it; at 3 next to none of it.

    Raises:
        ConfigError: The package is not installed.
    """

    def __init__(self, sample_rate: int, mode: int = 3) -> None:
        try:
            import webrtcvad
        except ImportError as error:
            raise ConfigError("the detector webrtc needs: pip install 'telnyx-media-gateway[vad]'") from error
        self.sample_rate = sample_rate
        self.hop = sample_rate // 50
        self._make = webrtcvad.Vad
        self._mode = mode
        self.reset()

    def is_speech(self, samples: Samples) -> bool:
        """Judge 20 ms."""
        return bool(self._vad.is_speech(samples.tobytes(), self.sample_rate))

    def reset(self) -> None:
        """Begin anew."""
        self._vad = self._make(self._mode)
