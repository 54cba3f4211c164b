"""Frames of one track as a service wants them: one encoding, one rate, pieces of a useful size, on media time.

What a service takes as it comes is passed through untouched; what was made up for a lost packet is encoded. A short
hole in the track is filled with silence, so that the service's clock and the media's stay together; of a long one, a
second is enough for the service to notice that somebody has finished speaking, and it takes no media time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np

from audio_codecs import Samples, encode_alaw, encode_ulaw
from gateway.errors import SinkError
from gateway.media.frame import AudioFrame
from gateway.sinks.resampled import Resampled

__all__ = ["AudioFormat", "Chunk", "Packer"]

Encoding: TypeAlias = Literal["PCMU", "PCMA", "L16", "F32"]
"""`L16` is int16 and `F32` float32 of -1 to 1, both little-endian, as services have them."""

_FILLED: Final = 1.0  # seconds of a hole that are worth being sent

_WIDTHS: Final = {"PCMU": 1, "PCMA": 1, "L16": 2, "F32": 4}  # octets


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """What a service is sent.

    Attributes:
        encoding: See `Encoding`.
        sample_rate: In Hz.
    """

    encoding: Encoding
    sample_rate: int

    @property
    def width(self) -> int:
        """Octets of a sample."""
        return _WIDTHS[self.encoding]

    def seconds(self, payload: bytes) -> float:
        """How long it sounds."""
        return len(payload) / self.width / self.sample_rate

    def encode(self, samples: Samples) -> bytes:
        """Samples of this rate as octets."""
        match self.encoding:
            case "PCMU":
                return encode_ulaw(samples)
            case "PCMA":
                return encode_alaw(samples)
            case "L16":
                return samples.astype("<i2").tobytes()
            case "F32":
                return (samples / np.float32(32768)).astype("<f4").tobytes()

    def silence(self, seconds: float) -> bytes:
        """So much of nothing."""
        return self.encode(np.zeros(round(seconds * self.sample_rate), np.int16))


class Chunk(NamedTuple):
    """A piece of sound, ready to be sent.

    Attributes:
        start: Its place on media time, in seconds.
        end: The same; equal to `start` where it is silence that stands for a long hole.
        payload: In the service's format.
    """

    start: float
    end: float
    payload: bytes


class Packer:
    """Makes chunks of frames.

    Args:
        audio: What the service wants.
        source_encoding: Of the frames' payloads, by its RFC 3551 name.
        emit: Given each chunk.
        least: Seconds of sound in a chunk, at least.
    """

    def __init__(
        self, audio: AudioFormat, source_encoding: str, emit: Callable[[Chunk], None], *, least: float
    ) -> None:
        self._audio = audio
        self._untouched = source_encoding == audio.encoding and audio.width == 1
        self._emit = emit
        self._least = round(least * audio.sample_rate) * audio.width
        self._octets = bytearray()
        self._start = 0.0  # of the chunk that grows
        self._position: int | None = None  # of the next sample, on the track's time line
        self._paused = True
        self._resampled = Resampled(audio.sample_rate, self._failed, self._add)

    def push(self, frame: AudioFrame) -> None:
        """Take the next frame of the track.

        Raises:
            SinkError: Its rate cannot be converted.
        """
        try:
            self._resampled.write(frame)
        except ValueError as error:
            raise SinkError(f"the service is sent {self._audio.sample_rate} Hz: {error}") from error

    def pause(self) -> None:
        """Nothing came for a while: give what there is, and a second of silence, once."""
        if not self._paused:
            self.flush()
            self._paused = True
            assert self._position is not None
            position = self._position / self._audio.sample_rate
            self._emit(Chunk(position, position, self._audio.silence(_FILLED)))

    def finish(self) -> None:
        """Give what is left: no frame follows."""
        self._resampled.finish()
        self.flush()

    def flush(self) -> None:
        """Give what there is, filled up with silence to the least size."""
        if self._octets:
            missing = max(0, self._least - len(self._octets)) / self._audio.width / self._audio.sample_rate
            self._give(bytes(self._octets) + self._audio.silence(missing))

    def _add(self, frame: AudioFrame) -> None:
        rate = self._audio.sample_rate
        if frame.timestamp != self._position:
            self._jump(frame.timestamp)
        if not self._octets:
            self._start = frame.timestamp / rate
        if self._untouched and not frame.concealed and len(frame.payload) == len(frame.samples):
            self._octets += frame.payload
        else:
            self._octets += self._audio.encode(frame.samples)
        self._position = frame.timestamp + len(frame.samples)
        self._paused = False
        if len(self._octets) >= self._least:
            self._give(bytes(self._octets))

    def _jump(self, timestamp: int) -> None:
        if self._position is None:
            return
        hole = (timestamp - self._position) / self._audio.sample_rate
        if 0 < hole <= _FILLED and not self._paused:
            if not self._octets:
                self._start = self._position / self._audio.sample_rate
            self._octets += self._audio.silence(hole)
        else:
            self.pause()

    def _give(self, payload: bytes) -> None:
        self._octets.clear()
        assert self._position is not None
        self._emit(Chunk(self._start, max(self._start, self._position / self._audio.sample_rate), payload))

    def _failed(self, write: Callable[[AudioFrame], None], error: BaseException) -> None:
        raise error
