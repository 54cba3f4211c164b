"""FFmpeg's codecs through PyAV, one packet at a time. PyAV is an extra, so it is imported where it is first needed.

Three things PyAV does by itself are kept from happening:

- An empty packet tells a decoder that the stream has ended; all later ones then fail. None gets that far.
- An encoder sends its frames through a filter graph, which regroups samples. Each graph starts as many threads as the
  machine has processors (up to 16), so that calls would be counted by the thousand threads. Frames of the right length
  need no regrouping, so they go to the encoder directly, which also takes a third off the cost.
- A resampler is such a graph as well. Ours is told to have one thread, its caller's.
"""

from fractions import Fraction
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from audio_codecs.samples import CodecError, Samples

if TYPE_CHECKING:
    import av
    from av.audio.codeccontext import AudioCodecContext

__all__ = ["Converter", "PacketDecoder", "PacketEncoder", "import_av"]

INSTALL: Final = 'pip install "telnyx-media-gateway[codecs]"'


def import_av(encoding: str) -> ModuleType:
    """Import PyAV.

    Raises:
        CodecError: It is not installed; says what to install for `encoding`.
    """
    try:
        import av
    except ImportError as error:
        raise CodecError(f"{encoding} needs PyAV, which is not installed here: {INSTALL}") from error
    return av


class PacketDecoder:
    """One decoder of FFmpeg, mono.

    Args:
        encoding: What it is called in errors.
        codec: FFmpeg's name of it.
        sample_rate: Of the decoder, in Hz.

    Raises:
        CodecError: PyAV is not installed.
    """

    def __init__(self, encoding: str, codec: str, sample_rate: int) -> None:
        self._av: Any = import_av(encoding)
        self._encoding = encoding
        self._codec = codec
        self._sample_rate = sample_rate
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget all that was decoded. Costs some 20 us; not every decoder has a shorter way."""
        self._context: AudioCodecContext = self._av.CodecContext.create(self._codec, "r")
        self._context.sample_rate = self._sample_rate
        self._context.layout = "mono"

    def decode(self, payload: bytes) -> "av.AudioFrame":
        """Decode one packet to its one frame.

        Raises:
            CodecError: The packet is empty, or the decoder cannot make sense of it. The next one finds it as it was.
        """
        if not payload:
            raise CodecError(f"{self._encoding} payload is empty")
        try:
            frames = self._context.decode(self._av.Packet(payload))
        except self._av.FFmpegError as error:
            raise CodecError(f"{self._encoding} payload of {len(payload)} octets: {error.strerror}") from error
        if len(frames) != 1:
            raise CodecError(f"{self._encoding} payload of {len(payload)} octets gives {len(frames)} frames, want one")
        return frames[0]


class PacketEncoder:
    """One encoder of FFmpeg, mono, for frames of one length.

    Args:
        encoding: What it is called in errors.
        codec: FFmpeg's name of it.
        sample_rate: Of what is encoded, in Hz.
        bit_rate: In bit/s; None where the codec has only one.
        options: FFmpeg's options of that encoder.

    Attributes:
        frame_samples: How many samples make a frame.

    Raises:
        CodecError: PyAV is not installed.
    """

    def __init__(
        self, encoding: str, codec: str, sample_rate: int, *, bit_rate: int | None = None, **options: str
    ) -> None:
        self._av: Any = import_av(encoding)
        self._encoding = encoding
        self._context: Any = self._av.CodecContext.create(codec, "w")
        self._context.sample_rate = sample_rate
        self._context.time_base = Fraction(1, sample_rate)
        self._context.layout = "mono"
        self._context.format = "s16"
        if bit_rate is not None:
            self._context.bit_rate = bit_rate
        self._context.options = options
        self._sample_rate = sample_rate
        self._time = 0  # samples encoded so far
        self.frame_samples = sample_rate // 50

    def encode(self, samples: Samples) -> list[bytes]:
        """Encode whole frames, int16 of shape (k * frame_samples,), to one packet each.

        Raises:
            CodecError: There is half a frame.
        """
        size = self.frame_samples
        if len(samples) % size:
            raise CodecError(
                f"{self._encoding} encodes frames of {size} samples, and {len(samples)} are no whole frames"
            )
        if not self._context.is_open:
            self._context.open()
        return [packet for at in range(0, len(samples), size) for packet in self._encode(samples[at : at + size])]

    def _encode(self, samples: Samples) -> list[bytes]:
        frame = self._av.AudioFrame.from_ndarray(np.ascontiguousarray(samples)[np.newaxis], format="s16", layout="mono")
        frame.sample_rate = self._sample_rate
        frame.pts = self._time
        self._time += len(samples)
        # Not `encode`, for the reason given at the top. Both major versions that we allow have it, and a test watches.
        return [bytes(packet) for packet in self._context._send_frame_and_recv(frame)]  # noqa: SLF001


class Converter:
    """Brings decoded frames, mono and of 16 bits, to a lower rate with FFmpeg's resampler.

    The resampler holds back 16 samples of what comes out. It is given 20 ms of silence first, so that this is where
    they come from, and every frame is as long as it should be.

    Args:
        from_rate: Of the frames, in Hz; a multiple of the other one.
        to_rate: Of what comes out, in Hz.
    """

    def __init__(self, from_rate: int, to_rate: int) -> None:
        self._from_rate = from_rate
        self._to_rate = to_rate
        self._graph: Any = None

    def convert(self, frame: "av.AudioFrame") -> Samples:
        """Convert the next frame, of n samples.

        Returns:
            int16, shape (n * to_rate / from_rate,).
        """
        if self._graph is None:
            self._graph = self._open()
        self._graph.push(frame)
        converted: av.AudioFrame = self._graph.pull()
        return samples_of(converted)

    def _open(self) -> Any:
        import av

        graph = av.filter.Graph()
        graph.threads = 1
        source = graph.add_abuffer(
            sample_rate=self._from_rate, format="s16", layout="mono", time_base=Fraction(1, self._from_rate)
        )
        wanted = f"sample_fmts=s16:sample_rates={self._to_rate}:channel_layouts=mono"
        graph.link_nodes(source, graph.add("aformat", wanted), graph.add("abuffersink")).configure()
        silence = np.zeros((1, self._from_rate // 50), np.int16)
        frame = av.AudioFrame.from_ndarray(silence, format="s16", layout="mono")
        frame.sample_rate = self._from_rate
        graph.push(frame)
        graph.pull()
        return graph


def samples_of(frame: "av.AudioFrame") -> Samples:
    """The samples of a mono frame of 16 bits, int16, shape (n,); a view that keeps the frame alive."""
    return np.frombuffer(memoryview(frame.planes[0]), np.int16, frame.samples)
