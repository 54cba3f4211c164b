"""WAV files, a second at a time: PCM of 8 to 32 bits, floating point, G.711; any number of channels, mixed to one.

The standard library's `wave` reads neither floating point nor G.711 and, before Python 3.12, none of the files that
name their format by a GUID. A file that is still being written, or was piped, has no true lengths: where the length of
its sound is none or too great, it ends where the file ends.

Source: "Multimedia Programming Interface and Data Specifications 1.0", IBM and Microsoft, 1991; mmreg.h for the format
tags and WAVEFORMATEXTENSIBLE; EBU Tech 3306 for RF64, of which only the name is needed here.
"""

import struct
from collections.abc import Callable
from typing import Final

import numpy as np

from audio_codecs import Samples, decode_alaw, decode_ulaw
from gateway.errors import PlaybackError
from gateway.sound.arrays import to_samples
from gateway.sound.octets import Octets

__all__ = ["WAV_NAMES", "WavReader"]

WAV_NAMES: Final = (b"RIFF", b"RF64")
"""What a WAV file begins with; little-endian all of them."""

_PCM, _FLOAT, _ALAW, _ULAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_GUID_TAIL: Final = bytes.fromhex("000000001000800000aa00389b71")  # behind the format tag that a GUID holds
_NO_LENGTH: Final = (0, 0xFFFFFFFF)
_MAX_CHANNELS: Final = 8
_RATES: Final = range(4000, 192_001)
_MAX_CHUNKS: Final = 100

Decode = Callable[[bytes], np.ndarray]


class WavReader:
    """Reads one WAV file.

    Args:
        octets: The file's.

    Attributes:
        sample_rate: In Hz.

    Raises:
        PlaybackError: It is no WAV file, or holds what is not read here; the message says what.
    """

    def __init__(self, octets: Octets) -> None:
        self._octets = octets
        head = octets.read(0, 12)
        if head[:4] not in WAV_NAMES or head[8:] != b"WAVE":
            raise PlaybackError("not a WAV file")
        format_chunk, self._at, self._end = self._find_sound()
        tag, self._channels, self.sample_rate, _, block_size, bits = struct.unpack_from("<HHIIHH", format_chunk)
        if tag == _EXTENSIBLE and format_chunk[26:40] == _GUID_TAIL:
            (tag,) = struct.unpack_from("<H", format_chunk, 24)
        if not 1 <= self._channels <= _MAX_CHANNELS:
            raise PlaybackError(f"WAV file has {self._channels} channels, want 1 to {_MAX_CHANNELS}")
        if self.sample_rate not in _RATES:
            raise PlaybackError(f"WAV file has {self.sample_rate} Hz, want {_RATES[0]} to {_RATES[-1]}")
        if (tag, bits) not in _DECODERS:
            raise PlaybackError(f"WAV file has format {tag} with {bits} bits; want PCM, floating point or G.711")
        if block_size * 8 != self._channels * bits:
            raise PlaybackError(f"WAV file has {block_size} octets for {self._channels} samples of {bits} bits")
        self._block_size = block_size
        self._decode = _DECODERS[tag, bits]

    def read(self) -> Samples:
        """The next second, int16, shape (n,); empty at the end."""
        size = min(self._block_size * self.sample_rate, self._end - self._at)
        octets = self._octets.read(self._at, size)
        self._at += len(octets)
        whole = len(octets) // self._block_size * self._block_size
        return to_samples(self._decode(octets[:whole]).reshape(-1, self._channels))

    def _find_sound(self) -> tuple[bytes, int, int]:
        """Walk along the chunks: the format's body, and where the sound begins and ends."""
        at, format_chunk = 12, b""
        for _ in range(_MAX_CHUNKS):
            head = self._octets.read(at, 8)
            if len(head) < 8:
                break
            name, size = struct.unpack("<4sI", head)
            at += 8
            if name == b"fmt ":
                format_chunk = self._octets.read(at, min(size, 40))
            elif name == b"data":
                if len(format_chunk) < 16:
                    raise PlaybackError("WAV file has no format before its sound")
                return format_chunk, at, 2**63 if size in _NO_LENGTH else at + size
            at += size + size % 2
        raise PlaybackError("WAV file has no sound")


def _u8(octets: bytes) -> np.ndarray:
    return (np.frombuffer(octets, np.uint8).astype(np.int16) - 128) * 256


def _s16(octets: bytes) -> np.ndarray:
    return np.frombuffer(octets, "<i2").astype(np.int16, copy=False)


def _s24(octets: bytes) -> np.ndarray:
    return np.frombuffer(octets, np.uint8).reshape(-1, 3)[:, 1:].copy().view("<i2").ravel().astype(np.int16, copy=False)


def _s32(octets: bytes) -> np.ndarray:
    return (np.frombuffer(octets, "<i4") >> 16).astype(np.int16)


def _f32(octets: bytes) -> np.ndarray:
    return np.frombuffer(octets, "<f4")


def _f64(octets: bytes) -> np.ndarray:
    return np.frombuffer(octets, "<f8")


_DECODERS: Final[dict[tuple[int, int], Decode]] = {
    (_PCM, 8): _u8,
    (_PCM, 16): _s16,
    (_PCM, 24): _s24,
    (_PCM, 32): _s32,
    (_FLOAT, 32): _f32,
    (_FLOAT, 64): _f64,
    (_ALAW, 8): decode_alaw,
    (_ULAW, 8): decode_ulaw,
}
"""By format tag and bits: octets to int16, or to floating point within -1 to 1, channels in turn."""
