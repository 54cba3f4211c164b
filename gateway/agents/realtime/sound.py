"""Between the sound of a call and that of a Realtime session: G.711 is passed on, all else is PCM of 24 kHz."""

from collections.abc import Callable
from typing import Final

import numpy as np

from audio_codecs import Samples, decode_alaw, decode_ulaw, encode_alaw, encode_ulaw
from gateway.agents.realtime.options import SoundFormat
from gateway.media.frame import AudioFrame
from gateway.media.resample import Resampler
from gateway.sinks.base import StreamInfo

__all__ = ["Sound"]

_G711: Final[dict[str, tuple[SoundFormat, Callable[[Samples], bytes], Callable[[bytes], Samples]]]] = {
    "PCMU": ("audio/pcmu", encode_ulaw, decode_ulaw),
    "PCMA": ("audio/pcma", encode_alaw, decode_alaw),
}
_PCM_RATE: Final = 24_000


class Sound:
    """Converts both directions of one call.

    Args:
        info: The call's stream.

    Attributes:
        hears: The format of what the caller says, as the model gets it.
        speaks: The format of what the model says.
        said_rate: Of that, in Hz.
    """

    def __init__(self, info: StreamInfo) -> None:
        self.hears: SoundFormat = "audio/pcm"
        self.speaks: SoundFormat = "audio/pcm"
        self.said_rate = _PCM_RATE
        self._encode: Callable[[Samples], bytes] | None = None
        self._decode: Callable[[bytes], Samples] = _pcm
        self._resampler: Resampler | None = None
        if info.inbound_encoding in _G711:
            self.hears, self._encode, _ = _G711[info.inbound_encoding]
        elif info.inbound_sample_rate != _PCM_RATE:
            self._resampler = Resampler(info.inbound_sample_rate, _PCM_RATE)
        if info.played_encoding in _G711:
            self.speaks, _, self._decode = _G711[info.played_encoding]
            self.said_rate = 8000

    def heard(self, frame: AudioFrame) -> bytes:
        """A frame of the caller, as the model gets it; the octets of the wire where that can be."""
        if self._encode is not None:
            return frame.payload or self._encode(frame.samples)  # none where it was lost, and made up
        samples = frame.samples if self._resampler is None else self._resampler.push(frame.samples)
        return samples.astype("<i2", copy=False).tobytes()

    def said(self, octets: bytes) -> Samples:
        """What the model says, int16, shape (n,), at `said_rate`."""
        return self._decode(octets)


def _pcm(octets: bytes) -> Samples:
    return np.frombuffer(octets[: len(octets) & ~1], "<i2").astype(np.int16, copy=False)
