"""Whatever an application wants to play, as samples at the rate of its call.

Files and arrays are read and converted in a thread, a second at a time, so that neither a disk nor an hour of sound
keeps the calls waiting; a generator's chunks are converted as they come. Nothing is read before it is asked for.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterator
from contextlib import aclosing, nullcontext
from typing import Any, Final, Protocol, TypeAlias

import numpy.typing as npt

from audio_codecs import Samples
from gateway.errors import PlaybackError
from gateway.media.resample import Resampler
from gateway.sound.arrays import ArrayReader, check_array, to_samples
from gateway.sound.mp3 import Mp3Reader, is_mp3
from gateway.sound.octets import Octets, open_octets
from gateway.sound.wav import WAV_NAMES, WavReader

__all__ = ["Reader", "Source", "read_source", "stream_reader"]

Source: TypeAlias = str | os.PathLike[str] | bytes | npt.NDArray[Any] | AsyncIterable[npt.NDArray[Any]]
"""A WAV or MP3 file by its path or its octets, an array, or what yields arrays: see `Call.play`."""

_READ_TIMEOUT: Final = 10.0
_LONG_CHUNK: Final = 0.2  # seconds of sound whose conversion would be felt by other calls


class Reader(Protocol):
    """Sound that is there to be read; used by one thread at a time.

    Attributes:
        sample_rate: In Hz.
    """

    sample_rate: int

    def read(self) -> Samples:
        """About a second more, int16, shape (n,); empty at the end.

        Raises:
            PlaybackError: It cannot be read on.
        """


def read_source(source: Source, sample_rate: int | None, *, to_rate: int) -> AsyncGenerator[Samples]:
    """Begin to read a source.

    Args:
        source: What to read; of a file, the kind is told by its first octets.
        sample_rate: Of an array, or of what yields arrays, in Hz; a file tells its own.
        to_rate: What comes out, in Hz.

    Yields:
        int16, shape (n,).

    Raises:
        PlaybackError: The source is nothing that can be played; or, later, it cannot be read.
    """
    if isinstance(source, str | os.PathLike | bytes):
        if sample_rate is not None:
            raise PlaybackError("a file tells its own sample rate")
        octets = open_octets(source)
        return stream_reader(lambda: _open_file(octets), to_rate=to_rate)
    if sample_rate is None:
        raise PlaybackError("an array does not tell its sample rate: give sample_rate")
    if isinstance(source, AsyncIterable):
        return _stream_chunks(source, _open_resampler(sample_rate, to_rate))
    array = check_array(source)
    _open_resampler(sample_rate, to_rate)  # refuse now what could not be played later
    return stream_reader(lambda: ArrayReader(array, sample_rate), to_rate=to_rate)


async def stream_reader(open_reader: Callable[[], Reader], *, to_rate: int) -> AsyncGenerator[Samples]:
    """Read in a thread what a reader gives, and convert it there."""
    pieces = _convert(open_reader, to_rate)
    while True:
        try:
            async with asyncio.timeout(_READ_TIMEOUT):
                samples = await asyncio.to_thread(next, pieces, None)
        except TimeoutError as error:
            raise PlaybackError(f"the sound could not be read within {_READ_TIMEOUT:g} s") from error
        if samples is None:
            return
        yield samples


def _convert(open_reader: Callable[[], Reader], to_rate: int) -> Iterator[Samples]:
    reader = open_reader()
    resampler = _open_resampler(reader.sample_rate, to_rate)
    while len(samples := reader.read()):
        yield resampler.push(samples)
    yield resampler.flush()


async def _stream_chunks(chunks: AsyncIterable[Any], resampler: Resampler) -> AsyncGenerator[Samples]:
    def convert(chunk: Any) -> Samples:
        return resampler.push(to_samples(check_array(chunk)))

    async with aclosing(chunks) if isinstance(chunks, AsyncGenerator) else nullcontext():
        async for chunk in chunks:
            long = len(chunk) > _LONG_CHUNK * resampler.from_rate
            yield await asyncio.to_thread(convert, chunk) if long else convert(chunk)
    yield resampler.flush()


def _open_resampler(from_rate: int, to_rate: int) -> Resampler:
    try:
        return Resampler(from_rate, to_rate)
    except ValueError as error:
        raise PlaybackError(f"sound at this rate cannot be played: {error}") from error


def _open_file(octets: Octets) -> Reader:
    head = octets.read(0, 4)
    if head in WAV_NAMES:
        return WavReader(octets)
    if is_mp3(head):
        return Mp3Reader(octets)
    raise PlaybackError("neither a WAV nor an MP3 file")
