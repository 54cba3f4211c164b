"""Opus, by libopus: one packet is one payload.

The decoder always gives 48,000 Hz, which are brought down to the rate that was announced. A packet holds 2.5 to 120 ms
and says which; ours hold 20. In DTX the sender leaves packets of one or two octets now and then, from which the decoder
makes comfort noise. What is stereo is mixed to mono.

A packet that holds no more than its first octet, the TOC, stands for a frame that is missing, and libopus conceals it
(RFC 6716 section 4.4, and opus_decoder.c). PyAV has no call for a lost packet, so `conceal` sends the decoder that
octet of the last good packet. It has none for the copy of the lost packet that the next one may carry (FEC) either;
that is not used.

Source: RFC 6716 section 3; RFC 7587.
"""

from typing import Final

import numpy as np

from audio_codecs.pyav import Converter, PacketDecoder, PacketEncoder, samples_of
from audio_codecs.samples import CodecError, Samples

__all__ = ["OPUS_RATES", "Opus"]

_DECODER_RATE: Final = 48_000
_BIT_RATES: Final = {8000: 16_000, 16_000: 24_000, 24_000: 32_000, 48_000: 32_000}
OPUS_RATES: Final = tuple(_BIT_RATES)
_ONE_FRAME: Final = 0xFC  # of the TOC: the two bits that count the frames are 0 for one


class Opus:
    """One direction of one stream.

    Args:
        sample_rate: Of the samples, in Hz; one of `OPUS_RATES`.

    Raises:
        CodecError: PyAV is not installed.
    """

    def __init__(self, sample_rate: int) -> None:
        self._decoder = PacketDecoder("OPUS", "libopus", _DECODER_RATE)
        self._encoder = PacketEncoder(
            "OPUS", "libopus", sample_rate, bit_rate=_BIT_RATES[sample_rate], application="voip"
        )
        self._to_rate = samples_of
        if sample_rate != _DECODER_RATE:
            self._to_rate = Converter(_DECODER_RATE, sample_rate).convert
        self._toc = b""

    def decode(self, payload: bytes) -> Samples:
        """Decode the next packet.

        Returns:
            int16, shape (n,), for the 2.5 to 120 ms that the packet says.

        Raises:
            CodecError: It is no Opus packet.
        """
        samples = self._decode(payload)
        self._toc = bytes((payload[0] & _ONE_FRAME,))
        return samples

    def conceal(self, n: int) -> Samples:
        """Make up the next n samples as libopus does; the decoder goes along. Returns int16, shape (n,)."""
        pieces = [np.zeros(0, np.int16)]
        while self._toc and n > (made := sum(map(len, pieces))):
            pieces.append(self._decode(self._toc)[: n - made])
        samples = np.concatenate(pieces)
        return samples if len(samples) == n else np.zeros(n, np.int16)

    def encode(self, samples: Samples) -> bytes:
        """Encode 20 ms, int16 of shape (sample_rate / 50,), to one packet.

        Raises:
            CodecError: They are not 20 ms: one packet holds one frame, and one message one packet.
        """
        if len(samples) != self._encoder.frame_samples:
            raise CodecError(f"OPUS has 20 ms in a packet, {self._encoder.frame_samples} samples, not {len(samples)}")
        (packet,) = self._encoder.encode(samples)
        return packet

    def _decode(self, packet: bytes) -> Samples:
        return self._to_rate(self._decoder.decode(packet))
