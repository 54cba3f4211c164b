"""The time line of one track: each frame begins where the one before it ended, whatever did not come.

Time is counted in samples, not in seconds. What is not there is made up and entered in the ledger, so that a sink
never sees a hole.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from audio_codecs import Codec, CodecError, Samples
from audio_codecs.comfort_noise import COMFORT_NOISE_OCTETS
from gateway.media.conceal import Concealer
from gateway.media.frame import AudioFrame
from gateway.media.ledger import Cause, GapLedger
from gateway.media.level import LevelMeter
from gateway.media.resample import Resampler
from gateway.protocol.messages import Track

__all__ = ["TrackLine"]

_PACKET_TIME: Final = 0.020  # seconds in a packet, until the track's first good one tells
_CONCEALER_FRAMES: Final = 4  # that a concealer looks at
_MEASURED_OF: Final = 5  # one frame of so many tells the level: all of them would cost a frame half a microsecond more
_MAX_PACKET_TIME: Final = 0.100  # seconds made up for one packet at most: a huge packet is no measure for others


class TrackLine:
    """One track: its codec, what was heard last, and how far its time line has come.

    Args:
        track: Whose sound it is.
        codec: What its payloads are in.
        ledger: Where the gaps are entered.
        sample_rate: Of the frames, in Hz; the codec's if None.
        position: Where the line begins.

    Attributes:
        decode: Payload to samples at `sample_rate`. Raises CodecError.
        encoding: The codec's RFC 3551 name.
        wire: What the codec found out about the stream's wire; None where it leaves nothing open.
        sample_rate: In Hz.
        position: How many samples of this track there were so far: the timestamp of its next frame.
        packet_samples: In the last good packet, and so, most likely, in a lost one.
        packet_time: The same in seconds.
        payloads_bad: Packets whose payload was empty or could not be decoded.
        packets_comfort_noise: Packets too short for sound, which describe noise (RFC 3389); that noise is the frame.
        frames_concealed: Frames that were made up.
        due: When the next packet is to arrive if it comes as the last one did, on the clock of the arrivals; it will
            have the number `next_chunk`, `stride` more than the last one, and `jitter` (RFC 3550, appendix A.8) is how
            much packets differ from that, in seconds. Kept by who takes the packets in, as are the next five.
        next_chunk: See `due`.
        stride: See `due`.
        jitter: See `due`.
        number: Sequence number of the last packet that came in its turn.
        settled: What `next_chunk` was when it was last told how many those were.
    """

    __slots__ = (
        "_comfort_noise",
        "_conceal",
        "_concealer",
        "_ledger",
        "_lose",
        "_meter",
        "_recent",
        "_repeatable",
        "_until_measured",
        "decode",
        "due",
        "encoding",
        "frames_concealed",
        "jitter",
        "next_chunk",
        "number",
        "packet_samples",
        "packet_time",
        "packets_comfort_noise",
        "payloads_bad",
        "position",
        "sample_rate",
        "settled",
        "stride",
        "track",
        "wire",
    )

    def __init__(
        self, track: Track, codec: Codec, ledger: GapLedger, *, sample_rate: int | None = None, position: int = 0
    ) -> None:
        self.track = track
        self.sample_rate = sample_rate or codec.sample_rate
        self.position = position
        self.packet_samples = round(_PACKET_TIME * self.sample_rate)
        self.packet_time = _PACKET_TIME
        self.due = 0.0
        self.next_chunk = 0
        self.stride = 1
        self.jitter = 0.0
        self.number = 0
        self.settled = 0
        self.payloads_bad = 0
        self.packets_comfort_noise = 0
        self.frames_concealed = 0
        self._ledger = ledger
        self._concealer = Concealer(self.sample_rate)
        self._meter = LevelMeter(self.sample_rate)
        self._until_measured = 0  # frames
        # What the concealer has not heard, if possible as payloads: memory that is kept is cold when it is used next.
        self._recent: deque[bytes | Samples] = deque(maxlen=_CONCEALER_FRAMES)
        self.use(codec)

    def use(self, codec: Codec) -> None:
        """Go on with this codec; the frames keep their sample rate."""
        self._look_back()
        decode, conceal, repeatable = codec.decode, codec.conceal, codec.repeatable
        if codec.sample_rate != self.sample_rate:
            resampler = Resampler(codec.sample_rate, self.sample_rate)
            decode, conceal, repeatable = lambda payload: resampler.push(codec.decode(payload)), None, False
        self.encoding = codec.encoding
        self.decode: Callable[[bytes], Samples] = decode
        self._conceal: Callable[[int], Samples] = conceal or self._concealer.conceal
        self._repeatable = repeatable
        self._comfort_noise = codec.comfort_noise
        self._lose = codec.lose
        self.wire = codec.wire

    def take(self, payload: bytes) -> AudioFrame:
        """Take the next packet's payload; return its sound, or what stands for it where it cannot be decoded."""
        decode = self.decode  # called as `self.decode()`, CPython 3.11 would look for a method first
        try:
            samples = decode(payload)
        except CodecError:
            samples = _NOTHING
        length = len(samples)
        recent: bytes | Samples = payload if self._repeatable else samples
        if not length:
            self.payloads_bad += 1
            return self.conceal("bad_payload")
        if length != self.packet_samples:
            if len(payload) <= COMFORT_NOISE_OCTETS and self._comfort_noise is not None:
                self.packets_comfort_noise += 1
                recent = samples = self._comfort_noise(payload, self._usual_length())
                length = len(samples)
            else:
                self.packet_samples = length
                self.packet_time = length / self.sample_rate
        self._recent.append(recent)
        self._until_measured -= 1
        if self._until_measured < 0:
            self._until_measured = _MEASURED_OF - 1
            self._meter.hear(samples)
        position = self.position
        self.position = position + length
        return AudioFrame(self.track, samples, self.sample_rate, position, payload)

    def conceal(self, cause: Cause, *, at_most: int | None = None) -> AudioFrame:
        """Make up the sound of one packet, of `at_most` so many samples."""
        self._look_back()
        self.frames_concealed += 1
        length = self._usual_length() if at_most is None else min(at_most, self._usual_length())
        if self._lose is not None:
            self._lose(length / self.sample_rate)
        return self._made_up(self._conceal(length), cause)

    def silence(self, length: int, cause: Cause = "silence") -> list[AudioFrame]:
        """Let time pass in which nothing came, and nothing is made up for it.

        Args:
            length: In samples.
            cause: Why.

        Returns:
            Silence, in frames of no more than a tenth of a second.
        """
        longest = round(_MAX_PACKET_TIME * self.sample_rate)
        lengths = [longest] * (length // longest) + [length % longest] * (length % longest > 0)
        return [self._made_up(np.zeros(n, np.int16), cause) for n in lengths]

    def _made_up(self, samples: Samples, cause: Cause) -> AudioFrame:
        position = self.position
        self.position = position + len(samples)
        self._ledger.add(self.track, position, len(samples), cause)
        return AudioFrame(self.track, samples, self.sample_rate, position, concealed=True)

    def _usual_length(self) -> int:
        """How many samples stand for a packet that holds none."""
        return min(self.packet_samples, round(_MAX_PACKET_TIME * self.sample_rate))

    def _look_back(self) -> None:
        """Show the concealer what was heard since the last time."""
        for sound in self._recent:
            self._concealer.heard(self.decode(sound) if isinstance(sound, bytes) else sound)
        self._recent.clear()

    def describe(self) -> dict[str, Any]:
        """What was heard, as JSON-ready values."""
        return self._meter.describe()


_NOTHING: Samples = np.zeros(0, np.int16)
