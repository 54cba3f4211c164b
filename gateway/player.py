"""The application's voice in one call: from samples at any rate to messages on the wire, and to the sinks as heard."""

from collections.abc import Callable, Sequence
from typing import Any

from audio_codecs import Codec, Samples
from gateway.media.frame import AudioFrame
from gateway.media.playout import Playout
from gateway.media.resample import Resampler
from gateway.protocol.stream import MediaStream

__all__ = ["Player"]


class Player:
    """Sends sound, marks and `clear` on one stream, each in its time.

    Args:
        stream: Makes the messages.
        codec: Of what is sent.
        transmit: Puts a message on the wire.
        here: Tells where the caller's channel stands, in samples at the codec's rate.
        lead: Seconds that sound may leave before it is to be heard.

    Attributes:
        sample_rate: Of what is sent, in Hz.
        in_flight: See `Playout`: whether `heard` has something.
    """

    def __init__(
        self,
        stream: MediaStream,
        codec: Codec,
        *,
        transmit: Callable[[bytes], None],
        here: Callable[[], int],
        lead: float,
    ) -> None:
        self.sample_rate = codec.sample_rate
        self._stream = stream
        self._transmit = transmit
        self._playout = Playout(codec.encode, codec.sample_rate, here=here, lead=lead)
        self.in_flight = self._playout.in_flight
        self._resamplers: dict[int, Resampler] = {}

    def send_audio(self, samples: Samples, sample_rate: int, *, now: float) -> bool:
        """Queue sound, int16 of shape (n,), and send what is due. Returns whether that was all."""
        if sample_rate != self.sample_rate:
            resampler = self._resamplers.get(sample_rate)
            if resampler is None:
                resampler = self._resamplers[sample_rate] = Resampler(sample_rate, self.sample_rate)
            samples = resampler.push(samples)
        self._send(self._playout.push(samples, now=now))
        return not self._playout.queued

    def mark(self, name: str, *, now: float) -> None:
        """Queue a mark behind the sound so far."""
        self._playout.push_mark(name)
        self.send_due(now=now)

    def clear(self) -> None:
        """Drop what is queued here and at Telnyx; call `heard` first. Telnyx returns all marks, ours included."""
        marks = self._playout.clear()
        for resampler in self._resamplers.values():
            resampler.reset()
        self._transmit(self._stream.send_clear())
        for name in marks:
            self._transmit(self._stream.send_mark(name))

    def send_due(self, *, now: float) -> None:
        """Send what is to leave by now."""
        self._send(self._playout.pop(now=now))

    def _send(self, due: Sequence[bytes | str]) -> None:
        for item in due:
            if isinstance(item, bytes):
                self._transmit(self._stream.send_media(item))
            else:
                self._transmit(self._stream.send_mark(item))

    def deadline(self) -> float | None:
        """When `send_due` will have something; None while nothing is queued."""
        return self._playout.deadline()

    def heard(self, *, now: float) -> list[AudioFrame]:
        """Take the sound whose time to be heard has come, as `played` frames on the call's time line, each gapless."""
        return [
            AudioFrame("played", samples, self.sample_rate, position)
            for position, samples in self._playout.heard(now=now)
        ]

    def describe(self) -> dict[str, Any]:
        """Counters as JSON-ready values."""
        playout = self._playout
        return {
            "frames_sent": playout.frames_sent,
            "samples_queued": playout.queued,
            "samples_cleared": playout.samples_cleared,
            "samples_dropped": playout.samples_dropped,
            "underruns": playout.underruns,
        }
