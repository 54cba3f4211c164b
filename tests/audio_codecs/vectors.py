"""The files of `tests/vectors`, and how alike two sounds are."""

import struct
import wave
from pathlib import Path

import numpy as np

from audio_codecs import Samples

VECTORS = Path(__file__).parent.parent / "vectors"


def read(name: str) -> bytes:
    return (VECTORS / name).read_bytes()


def samples(name: str) -> Samples:
    """A file of 16 bits, little-endian, mono; a WAV by its name."""
    if name.endswith(".wav"):
        with wave.open(str(VECTORS / name)) as file:
            return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.int16)
    return np.frombuffer(read(name), "<i2").astype(np.int16)


def payloads(name: str) -> list[bytes]:
    """The payloads of an RTP stream framed by RFC 4571; its headers have twelve octets."""
    stream, found = read(name), []
    while stream:
        (length,) = struct.unpack_from(">H", stream)
        found.append(stream[14 : 2 + length])
        stream = stream[2 + length :]
    return found


def snr(heard: Samples, expected: Samples, *, delay: int = 0) -> float:
    """In dB: how far the difference lies below what is expected, where `heard` comes `delay` samples later."""
    length = min(len(heard) - delay, len(expected))
    sound = expected[:length].astype(np.float64)
    noise = heard[delay : delay + length] - sound
    return float(10 * np.log10(np.sum(sound**2) / max(np.sum(noise**2), 1e-9)))


def rms(sound: Samples) -> float:
    return float(np.sqrt(np.mean(sound.astype(np.float64) ** 2)))
