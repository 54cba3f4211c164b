"""Recorded speech as it comes in by HTTP or in a file of rules: base64 of a WAV file."""

import base64
import binascii
from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator

from audio_codecs import Samples
from gateway.simulator.wav import read_wav

__all__ = ["SAMPLE_RATE", "WavText", "decode_speech"]

SAMPLE_RATE: Final = 8000
"""The one rate of the simulator's legs, in Hz."""


def decode_speech(text: str) -> Samples:
    """Read the speech: int16 at 8000 Hz.

    Raises:
        ValueError: It is no such file; says what it is.
    """
    try:
        octets = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from error
    return read_wav(octets, sample_rate=SAMPLE_RATE)


def _checked(text: str) -> str:
    decode_speech(text)
    return text


WavText: TypeAlias = Annotated[str, AfterValidator(_checked)]
"""A field that holds one: base64 of a WAV file, 8000 Hz, mono, 16 bit."""
