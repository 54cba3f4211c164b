"""L16: uncompressed 16-bit samples.

RFC 3551 section 4.5.11 says big-endian; those who ran it on Telnyx's media streams found little-endian. So the byte
order is never a constant here: the functions take it as an argument, and a stream takes it from its `Wire`.
"""

import sys
from typing import Final

import numpy as np

from audio_codecs.byte_order import ByteOrder
from audio_codecs.samples import CodecError, Samples
from audio_codecs.wire import Wire

__all__ = ["L16", "decode_l16", "encode_l16"]

_NATIVE: Final = sys.byteorder


def decode_l16(payload: bytes, byte_order: ByteOrder) -> Samples:
    """Read 16-bit samples.

    Args:
        payload: Two octets a sample, mono. May be empty.
        byte_order: How each pair stands on the wire.

    Returns:
        int16, shape (len(payload) // 2,).

    Raises:
        CodecError: An odd number of octets.
    """
    samples = _native(payload)
    return samples if byte_order == _NATIVE else samples.byteswap()


def encode_l16(samples: Samples, byte_order: ByteOrder) -> bytes:
    """Write 16-bit samples, int16 of shape (n,), as 2 n octets in the given byte order."""
    return (samples if byte_order == _NATIVE else samples.byteswap()).tobytes()


class L16:
    """One direction of one stream, in the byte order of its wire.

    Args:
        sample_rate: In Hz.
        wire: Knows the byte order, or is told what comes in until it does.
    """

    def __init__(self, sample_rate: int, wire: Wire) -> None:
        self._sample_rate = sample_rate
        self._wire = wire
        self._settled = False  # and in the machine's own order: nothing is to be done but to look

    def decode(self, payload: bytes) -> Samples:
        """Read 16-bit samples; see `decode_l16`."""
        if len(payload) % 2:
            raise _odd(payload)
        samples = np.frombuffer(payload, np.int16)
        return samples if self._settled else self._in_order(samples)

    def encode(self, samples: Samples) -> bytes:
        """Write 16-bit samples; see `encode_l16`."""
        return (samples if self._wire.byte_order == _NATIVE else samples.byteswap()).tobytes()

    def _in_order(self, samples: Samples) -> Samples:
        wire = self._wire
        if wire.byte_order_heard is None:
            wire.listen(samples, self._sample_rate)
        native = wire.byte_order == _NATIVE
        self._settled = native and wire.byte_order_heard is not None
        return samples if native else samples.byteswap()


def _native(payload: bytes) -> Samples:
    if len(payload) % 2:
        raise _odd(payload)
    return np.frombuffer(payload, np.int16)


def _odd(payload: bytes) -> CodecError:
    return CodecError(f"L16 payload of {len(payload)} octets, want an even number")
