"""MP3, for a stream in the mode `mp3`: whole files, each in one message.

A file that is made here says in its first frame how many samples the codec added at either end (the LAME tag), so that
players which read it, as `decode_mp3` does, give back as many samples as went in.

Source: ISO/IEC 11172-3, 13818-3; FFmpeg's `libmp3lame` and `mp3` demuxer.
"""

import io
from fractions import Fraction
from typing import Final

import numpy as np

from audio_codecs.pyav import import_av
from audio_codecs.samples import CodecError, Samples

__all__ = ["MP3_RATES", "Mp3", "decode_mp3", "encode_mp3"]

MP3_RATES: Final = (8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_BIT_RATE: Final = {8000: 24_000, 16_000: 32_000}
_HIGH_BIT_RATE: Final = 64_000
_MAX_SECONDS: Final = 600.0
_MAX_CHANNELS: Final = 2


class Mp3:
    """Both directions of the mode `mp3` at one rate: a payload is a whole file. There is no state between files.

    Args:
        sample_rate: Of the samples, in Hz; one of `MP3_RATES`.

    Raises:
        CodecError: PyAV is not installed.
    """

    def __init__(self, sample_rate: int) -> None:
        import_av("MP3")
        self._sample_rate = sample_rate

    def decode(self, payload: bytes) -> Samples:
        """Read a file, int16 of shape (n,). Raises CodecError, as `decode_mp3`, and where it has another rate."""
        samples, sample_rate = decode_mp3(payload)
        if sample_rate != self._sample_rate:
            raise CodecError(f"MP3 file has {sample_rate} Hz, want {self._sample_rate}")
        return samples

    def encode(self, samples: Samples) -> bytes:
        """Make a file of int16 samples, shape (n,)."""
        return encode_mp3(samples, self._sample_rate)


def encode_mp3(samples: Samples, sample_rate: int) -> bytes:
    """Make a file of it.

    Args:
        samples: int16, shape (n,), mono.
        sample_rate: In Hz; one of `MP3_RATES`.

    Raises:
        CodecError: PyAV is not installed, or there is no MP3 at this rate.
    """
    if sample_rate not in MP3_RATES:
        raise CodecError(f"MP3 at {sample_rate} Hz does not exist; rates are {', '.join(map(str, MP3_RATES))}")
    av = import_av("MP3")
    file = io.BytesIO()
    with av.open(file, "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=sample_rate)
        stream.layout = "mono"
        stream.bit_rate = _BIT_RATE.get(sample_rate, _HIGH_BIT_RATE)
        if len(samples):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples)[np.newaxis], format="s16p", layout="mono")
            frame.sample_rate = sample_rate
            frame.time_base = Fraction(1, sample_rate)
            frame.pts = 0
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def decode_mp3(file: bytes, *, max_seconds: float = _MAX_SECONDS) -> tuple[Samples, int]:
    """Read a whole file.

    Args:
        file: The file's octets.
        max_seconds: Longest sound it may hold.

    Returns:
        int16, shape (n,), stereo mixed to mono; and its rate in Hz.

    Raises:
        CodecError: PyAV is not installed, the file is none, changes its rate, or is longer than that.
    """
    av = import_av("MP3")
    pieces: list[Samples] = []
    sample_rate = length = 0
    try:
        # The format is given, as FFmpeg would else find playlists in it, and open what they name.
        with av.open(io.BytesIO(file), format="mp3") as container:
            for packet in container.demux(audio=0):
                try:
                    frames = packet.decode()
                except av.FFmpegError:
                    continue  # damaged; the rest of the file may be good
                for frame in frames:
                    if sample_rate not in (0, frame.sample_rate):
                        raise CodecError(f"MP3 file goes from {sample_rate} to {frame.sample_rate} Hz")
                    sample_rate = frame.sample_rate
                    length += frame.samples
                    if length > max_seconds * sample_rate:
                        raise CodecError(f"MP3 file is longer than {max_seconds:g} s")
                    mixed = frame.to_ndarray().mean(axis=0)
                    pieces.append(np.clip(np.rint(mixed * 32768), -32768, 32767).astype(np.int16))
    except (av.FFmpegError, IndexError) as error:
        raise CodecError(f"not an MP3 file: {error}") from error
    if not pieces:
        raise CodecError("MP3 file without sound")
    return np.concatenate(pieces), sample_rate
