"""From packets to frames: in order, decoded, the holes filled.

Each track's time line is made of samples, not of times: a frame begins where the one before it ended, and what was
lost is there as well, made up and entered in the ledger.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from audio_codecs import Codec, CodecError, Samples
from gateway.media.conceal import Concealer
from gateway.media.frame import AudioFrame
from gateway.media.ledger import Cause, GapLedger
from gateway.media.reorder import Lost, Ordered, ReorderBuffer
from gateway.protocol.messages import Track
from gateway.protocol.stream import MediaReceived

__all__ = ["Receiver"]

_PACKET_TIME: Final = 0.020  # seconds in a packet, until the track's first good one tells
_MAX_PACKET_TIME: Final = 0.100  # seconds made up for one packet at most: a huge packet is no measure for others


class _Line:
    """One track: its codec, what was heard last, and how far its time line has come."""

    __slots__ = ("concealer", "decode", "heard", "packet_samples", "position", "sample_rate", "track")

    def __init__(self, track: Track, codec: Codec) -> None:
        self.track = track
        self.decode = codec.decode
        self.sample_rate = codec.sample_rate
        self.concealer = Concealer(codec.sample_rate)
        self.heard = self.concealer.heard
        self.packet_samples = round(_PACKET_TIME * codec.sample_rate)
        self.position = 0


class Receiver:
    """Turns the packets of one media stream into frames, per track without a hole.

    Args:
        open_codec: Opens the codec that `start` announced; called once for each track that is heard.
        window: Seconds that a gap waits for its packets.

    Attributes:
        payloads_bad: Packets whose payload was empty or could not be decoded.
        frames_concealed: Frames that were made up, for lost packets and for bad ones.
        ledger: Where those frames stand.
    """

    def __init__(self, open_codec: Callable[[], Codec], *, window: float = 0.06) -> None:
        self.payloads_bad = 0
        self.frames_concealed = 0
        self.ledger = GapLedger()
        self._open_codec = open_codec
        self._reorder = ReorderBuffer(window)
        self._lines: dict[Track, _Line] = {}

    def push(self, packet: MediaReceived, *, now: float) -> Sequence[AudioFrame]:
        """Take a packet, in whatever order; return the frames that are due, usually just one."""
        ordered = self._reorder.push(packet, now=now)
        if len(ordered) == 1 and ordered[0] is packet:
            return (self._decode(packet),)
        return self._frames(ordered)

    def note(self, sequence_number: int) -> None:
        """Tell of a message of the same socket that holds no sound, so that it does not seem to be missing."""
        self._reorder.note(sequence_number)

    def deadline(self) -> float | None:
        """When to call `pop`, on the clock of `now`; None while nothing waits."""
        return self._reorder.deadline()

    def pop(self, *, now: float) -> Sequence[AudioFrame]:
        """Give up the gaps whose time is over; return the frames that fill them, and those that waited behind."""
        return self._frames(self._reorder.pop(now=now))

    def flush(self) -> Sequence[AudioFrame]:
        """Return every frame that still waits: the stream has ended."""
        return self._frames(self._reorder.flush())

    def position(self, track: Track) -> int:
        """How many samples of this track there were so far: the timestamp of its next frame."""
        line = self._lines.get(track)
        return 0 if line is None else line.position

    def describe(self) -> dict[str, Any]:
        """The counters and the ledger as JSON-ready values."""
        return {
            "packets_received": self._reorder.packets_received,
            "packets_lost": self._reorder.packets_lost,
            "packets_late": self._reorder.packets_late,
            "packets_duplicated": self._reorder.packets_duplicated,
            "packets_reordered": self._reorder.packets_reordered,
            "resynchronisations": self._reorder.resynchronisations,
            "payloads_bad": self.payloads_bad,
            "frames_concealed": self.frames_concealed,
            "ledger": self.ledger.describe(),
        }

    def _frames(self, ordered: Sequence[Ordered]) -> Sequence[AudioFrame]:
        frames: list[AudioFrame] = []
        for item in ordered:
            if isinstance(item, Lost):
                line = self._line(item.track)
                frames.extend(self._conceal(line, "lost") for _ in range(item.count))
            else:
                frames.append(self._decode(item))
        return frames

    def _decode(self, packet: MediaReceived) -> AudioFrame:
        line = self._lines.get(packet.track) or self._line(packet.track)
        payload = packet.payload
        try:
            samples = line.decode(payload)
        except CodecError:
            samples = _NOTHING
        length = len(samples)
        if not length:
            self.payloads_bad += 1
            return self._conceal(line, "bad_payload")
        line.heard(samples)
        line.packet_samples = length
        position = line.position
        line.position = position + length
        return AudioFrame(line.track, samples, line.sample_rate, position, payload)

    def _conceal(self, line: _Line, cause: Cause) -> AudioFrame:
        length = min(line.packet_samples, round(_MAX_PACKET_TIME * line.sample_rate))
        position = line.position
        line.position = position + length
        self.frames_concealed += 1
        self.ledger.add(line.track, position, length, cause)
        samples = line.concealer.conceal(length)
        return AudioFrame(line.track, samples, line.sample_rate, position, concealed=True)

    def _line(self, track: Track) -> _Line:
        line = self._lines.get(track)
        if line is None:
            line = self._lines[track] = _Line(track, self._open_codec())
        return line


_NOTHING: Samples = np.zeros(0, np.int16)
