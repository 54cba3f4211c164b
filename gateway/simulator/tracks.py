"""The sound of a leg as it is sent away: two tracks, each in a codec of its own making."""

from audio_codecs import Codec, Samples
from gateway.media.resample import Resampler
from gateway.protocol.messages import Track
from gateway.simulator.journal import Journal
from gateway.simulator.speech import SAMPLE_RATE

__all__ = ["TrackDecoder", "TrackEncoder", "sound_of"]


class TrackEncoder:
    """Frames of a leg into payloads.

    Args:
        codec: Of the track.
    """

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._resampler = Resampler(SAMPLE_RATE, codec.sample_rate)

    def encode(self, frame: Samples) -> bytes:
        """Encode 20 ms at the leg's rate."""
        return self._codec.encode(self._resampler.push(frame))


class TrackDecoder:
    """Payloads back into what they sound like at the leg's rate."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._resampler = Resampler(codec.sample_rate, SAMPLE_RATE)

    def decode(self, payload: bytes) -> Samples:
        """Decode one payload."""
        return self._resampler.push(self._codec.decode(payload))


def sound_of(track: Track, frame: Samples, at: float, journal: Journal) -> Samples:
    """The 20 ms of one track: what the person says from `at` on, or what the person heard until then."""
    if track == "inbound":
        return frame
    return journal.heard.window(journal.position(at) - len(frame), len(frame))
