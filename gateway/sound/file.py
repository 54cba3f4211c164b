"""Sound as one MP3 file: what a stream in the mode `mp3` takes, a whole file in each message.

An MP3 file goes as it is. Anything else is read to its end first and then encoded, both in a thread. The samples come
along, so that the playout knows how long the file is heard, and the sinks what.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from os import PathLike
from typing import Final

import msgspec
import numpy as np

from audio_codecs import Codec, CodecError, Samples, decode_mp3
from gateway.errors import PlaybackError
from gateway.media.resample import Resampler
from gateway.sound.mp3 import is_mp3
from gateway.sound.octets import open_octets
from gateway.sound.source import Source, read_source

__all__ = ["SoundFile", "pack", "read_file"]

_MAX_OCTETS: Final = 750_000
"""A million on the wire, in base64: more would look like a socket that is not read."""
_MAX_SECONDS: Final = 600.0


class SoundFile(msgspec.Struct, frozen=True):
    """A whole sound.

    Attributes:
        octets: The MP3 file.
        samples: What is heard of it, int16, shape (n,); whole 20 ms, with silence behind it if need be.
    """

    octets: bytes
    samples: Samples


async def read_file(source: Source, sample_rate: int | None, *, codec: Codec) -> AsyncGenerator[SoundFile]:
    """Read a source whole.

    Args:
        source: As for `read_source`.
        sample_rate: As for `read_source`.
        codec: MP3, at the rate of the samples.

    Yields:
        One file.

    Raises:
        PlaybackError: The source is no sound, is longer than ten minutes, or too large for a message.
    """
    file = None
    if isinstance(source, str | PathLike | bytes):
        octets = open_octets(source)
        file = await asyncio.to_thread(octets.read, 0, _MAX_OCTETS + 1)
    if file is not None and is_mp3(file[:4]):
        yield await asyncio.to_thread(_as_it_is, file, codec)
        return
    async for packed in pack(read_source(source, sample_rate, to_rate=codec.sample_rate), codec=codec):
        yield packed


async def pack(sound: AsyncGenerator[Samples], *, codec: Codec) -> AsyncGenerator[SoundFile]:
    """Read sound to its end and encode it."""
    pieces: list[Samples] = []
    async with aclosing(sound):
        async for samples in sound:
            pieces.append(samples)
            if sum(map(len, pieces)) > _MAX_SECONDS * codec.sample_rate:
                raise PlaybackError(f"the sound is longer than {_MAX_SECONDS:g} s")
    if sum(map(len, pieces)):
        yield await asyncio.to_thread(_encode, pieces, codec)


def _as_it_is(file: bytes, codec: Codec) -> SoundFile:
    try:
        samples, sample_rate = decode_mp3(file, max_seconds=_MAX_SECONDS)
        resampler = Resampler(sample_rate, codec.sample_rate)
    except (CodecError, ValueError) as error:
        raise PlaybackError(str(error)) from error
    return _sound_file(file, [resampler.push(samples), resampler.flush()], codec)


def _encode(pieces: list[Samples], codec: Codec) -> SoundFile:
    return _sound_file(codec.encode(np.concatenate(pieces)), pieces, codec)


def _sound_file(octets: bytes, pieces: list[Samples], codec: Codec) -> SoundFile:
    if len(octets) > _MAX_OCTETS:
        raise PlaybackError(f"the MP3 file has more than the {_MAX_OCTETS} octets that fit into one message")
    short = -sum(map(len, pieces)) % (codec.sample_rate // 50)
    return SoundFile(octets, np.concatenate((*pieces, np.zeros(short, np.int16))))
