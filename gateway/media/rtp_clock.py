"""What time it is on a track's time line, by the timestamps of RTP; where these make no sense, by the arrivals.

A timestamp is believed where it neither goes back nor runs ahead of the arrivals. Otherwise the arrivals tell how much
time has passed, and the timestamps count from there.
"""

from typing import Final, NamedTuple

from gateway.media.rtp_source import RtpReceived

__all__ = ["RtpClock"]

_PATIENCE: Final = 1.0  # seconds that packets may be held up somewhere, all together, and still find their place
_NOTICEABLE: Final = 0.1  # seconds of a pause, where only the arrivals tell of it
_TOLERANCE: Final = 0.0025  # seconds that a frame may be off its timestamp: codecs and resamplers round


class _Reference(NamedTuple):
    """One timestamp, and where it stands on the time line."""

    sender: int
    clock_rate: int
    timestamp: int
    position: int


class RtpClock:
    """Places the packets of one stream, in their order: `gap`, then `begin`, then `end` for each.

    Args:
        sample_rate: Of the time line, in Hz.

    Attributes:
        jumps: Times that a timestamp made no sense.
        tolerance: A gap of so few samples is none.
    """

    def __init__(self, sample_rate: int) -> None:
        self.jumps = 0
        self.tolerance = _TOLERANCE * sample_rate
        self._sample_rate = sample_rate
        self._reference: _Reference | None = None
        self._arrived = 0.0  # when the last packet came
        self._reached = 0  # where on the time line it ended

    def gap(self, packet: RtpReceived, clock_rate: int, position: int, *, lost: int, length: int) -> int:
        """How many samples belong between the last packet and this one.

        Args:
            packet: The next one in order, not the first.
            clock_rate: Of its timestamp, in Hz.
            position: How far the time line has come.
            lost: How many packets are lost between the two.
            length: How many samples a packet holds, most likely.
        """
        told = self._told(packet, clock_rate)
        most = lost * length + self._time_for(packet.arrived + _PATIENCE)
        if told is not None and -self.tolerance <= told - position <= most:
            return told - position
        self.jumps += 1
        self._reference = None
        passed = self._reached + self._time_for(packet.arrived) - length - position
        return max(lost * length, passed if passed > _NOTICEABLE * self._sample_rate else 0)

    def begin(self, packet: RtpReceived, clock_rate: int, position: int) -> None:
        """Note that the packet begins here."""
        if self._reference is None:
            self._reference = _Reference(packet.sender, clock_rate, packet.timestamp, position)

    def end(self, packet: RtpReceived, position: int) -> None:
        """Note that it ends here."""
        self._arrived = packet.arrived
        self._reached = position

    def overdue(self, position: int, *, now: float) -> int:
        """How many samples of silence the time line needs, so as to be no more than a second behind the time."""
        return max(0, self._reached + self._time_for(now - _PATIENCE) - position)

    def _told(self, packet: RtpReceived, clock_rate: int) -> int | None:
        """Where the packet stands by its timestamp."""
        if self._reference is None:
            return None
        sender, known_rate, timestamp, position = self._reference
        if (sender, known_rate) != (packet.sender, clock_rate):
            return None
        return position + (packet.timestamp - timestamp) * self._sample_rate // clock_rate

    def _time_for(self, now: float) -> int:
        """How many samples there was time for since the last packet came."""
        return round((now - self._arrived) * self._sample_rate)
