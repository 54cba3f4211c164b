"""A WAV file with two channels that grow side by side, each where it likes, and that can be played at any moment.

Source: Multimedia Programming Interface and Data Specifications 1.0 (IBM and Microsoft, 1991), chapter 3, "Waveform
Audio File Format": a RIFF chunk holding a `fmt ` and a `data` chunk, all numbers little-endian.
"""

import errno
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from audio_codecs import Samples

__all__ = ["MAX_SAMPLES", "Segment", "WavFile"]

_CHANNELS = 2
_FRAME_BYTES = 2 * _CHANNELS
_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_RIFF_OVERHEAD = _HEADER.size - 8  # the RIFF chunk's size leaves out its own name and size

MAX_SAMPLES = (0xFFFF_FFFF - _RIFF_OVERHEAD) // _FRAME_BYTES
"""How long a channel can be: the RIFF chunk tells its size in 32 bits."""

_NEAR = 8000
"""Segments at most so many samples apart are written as one block, those further apart as several with a hole between:
so a block is never much larger than the sound in it, however far apart the channels are."""


class Segment(NamedTuple):
    """A stretch of sound of one channel."""

    channel: int  # 0 is left, 1 is right
    position: int  # of its first sample, in samples from the beginning of the file
    samples: Samples


class WavFile:
    """A WAV file of two channels, 16 bits, written as the sound comes.

    What was never written is silence. The header is right after every `write`, so whatever ends the process leaves a
    file that can be played.

    Args:
        path: Must not exist yet. Made with mode 0600: a recording is private.
        sample_rate: In Hz.

    Attributes:
        samples: Length of the longer channel.

    Raises:
        OSError: The file cannot be made.
    """

    def __init__(self, path: Path, sample_rate: int) -> None:
        self.samples = 0
        self._sample_rate = sample_rate
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            self._write_header()
        except OSError:
            os.close(self._descriptor)
            raise

    @property
    def size(self) -> int:
        """Length of the file, in octets."""
        return _HEADER.size + self.samples * _FRAME_BYTES

    def write(self, segments: Iterable[Segment]) -> None:
        """Put segments where they belong, over what stands there in their channel.

        Args:
            segments: In any order; those of one channel do not overlap each other.

        Raises:
            OSError: The disk refused; EFBIG if the file would exceed 4 GiB, with nothing written.
            ValueError: A position is negative; nothing is written.
        """
        blocks = list(_blocks(segment for segment in segments if len(segment.samples)))
        if not blocks:
            return
        if blocks[0][0] < 0:
            raise ValueError(f"position {blocks[0][0]} is before the beginning of the file")
        end = blocks[-1][1]
        if end > MAX_SAMPLES:
            raise OSError(errno.EFBIG, f"{end} samples do not fit into a WAV file, limit {MAX_SAMPLES}")
        try:
            for block in blocks:
                self._write_block(*block)
        finally:
            self._write_header()

    def close(self) -> None:
        """Close the file, without what a refused write may have left behind the sound.

        Raises:
            OSError: The disk refused; the file is closed all the same.
        """
        try:
            os.ftruncate(self._descriptor, self.size)
        finally:
            os.close(self._descriptor)

    def _write_block(self, start: int, end: int, segments: list[Segment]) -> None:
        block = np.zeros((end - start, _CHANNELS), "<i2")
        standing = min(end, self.samples) - start
        if standing > 0:
            octets = os.pread(self._descriptor, standing * _FRAME_BYTES, _offset(start))
            block[:standing] = np.frombuffer(octets, "<i2").reshape(standing, _CHANNELS)
        for channel, position, samples in segments:
            block[position - start : position - start + len(samples), channel] = samples
        self._write_all(block.tobytes(), _offset(start))
        self.samples = max(self.samples, end)

    def _write_header(self) -> None:
        data_bytes = self.samples * _FRAME_BYTES
        header = _HEADER.pack(
            *(b"RIFF", _RIFF_OVERHEAD + data_bytes, b"WAVE"),
            *(b"fmt ", 16, 1, _CHANNELS, self._sample_rate, self._sample_rate * _FRAME_BYTES, _FRAME_BYTES, 16),
            *(b"data", data_bytes),
        )
        self._write_all(header, 0)

    def _write_all(self, octets: bytes, offset: int) -> None:
        """Write all of it: a disk that fills up takes a part first, and says why at the next attempt."""
        rest = memoryview(octets)
        while rest:
            written = os.pwrite(self._descriptor, rest, offset)
            rest = rest[written:]
            offset += written


def _offset(position: int) -> int:
    return _HEADER.size + position * _FRAME_BYTES


def _blocks(segments: Iterable[Segment]) -> Iterator[tuple[int, int, list[Segment]]]:
    """Gather segments that lie near each other: start, end, segments."""
    block: list[Segment] = []
    start = end = 0
    for segment in sorted(segments, key=lambda segment: segment.position):
        if block and segment.position > end + _NEAR:
            yield start, end, block
            block = []
        if not block:
            start = end = segment.position
        block.append(segment)
        end = max(end, segment.position + len(segment.samples))
    if block:
        yield start, end, block
