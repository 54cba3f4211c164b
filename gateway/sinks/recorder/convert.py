"""From the WAV that was written while a recording ran to the file that is wanted: trimmed, FLAC, Opus or MP3.

That is work for a processor, minutes of it for a long call: `convert_main.py` does it in a process of its own.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import msgspec
import numpy as np

from gateway.errors import RecordingError
from gateway.sinks.recorder.encoding import Rows
from gateway.sinks.recorder.riff import WavHeader, read_header
from gateway.sinks.recorder.silence import BLOCK_SECONDS, loud_blocks
from gateway.sinks.recorder.wav import WavFile

__all__ = ["Done", "Job", "convert"]

_MARGIN: Final = 0.1  # seconds of silence that a trimmed recording keeps on each side
_BLOCKS: Final = 500  # of 20 ms: what is worked on at once


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done.

    Attributes:
        source: The WAV.
        target: What is to be made; written over.
        format: Of the target.
        trim: Whether silence at both ends is to go.
    """

    source: str
    target: str
    format: Literal["wav", "flac", "opus", "mp3"]
    trim: bool


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What was done.

    Attributes:
        start: Samples that were taken away in front.
        samples: How many the target has, at the source's rate.
        error: Why there is no target; None if there is one.
    """

    start: int = 0
    samples: int = 0
    error: str | None = None


class _Codec(NamedTuple):
    """How one compressed format is made."""

    name: str  # FFmpeg's
    container: str
    bit_rate: int | None  # a channel's, at 16 kHz; the square root of the rate makes the difference
    sample_rates: tuple[int, ...]  # that it has; any if empty
    options: dict[str, str]


_CODECS: Final = {
    "flac": _Codec("flac", "flac", None, (), {}),
    # Both codecs would save bits by what two channels have in common: the caller could be heard in the application's.
    # Channels of mapping family 255 (RFC 7845, section 5.1.1) have nothing to do with each other.
    "opus": _Codec(
        "libopus",
        "ogg",
        24_000,
        (8000, 12_000, 16_000, 24_000, 48_000),
        {"application": "voip", "mapping_family": "255"},
    ),
    "mp3": _Codec("libmp3lame", "mp3", 32_000, (), {"joint_stereo": "0"}),
}


def convert(job: Job) -> Done:
    """Make a file.

    Raises:
        RecordingError: The source is no recording, or the format cannot be made.
        OSError: The disk refused.
    """
    source = Path(job.source)
    header = read_header(source)
    count = header.data_bytes // header.sound.frame_bytes
    start, end = _heard(source, header, count) if job.trim else (0, count)
    if job.format == "wav":
        _copy(source, header, start, end, Path(job.target))
    else:
        _compress(source, header, start, end, job)
    return Done(start=start, samples=end - start)


def _rows(source: Path, header: WavHeader, start: int, end: int) -> Iterator[Rows]:
    """Rows of the file from the one to the other, in pieces of whole blocks."""
    sound = header.sound
    length = round(BLOCK_SECONDS * sound.sample_rate) * _BLOCKS
    with source.open("rb") as file:
        file.seek(header.offset + start * sound.frame_bytes)
        while start < end:
            octets = file.read(min(length, end - start) * sound.frame_bytes)
            rows = np.frombuffer(octets, sound.encoding.dtype).reshape(-1, sound.layout.channels)
            if not len(rows):
                raise RecordingError(f"{source.name} has become shorter")
            yield rows
            start += len(rows)


def _heard(source: Path, header: WavHeader, count: int) -> tuple[int, int]:
    """From where to where anything is to be heard; everything if nothing is."""
    sound = header.sound
    block = round(BLOCK_SECONDS * sound.sample_rate)
    margin = round(_MARGIN * sound.sample_rate)
    first = last = None
    position = 0
    for rows in _rows(source, header, 0, count):
        for number, loud in enumerate(loud_blocks(sound.encoding.decode(rows), sound.sample_rate)):
            if loud:
                last = position + (number + 1) * block
                first = position + number * block if first is None else first
        position += len(rows)
    if first is None or last is None:
        return 0, count
    return max(0, first - margin), min(count, last + margin)


def _copy(source: Path, header: WavHeader, start: int, end: int, target: Path) -> None:
    target.unlink(missing_ok=True)
    wav = WavFile(target, header.sound)
    try:
        for rows in _rows(source, header, start, end):
            wav.put(wav.samples, rows)
        wav.finish()
        wav.sync()
    finally:
        wav.close()


def _compress(source: Path, header: WavHeader, start: int, end: int, job: Job) -> None:
    try:
        import av
    except ImportError as error:
        raise RecordingError(f"{job.format} wants the extra `codecs`") from error
    codec, sound = _CODECS[job.format], header.sound
    rates = [rate for rate in codec.sample_rates if rate >= sound.sample_rate] or [sound.sample_rate]
    layout = "mono" if sound.layout.channels == 1 else "stereo"
    Path(job.target).unlink(missing_ok=True)  # the process of a gateway that was killed may still write it
    try:
        with av.open(job.target, "w", format=codec.container) as container:
            stream: Any = container.add_stream(codec.name, rate=rates[0], layout=layout, options=codec.options)
            if codec.bit_rate is not None:
                per_channel = codec.bit_rate * (sound.sample_rate / 16_000) ** 0.5
                stream.bit_rate = round(per_channel * sound.layout.channels, -3)
            for position, rows in _counted(_rows(source, header, start, end)):
                samples = np.ascontiguousarray(sound.encoding.decode(rows)).reshape(1, -1)
                frame = av.AudioFrame.from_ndarray(samples, format="s16", layout=layout)
                frame.sample_rate, frame.pts = sound.sample_rate, position
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except av.FFmpegError as error:
        raise RecordingError(f"{job.format}: {error}") from error
    descriptor = os.open(job.target, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _counted(pieces: Iterator[Rows]) -> Iterator[tuple[int, Rows]]:
    position = 0
    for rows in pieces:
        yield position, rows
        position += len(rows)
