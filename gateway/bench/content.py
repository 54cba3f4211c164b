"""What the callers say: encoded once, in frames of 20 ms that are said again and again.

With PCMU, PCMA and L16 each frame says its number: the lowest bit of its first twelve samples. That is inaudible, an
echo gives it back whatever it does to the message around it, and no two frames of a loop are the same. Other codecs
change every bit on the way; what comes back of them is found by its sound.
"""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np

from audio_codecs import Codec, CodecError, Samples, Wire, open_codec
from gateway.errors import ConfigError, PlaybackError
from gateway.sound.source import read_source

__all__ = ["FRAME", "Content", "make_content", "read_speech"]

FRAME: Final = 0.02
"""Seconds of one frame."""

NUMBER_BITS: Final = 12
_NUMBERED: Final = ("PCMU", "PCMA", "L16")
_MAX_SECONDS: Final = 60  # less than 2 ** NUMBER_BITS frames
_MIN_SECONDS: Final = 5  # an answer that takes longer than the loop cannot be told from the next one
_SPEECH: Final = Path(__file__).parent.parent / "simulator" / "scripts" / "booking.wav"


@dataclass(frozen=True, slots=True)
class Content:
    """A loop of sound.

    Attributes:
        encoding: As `start` announces it.
        clock_rate: The same, in Hz.
        sample_rate: Of the sound, in Hz.
        byte_order: Of L16.
        samples: The sound, int16, shape (n,), n whole frames.
        payloads: Of each frame.
        numbered: Whether each payload can be recognised.
    """

    encoding: str
    clock_rate: int
    sample_rate: int
    byte_order: Literal["little", "big"]
    samples: Samples
    payloads: tuple[bytes, ...]
    numbered: bool

    @property
    def texts(self) -> list[bytes]:
        """The payloads as messages hold them, base64."""
        return [base64.b64encode(payload) for payload in self.payloads]


def make_content(
    samples: Samples, *, encoding: str, clock_rate: int, byte_order: Literal["little", "big"] = "little"
) -> Content:
    """Encode what is said.

    Args:
        samples: int16, shape (n,), at the codec's own rate; up to a minute of them are taken.
        encoding: `PCMU`, `PCMA`, `L16`, `G722`, `OPUS` or `AMR-WB`.
        clock_rate: As `open_codec` takes it.
        byte_order: Of L16.

    Raises:
        ConfigError: There is no such codec at such a rate here, or nothing is said.
    """
    codec = _open(encoding, clock_rate, byte_order)
    size = round(codec.sample_rate * FRAME)
    samples = _whole_frames(samples[: _MAX_SECONDS * codec.sample_rate], size, codec.sample_rate)
    payloads = [codec.encode(samples[at : at + size]) for at in range(0, len(samples), size)]
    numbered = encoding in _NUMBERED
    if numbered:
        width = 2 if encoding == "L16" else 1
        low = 1 if width == 2 and byte_order == "big" else 0  # where in a sample the lowest bit stands
        payloads = [_number(payload, n, width, low) for n, payload in enumerate(payloads)]
        if encoding == "PCMU":
            payloads = [payload.replace(b"\x7f", b"\xff") for payload in payloads]  # of its two zeros one comes back
    return Content(encoding, clock_rate, codec.sample_rate, byte_order, samples, tuple(payloads), numbered)


async def read_speech(wav: Path | None, *, encoding: str, clock_rate: int) -> Samples:
    """Read a minute of speech at most, at a codec's own rate; a sentence that comes with the gateway if None.

    Raises:
        ConfigError: The file cannot be read, or there is no such codec.
    """
    rate = _open(encoding, clock_rate, "little").sample_rate
    pieces: list[Samples] = [np.zeros(0, np.int16)]
    try:
        async for piece in read_source(wav or _SPEECH, None, to_rate=rate):
            pieces.append(piece)
            if sum(map(len, pieces)) >= _MAX_SECONDS * rate:
                break
    except PlaybackError as error:
        raise ConfigError(f"--wav: {error}") from error
    return np.concatenate(pieces)


def _open(encoding: str, clock_rate: int, byte_order: Literal["little", "big"]) -> Codec:
    try:
        return open_codec(encoding, clock_rate, wire=Wire(byte_order), to_send=True)
    except CodecError as error:
        raise ConfigError(f"--codec: {error}") from error


def _whole_frames(samples: Samples, size: int, sample_rate: int) -> Samples:
    """Fill up with silence: to whole frames, and to as long as an answer may take."""
    if not samples.any():
        raise ConfigError("--wav: it holds no sound")
    length = max(-(-len(samples) // size) * size, _MIN_SECONDS * sample_rate)
    return np.concatenate((samples, np.zeros(length - len(samples), np.int16)))


def _number(payload: bytes, number: int, width: int, low: int) -> bytes:
    octets = bytearray(payload)
    for bit in range(NUMBER_BITS):
        at = bit * width + low
        octets[at] = octets[at] & 0xFE | number >> bit & 1
    return bytes(octets)
