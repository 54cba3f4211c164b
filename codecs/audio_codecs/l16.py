"""L16: uncompressed 16-bit samples.

RFC 3551 section 4.5.11 says big-endian; those who ran it on Telnyx's media streams found little-endian. So the byte
order is an argument everywhere, never a constant.
"""

import sys
from typing import Literal, TypeAlias

import numpy as np

from audio_codecs.samples import CodecError, Samples

ByteOrder: TypeAlias = Literal["little", "big"]

_NATIVE = sys.byteorder


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
    if len(payload) % 2:
        raise CodecError(f"L16 payload of {len(payload)} octets, want an even number")
    samples = np.frombuffer(payload, np.int16)
    return samples if byte_order == _NATIVE else samples.byteswap()


def encode_l16(samples: Samples, byte_order: ByteOrder) -> bytes:
    """Write 16-bit samples, int16 of shape (n,), as 2 n octets in the given byte order."""
    return (samples if byte_order == _NATIVE else samples.byteswap()).tobytes()
