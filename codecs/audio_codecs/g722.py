"""G.722: 7 kHz of sound in the 64 kbit/s of G.711.

Its RTP clock is 8000 Hz, by a mistake that the standard keeps for compatibility; its sound has 16,000. Each octet holds
two samples. It is ADPCM: both ends adapt to what went before, so after a loss the decoder is off for a while and comes
back by itself within some tens of milliseconds. After more than 60 ms of loss it would come back with a blast (three
times the level of the speech was measured): then it begins anew, and is too quiet for 20 ms instead. Any octets are a
valid payload.

Source: ITU-T G.722 (2012); RFC 3551 section 4.5.2, payload type 9.
"""

from typing import Final

from audio_codecs.pyav import PacketDecoder, PacketEncoder, samples_of
from audio_codecs.samples import Samples

__all__ = ["G722"]

_SAMPLE_RATE: Final = 16_000
_MISLEADING: Final = 0.065  # seconds of loss after which the past is worse than none: more than three packets of 20 ms


class G722:
    """One direction of one stream.

    Raises:
        CodecError: PyAV is not installed.
    """

    def __init__(self) -> None:
        self._decoder = PacketDecoder("G722", "g722", _SAMPLE_RATE)
        self._encoder = PacketEncoder("G722", "g722", _SAMPLE_RATE)
        self._missing = 0.0  # seconds since the last packet

    def decode(self, payload: bytes) -> Samples:
        """Decode the next payload.

        Returns:
            int16, shape (2 * len(payload),), 16,000 Hz.

        Raises:
            CodecError: The payload is empty.
        """
        if self._missing:
            if self._missing > _MISLEADING:
                self._decoder.begin_anew()
            self._missing = 0.0
        return samples_of(self._decoder.decode(payload))

    def lose(self, seconds: float) -> None:
        """Note that so much did not come."""
        self._missing += seconds

    def encode(self, samples: Samples) -> bytes:
        """Encode the next samples, int16 of shape (320 k,), to 160 k octets.

        Raises:
            CodecError: They are no whole 20 ms.
        """
        return b"".join(self._encoder.encode(samples))
