"""Telephone codecs: payload octets to int16 samples and back. Knows nothing of the gateway.

`open_codec("PCMU", 8000)` gives the pair of functions for one direction of one stream.
"""

from audio_codecs.byte_order import ByteOrder
from audio_codecs.codec import Codec, CodecError, Samples, missing_codecs, open_codec
from audio_codecs.g711 import decode_alaw, decode_ulaw, encode_alaw, encode_ulaw
from audio_codecs.l16 import decode_l16, encode_l16
from audio_codecs.mp3 import decode_mp3, encode_mp3
from audio_codecs.wire import ByteOrderSetting, Wire

__all__ = [
    "ByteOrder",
    "ByteOrderSetting",
    "Codec",
    "CodecError",
    "Samples",
    "Wire",
    "decode_alaw",
    "decode_l16",
    "decode_mp3",
    "decode_ulaw",
    "encode_alaw",
    "encode_l16",
    "encode_mp3",
    "encode_ulaw",
    "missing_codecs",
    "open_codec",
]
