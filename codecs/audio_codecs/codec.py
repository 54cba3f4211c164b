"""One codec by its RFC 3551 name: what a stream opens once for each direction and uses for each payload."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from audio_codecs.amr_wb import AmrWb, load_encoder
from audio_codecs.comfort_noise import ComfortNoise
from audio_codecs.g711 import decode_alaw, decode_ulaw, encode_alaw, encode_ulaw
from audio_codecs.g722 import G722
from audio_codecs.l16 import L16
from audio_codecs.mp3 import MP3_RATES, Mp3
from audio_codecs.opus import OPUS_RATES, Opus
from audio_codecs.samples import CodecError, Samples
from audio_codecs.wire import Wire

__all__ = ["Codec", "CodecError", "Samples", "missing_codecs", "open_codec"]

ENCODINGS: Final = ("PCMU", "PCMA", "L16", "G722", "OPUS", "AMR-WB", "MP3")

_L16_RATES: Final = (8000, 16000, 22050, 24000, 48000)
_G722_RATES: Final = (8000, 16000)  # the clock that RFC 3551 gives it; and the truth, where it is told
_AMR_WB_RATES: Final = (8000, 16000)  # Telnyx lists both; its sound always has 16,000


@dataclass(frozen=True, slots=True)
class Codec:
    """One codec, for one direction of one stream, as most keep state.

    Attributes:
        encoding: The RFC 3551 name, such as `PCMU`.
        sample_rate: Real sampling of what `decode` returns and `encode` takes, in Hz.
        decode: Payload to int16 samples, shape (n,). Raises CodecError.
        encode: int16 samples, shape (n,), to payload. Raises CodecError where n is no whole number of its frames.
        conceal: Makes up the next n samples for a packet that did not come, int16, shape (n,), and leads the decoder's
            state along; None where the codec has no way of its own.
        lose: Is to be told how many seconds did not come, where there is no `conceal` and the decoder cares; else None.
        comfort_noise: Makes the noise that a payload of up to `COMFORT_NOISE_OCTETS` describes, n samples of it (RFC
            3389); None where so short a payload is sound.
        wire: What it found out about the stream's wire; None where nothing is left open.
        repeatable: `decode` keeps no state: a payload may be decoded once more, whenever it is wanted.
    """

    encoding: str
    sample_rate: int
    decode: Callable[[bytes], Samples]
    encode: Callable[[Samples], bytes]
    conceal: Callable[[int], Samples] | None = None
    lose: Callable[[float], None] | None = None
    comfort_noise: Callable[[bytes, int], Samples] | None = None
    wire: Wire | None = None
    repeatable: bool = False


def open_codec(encoding: str, clock_rate: int, *, wire: Wire | None = None, to_send: bool = False) -> Codec:
    """Open a codec for one direction of one stream.

    Args:
        encoding: `PCMU`, `PCMA`, `L16`, `G722`, `OPUS` or `AMR-WB`, as RFC 3551 and Telnyx spell them; or `MP3`, for
            the mode of that name.
        clock_rate: What stands beside it: the RTP clock, or the sampling rate where Telnyx gives that.
        wire: What the stream's two directions have in common; an own one if None.
        to_send: It will be asked to encode.

    Raises:
        CodecError: Not a codec we have, not at this rate, or something has to be installed first.
    """
    wire = wire or Wire()
    match encoding:
        case "PCMU" if clock_rate == 8000:
            noise = ComfortNoise().decode
            return Codec(encoding, 8000, decode_ulaw, encode_ulaw, comfort_noise=noise, repeatable=True)
        case "PCMA" if clock_rate == 8000:
            noise = ComfortNoise().decode
            return Codec(encoding, 8000, decode_alaw, encode_alaw, comfort_noise=noise, repeatable=True)
        case "L16" if clock_rate in _L16_RATES:
            l16 = L16(clock_rate, wire)
            return Codec(encoding, clock_rate, l16.decode, l16.encode, wire=wire)
        case "G722" if clock_rate in _G722_RATES:
            g722 = G722()
            noise = ComfortNoise().decode
            return Codec(encoding, 16_000, g722.decode, g722.encode, lose=g722.lose, comfort_noise=noise)
        case "OPUS" if clock_rate in OPUS_RATES:
            opus = Opus(clock_rate)
            return Codec(encoding, clock_rate, opus.decode, opus.encode, opus.conceal)
        case "AMR-WB" if clock_rate in _AMR_WB_RATES:
            amr_wb = AmrWb(wire)
            if to_send:
                load_encoder()
            return Codec(encoding, 16_000, amr_wb.decode, amr_wb.encode, amr_wb.conceal, wire=wire)
        case "MP3" if clock_rate in MP3_RATES:
            mp3 = Mp3(clock_rate)
            return Codec(encoding, clock_rate, mp3.decode, mp3.encode)
        case _ if encoding in ENCODINGS:
            raise CodecError(f"{encoding} at {clock_rate} Hz is not a format of telephony")
        case _:
            raise CodecError(f"no codec for {encoding[:40]!r} here; there are {', '.join(ENCODINGS)}")


def missing_codecs() -> dict[str, str]:
    """Find out which codecs cannot be had here, and load the others: better as a program starts than as a call does.

    Returns:
        For each one that is missing, or cannot be sent, what to install.
    """
    missing = {}
    for encoding in ENCODINGS:
        try:
            open_codec(encoding, 8000, to_send=True)
        except CodecError as error:
            missing[encoding] = str(error)
    return missing
