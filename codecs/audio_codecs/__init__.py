"""Telephone codecs: payload octets to int16 samples and back. Knows nothing of the gateway.

`open_codec("PCMU", 8000)` gives the pair of functions for one direction of one stream.
"""

from audio_codecs.codec import Codec, CodecError, Samples, open_codec
from audio_codecs.g711 import decode_alaw, decode_ulaw, encode_alaw, encode_ulaw
from audio_codecs.l16 import ByteOrder, decode_l16, encode_l16

__all__ = [
    "ByteOrder",
    "Codec",
    "CodecError",
    "Samples",
    "decode_alaw",
    "decode_l16",
    "decode_ulaw",
    "encode_alaw",
    "encode_l16",
    "encode_ulaw",
    "open_codec",
]
