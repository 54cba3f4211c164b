"""MP3 files, a second at a time, by PyAV: the extra `codecs`."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from audio_codecs import CodecError, Samples
from audio_codecs.pyav import import_av
from gateway.errors import PlaybackError
from gateway.sound.arrays import to_samples
from gateway.sound.octets import Octets

__all__ = ["Mp3Reader", "is_mp3"]


def is_mp3(head: bytes) -> bool:
    """Whether a file that begins so is MP3: an ID3 tag, or a frame header that says MPEG audio, layer III."""
    return head[:3] == b"ID3" or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2)


class Mp3Reader:
    """Reads one MP3 file; damaged frames of it are left out.

    Args:
        octets: The file's.

    Attributes:
        sample_rate: In Hz.

    Raises:
        PlaybackError: It is no MP3 file, or PyAV is not installed.
    """

    def __init__(self, octets: Octets) -> None:
        try:
            self._av: Any = import_av("MP3")
        except CodecError as error:
            raise PlaybackError(str(error)) from error
        self._frames = self._decode(octets)
        first = next(self._frames, None)
        if first is None:
            raise PlaybackError("MP3 file without sound")
        self.sample_rate = int(first.sample_rate)
        self._ahead = [self._samples(first)]

    def read(self) -> Samples:
        """The next second or a little more, int16, shape (n,), stereo mixed to mono; empty at the end."""
        pieces, self._ahead = self._ahead, []
        length = sum(map(len, pieces))
        while length < self.sample_rate and (frame := next(self._frames, None)) is not None:
            pieces.append(self._samples(frame))
            length += len(pieces[-1])
        return np.concatenate(pieces) if pieces else np.zeros(0, np.int16)

    def _decode(self, octets: Octets) -> Iterator[Any]:
        """Frame by frame; the format is given, as FFmpeg would else find playlists in it, and open what they name."""
        try:
            with self._av.open(_File(octets), format="mp3") as container:
                for packet in container.demux(audio=0):
                    try:
                        frames = packet.decode()
                    except self._av.FFmpegError:
                        continue
                    yield from frames
        except (self._av.FFmpegError, IndexError) as error:
            raise PlaybackError(f"not an MP3 file: {error}") from error

    def _samples(self, frame: Any) -> Samples:
        if frame.sample_rate != self.sample_rate:
            raise PlaybackError(f"MP3 file goes from {self.sample_rate} to {frame.sample_rate} Hz")
        return to_samples(frame.to_ndarray().T)


class _File:
    """Octets as PyAV reads them: from the beginning to the end."""

    def __init__(self, octets: Octets) -> None:
        self._octets = octets
        self._at = 0

    def read(self, size: int) -> bytes:
        octets = self._octets.read(self._at, size)
        self._at += len(octets)
        return octets
