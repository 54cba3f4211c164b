"""One codec by its RFC 3551 name: what a stream opens once and uses for each payload."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from audio_codecs.g711 import decode_alaw, decode_ulaw, encode_alaw, encode_ulaw
from audio_codecs.l16 import ByteOrder, decode_l16, encode_l16
from audio_codecs.samples import CodecError, Samples

__all__ = ["Codec", "CodecError", "Samples", "open_codec"]


@dataclass(frozen=True, slots=True)
class Codec:
    """Both directions of one codec; open one for each direction of each stream, as some keep state.

    Attributes:
        encoding: The RFC 3551 name, such as `PCMU`.
        sample_rate: Real sampling of what `decode` returns and `encode` takes, in Hz.
        decode: Payload to int16 samples, shape (n,). Raises CodecError.
        encode: int16 samples, shape (n,), to payload.
    """

    encoding: str
    sample_rate: int
    decode: Callable[[bytes], Samples]
    encode: Callable[[Samples], bytes]


_L16_RATES = (8000, 16000, 22050, 24000, 48000)


def open_codec(encoding: str, clock_rate: int, *, byte_order: ByteOrder = "little") -> Codec:
    """Open a codec for one direction of one stream.

    Args:
        encoding: `PCMU`, `PCMA` or `L16`, as RFC 3551 and Telnyx spell them.
        clock_rate: The RTP clock in Hz: 8000 for G.711; 8000, 16000, 22050, 24000 or 48000 for L16.
        byte_order: Of L16 on the wire.

    Raises:
        CodecError: Not a codec we have, or not at this rate.
    """
    match encoding:
        case "PCMU" if clock_rate == 8000:
            return Codec(encoding, 8000, decode_ulaw, encode_ulaw)
        case "PCMA" if clock_rate == 8000:
            return Codec(encoding, 8000, decode_alaw, encode_alaw)
        case "L16" if clock_rate in _L16_RATES:
            decode = partial(decode_l16, byte_order=byte_order)
            return Codec(encoding, clock_rate, decode, partial(encode_l16, byte_order=byte_order))
        case "PCMU" | "PCMA" | "L16":
            raise CodecError(f"{encoding} at {clock_rate} Hz is not a format of telephony")
        case _:
            raise CodecError(f"no codec for {encoding[:40]!r} here; there are PCMU, PCMA and L16")
