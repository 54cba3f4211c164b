"""Noise suppression of what the caller says, for everybody who hears the call, while it is on.

It stands between the call's receiver and all that follows, and only while it is on: a call without it goes its usual
way, untouched. The frames of the caller keep their place and length; their `payload` is empty, as the octets that came
are not what is heard any more.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from audio_codecs import Codec
from gateway.errors import MediaServiceError
from gateway.media.denoise import Denoiser
from gateway.media.frame import AudioFrame
from gateway.media.receiver import Receiver
from gateway.protocol.messages import Track
from gateway.protocol.stream import MediaReceived

__all__ = ["SuppressedReceiver", "suppress", "unsuppressed"]


class SuppressedReceiver:
    """A call's receiver, whose `inbound` frames come without their noise.

    Args:
        receiver: The call's own.
        sample_rate: Of the caller's frames, in Hz.
        level: See `Denoiser`.

    Attributes:
        receiver: As given.
        level: As given.

    Raises:
        ImportError: The extra `denoise` is not installed.
    """

    def __init__(self, receiver: Receiver, sample_rate: int, *, level: int) -> None:
        self.receiver = receiver
        self.level = level
        self._sample_rate = sample_rate
        self._denoiser = Denoiser(sample_rate, level=level)

    @property
    def payloads_bad(self) -> int:
        """See `Receiver`, as all below."""
        return self.receiver.payloads_bad

    def push(self, packet: MediaReceived, *, now: float) -> Sequence[AudioFrame]:
        """Take a packet, and give the frames that are due."""
        return self._clean(self.receiver.push(packet, now=now))

    def push_next(self, track: Track, number: int, chunk: int, payload: bytes, now: float) -> AudioFrame | None:
        """Take a packet that comes in its turn."""
        frame = self.receiver.push_next(track, number, chunk, payload, now)
        return self._cleaned(frame) if frame is not None and track == "inbound" else frame

    def pop(self, *, now: float) -> Sequence[AudioFrame]:
        """Give the frames whose time is over."""
        return self._clean(self.receiver.pop(now=now))

    def flush(self) -> Sequence[AudioFrame]:
        """Give every frame that waits."""
        return self._clean(self.receiver.flush())

    def reconnect(self, open_codec: Callable[[], Codec]) -> Sequence[AudioFrame]:
        """Go on with another socket."""
        return self._clean(self.receiver.reconnect(open_codec))

    def note(self, sequence_number: int) -> None:
        """Tell of a message without sound."""
        self.receiver.note(sequence_number)

    def deadline(self) -> float | None:
        """When to call `pop`."""
        return self.receiver.deadline()

    def due(self) -> float:
        """When the next packet is to come."""
        return self.receiver.due()

    def position(self, track: Track) -> int:
        """The timestamp of a track's next frame."""
        return self.receiver.position(track)

    def describe(self) -> dict[str, Any]:
        """Its counters and ledger."""
        return self.receiver.describe()

    def _clean(self, frames: Iterable[AudioFrame]) -> Sequence[AudioFrame]:
        return [self._cleaned(frame) if frame.track == "inbound" else frame for frame in frames]

    def _cleaned(self, frame: AudioFrame) -> AudioFrame:
        if frame.sample_rate != self._sample_rate:  # another socket of the call brought another codec
            self._sample_rate = frame.sample_rate
            self._denoiser = Denoiser(frame.sample_rate, level=self.level)
        samples = self._denoiser.process(frame.samples)
        return AudioFrame("inbound", samples, frame.sample_rate, frame.timestamp, concealed=frame.concealed)


def suppress(receiver: Receiver | SuppressedReceiver, sample_rate: int, *, level: int) -> SuppressedReceiver:
    """A receiver with its noise suppressed at this level; what has begun at the same goes on.

    Raises:
        MediaServiceError: There is no such level, or the extra `denoise` is not installed.
    """
    if isinstance(receiver, SuppressedReceiver):
        if receiver.level == level:
            return receiver
        receiver = receiver.receiver
    try:
        return SuppressedReceiver(receiver, sample_rate, level=level)
    except ValueError as error:
        raise MediaServiceError(str(error), status=422) from error
    except ImportError as error:
        why = "noise suppression is not installed: pip install 'telnyx-media-gateway[denoise]'"
        raise MediaServiceError(why, status=503) from error


def unsuppressed(receiver: Receiver | SuppressedReceiver) -> Receiver:
    """The call's own receiver."""
    return receiver.receiver if isinstance(receiver, SuppressedReceiver) else receiver
