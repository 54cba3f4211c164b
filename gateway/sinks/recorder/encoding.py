"""How the samples of a recording are written: one sample, and the channels of the file.

Sounds come as int16 and are called samples. In the file they may be something else, and are called units: int16,
unsigned octets of linear sound, or octets of G.711. A recording hears two tracks, and its file has one or two channels.

Source: Multimedia Data Standards Update, Microsoft 1994, "New WAVE Types": format tags 1 (PCM: up to 8 bits unsigned),
6 (A-law) and 7 (mu-law). ITU-T G.711 (1988) for the code of silence.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from audio_codecs import Samples
from audio_codecs.g711 import decode_alaw, decode_ulaw, encode_alaw, encode_ulaw
from gateway.sinks.recorder.options import RecordingOptions

__all__ = ["ENCODINGS", "Encoding", "FileFormat", "Heard", "Layout", "Rows"]

Heard: TypeAlias = npt.NDArray[Any]
"""The sound of two tracks, side by side: shape (n, 2), the caller first."""

Rows: TypeAlias = npt.NDArray[Any]
"""What a file holds: shape (n, channels)."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How one sample is written.

    Attributes:
        name: For the sidecar.
        format_tag: In the `fmt ` chunk.
        dtype: Of a unit.
        silence: The unit that is silent.
        encode: int16 samples of any shape to units of that shape.
        decode: The way back.
    """

    name: str
    format_tag: int
    dtype: np.dtype[Any]
    silence: int
    encode: Callable[[Any], Rows]
    decode: Callable[[Any], Rows]


def _companded(compress: Callable[[Samples], bytes], expand: Callable[[bytes], Samples]) -> tuple[Any, Any]:
    def encode(samples: Any) -> Any:
        return np.frombuffer(compress(samples.reshape(-1)), np.uint8).reshape(samples.shape)

    def decode(units: Any) -> Any:
        return expand(units.tobytes()).reshape(units.shape)

    return encode, decode


def _to_unsigned(samples: Any) -> Any:
    """Round to eight bits; the middle is 128."""
    return np.minimum((samples.astype(np.int32) + 0x8080) >> 8, 255).astype(np.uint8)


def _from_unsigned(units: Any) -> Any:
    return (units.astype(np.int16) - 128) << 8


def _to_little_endian(samples: Any) -> Any:
    return samples.astype("<i2", copy=False)


def _from_little_endian(units: Any) -> Any:
    return units.astype(np.int16, copy=False)


ENCODINGS: Final[dict[str, Encoding]] = {
    "linear16": Encoding("linear16", 1, np.dtype("<i2"), 0, _to_little_endian, _from_little_endian),
    "linear8": Encoding("linear8", 1, np.dtype(np.uint8), 0x80, _to_unsigned, _from_unsigned),
    "PCMU": Encoding("PCMU", 7, np.dtype(np.uint8), 0xFF, *_companded(encode_ulaw, decode_ulaw)),
    "PCMA": Encoding("PCMA", 6, np.dtype(np.uint8), 0xD5, *_companded(encode_alaw, decode_alaw)),
}


@dataclass(frozen=True, slots=True)
class Layout:
    """Which of the two tracks stand in the file, and how.

    Attributes:
        tracks: 0 for the caller and 1 for the application, in the order of the file's channels; both of them are in one
            channel if `mixed`.
        mixed: See `tracks`.
    """

    tracks: tuple[int, ...] = (0, 1)
    mixed: bool = False

    @classmethod
    def of(cls, options: RecordingOptions) -> "Layout":
        """The layout that is asked for."""
        match options.recording_track:
            case "inbound":
                return cls((0,))
            case "outbound":
                return cls((1,))
            case _:
                return cls(mixed=options.channels == "single")

    @property
    def channels(self) -> int:
        """How many the file has."""
        return 1 if self.mixed else len(self.tracks)

    def rows(self, heard: Heard) -> Rows:
        """From what was heard to rows of the file. Samples if `mixed`, else whatever it holds."""
        if self.mixed:
            mixed: Rows = _sum(heard[:, 0], heard[:, 1])[:, np.newaxis]
            return mixed
        return heard if self.tracks == (0, 1) else heard.take(self.tracks, axis=1)

    def put(self, rows: Rows, track: int, sound: Any) -> None:
        """Put the sound of one track into rows of the file where that track is silent so far; samples if `mixed`."""
        if self.mixed:
            rows[:, 0] = _sum(rows[:, 0], sound)
        elif track in self.tracks:
            rows[:, self.tracks.index(track)] = sound


@dataclass(frozen=True, slots=True)
class FileFormat:
    """What one sound file holds.

    Sound that is heard waits as samples, or, where the file has the octets of G.711 as they came, as units.

    Attributes:
        sample_rate: In Hz.
        encoding: Of a sample.
        layout: Of the channels.
    """

    sample_rate: int
    encoding: Encoding
    layout: Layout

    @classmethod
    def of(cls, options: RecordingOptions, *, inbound_encoding: str, sample_rate: int) -> "FileFormat":
        """The format of the file that is written while the recording runs.

        Args:
            options: What is asked for.
            inbound_encoding: The stream's, by its RFC 3551 name.
            sample_rate: Of the file, in Hz.
        """
        name: str = options.encoding
        if name == "g711":
            name = inbound_encoding if inbound_encoding in ("PCMU", "PCMA") and sample_rate == 8000 else "linear16"
        if options.format != "wav":
            name = "linear16"
        return cls(sample_rate, ENCODINGS[name], Layout.of(options))

    @property
    def waits_encoded(self) -> bool:
        """Whether sound waits as units."""
        return self.encoding.name in ("PCMU", "PCMA") and not self.layout.mixed

    @property
    def waiting(self) -> tuple[np.dtype[Any], int]:
        """What sound waits as: the type of one value, and the one that is silent."""
        return (self.encoding.dtype, self.encoding.silence) if self.waits_encoded else (np.dtype(np.int16), 0)

    @property
    def frame_bytes(self) -> int:
        """Octets of one row."""
        return self.layout.channels * self.encoding.dtype.itemsize

    def silence(self, length: int) -> Rows:
        """Rows of the file in which nothing is heard."""
        return np.full((length, self.layout.channels), self.encoding.silence, self.encoding.dtype)

    def rows(self, heard: Heard) -> Rows:
        """From what was heard to rows of the file."""
        rows = self.layout.rows(heard)
        return rows if self.waits_encoded else self.encoding.encode(rows)

    def merged(self, rows: Rows, track: int, sound: Any) -> Rows:
        """Rows of the file with the sound of one track, where that track was silent so far."""
        if self.waits_encoded:
            self.layout.put(rows, track, sound)
            return rows
        samples = np.array(self.encoding.decode(rows))
        self.layout.put(samples, track, sound)
        return self.encoding.encode(samples)


def _sum(one: Any, other: Any) -> Any:
    return np.clip(one.astype(np.int32) + other, -32768, 32767).astype(np.int16)
