"""What stands in front of the samples in a WAV file.

While a recording runs, its header says that the sound goes on to the end of the file: the sizes are the largest there
are, as in a WAV that is written to a pipe. In the end they are true. Below 4 GiB that is a RIFF file; above, RF64, for
which room is kept from the beginning: the chunk `JUNK` becomes `ds64`.

Source: Multimedia Programming Interface and Data Specifications 1.0 (IBM and Microsoft, 1991), chapter 3, "Waveform
Audio File Format"; EBU Tech 3306 (2009) for RF64. All numbers are little-endian.
"""

import struct
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from gateway.errors import RecordingError
from gateway.sinks.recorder.encoding import ENCODINGS, FileFormat, Layout

__all__ = ["WavHeader", "parse_header", "read_header", "wav_header"]

_UNKNOWN: Final = 0xFFFF_FFFF
_MAX_HEADER: Final = 1 << 16  # octets in front of the samples, in a file that is not ours


class WavHeader(NamedTuple):
    """What a header says.

    Attributes:
        sound: What the file holds.
        offset: Of the first sample, in octets.
        data_bytes: How long the samples are, in octets; whole rows, and no more than there are.
    """

    sound: FileFormat
    offset: int
    data_bytes: int


def wav_header(sound: FileFormat, data_bytes: int | None) -> bytes:
    """Everything in front of the samples.

    Args:
        sound: What the file holds.
        data_bytes: How long the samples are; None if that is not known yet.
    """
    encoding, channels, frame_bytes = sound.encoding, sound.layout.channels, sound.frame_bytes
    samples = _UNKNOWN if data_bytes is None else min(data_bytes // frame_bytes, _UNKNOWN)
    form = struct.pack(
        "<HHIIHH",
        *(encoding.format_tag, channels, sound.sample_rate, sound.sample_rate * frame_bytes, frame_bytes),
        8 * encoding.dtype.itemsize,
    )
    if encoding.format_tag == 1:
        described = _chunk(b"fmt ", form)
    else:  # whatever is not PCM has a longer `fmt `, and a `fact`
        described = _chunk(b"fmt ", form + bytes(2)) + _chunk(b"fact", struct.pack("<I", samples))
    riff_bytes = 4 + len(_chunk(b"JUNK", bytes(28))) + len(described) + 8
    if data_bytes is None:
        magic, sizes, room = b"RIFF", (_UNKNOWN, _UNKNOWN), _chunk(b"JUNK", bytes(28))
    elif (riff_bytes := riff_bytes + data_bytes + data_bytes % 2) < _UNKNOWN:
        magic, sizes, room = b"RIFF", (riff_bytes, data_bytes), _chunk(b"JUNK", bytes(28))
    else:
        magic, sizes = b"RF64", (_UNKNOWN, _UNKNOWN)
        room = _chunk(b"ds64", struct.pack("<QQQI", riff_bytes, data_bytes, data_bytes // frame_bytes, 0))
    begin, end = struct.pack("<4sI4s", magic, sizes[0], b"WAVE"), struct.pack("<4sI", b"data", sizes[1])
    return begin + room + described + end


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack("<4sI", name, len(body)) + body


def read_header(path: Path) -> WavHeader:
    """Read the header of a WAV of one or two channels, ours or another program's, final or not.

    Raises:
        OSError: It cannot be read.
        RecordingError: It is no such file.
    """
    with path.open("rb") as file:
        try:
            return parse_header(file)
        except RecordingError as error:
            raise RecordingError(f"{path.name} {error}") from error


def parse_header(file: BinaryIO) -> WavHeader:
    """The same of a file that is open.

    Raises:
        RecordingError: It is no such file.
    """
    try:
        return _parse(file)
    except (struct.error, KeyError) as error:
        raise RecordingError("is no WAV file of a recording") from error


def _parse(file: BinaryIO) -> WavHeader:
    size = file.seek(0, 2)
    file.seek(0)
    magic, _, kind = struct.unpack("<4sI4s", file.read(12))
    if magic not in (b"RIFF", b"RF64") or kind != b"WAVE":
        raise KeyError(magic)
    long_data_bytes, sound = _UNKNOWN, None
    while True:
        name, length = struct.unpack("<4sI", file.read(8))
        if name == b"data":
            break
        if file.tell() + length > _MAX_HEADER:
            raise KeyError(name)
        body = file.read(length + length % 2)
        if name == b"ds64":
            (long_data_bytes,) = struct.unpack_from("<Q", body, 8)
        elif name == b"fmt ":
            sound = _format(body)
    if sound is None:
        raise KeyError("fmt ")
    offset = file.tell()
    data_bytes = size - offset
    stated = long_data_bytes if magic == b"RF64" else length
    if stated != _UNKNOWN:
        data_bytes = min(data_bytes, stated)
    return WavHeader(sound, offset, data_bytes // sound.frame_bytes * sound.frame_bytes)


def _format(body: bytes) -> FileFormat:
    tag, channels, sample_rate, _, _, bits = struct.unpack_from("<HHIIHH", body)
    name = {(1, 16): "linear16", (1, 8): "linear8", (6, 8): "PCMA", (7, 8): "PCMU"}[tag, bits]
    layout = {1: Layout((0,)), 2: Layout()}[channels]
    return FileFormat(sample_rate, ENCODINGS[name], layout)
