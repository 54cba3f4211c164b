"""Keys in RTP: each pressed key is a run of packets, and becomes one digit.

A run is one event: all its packets have the timestamp of its beginning, and say how long it has lasted so far. The
last one, marked as the end, is sent three times. An event that lasts longer than its 16-bit duration can say goes on
in a new segment: a new timestamp, that of the old segment's end, without a marker.

Source: RFC 4733 sections 2.3, 2.5.1 and 3.2.
"""

import struct
from collections import deque
from typing import Final, NamedTuple

from gateway.errors import RemoteProtocolError

__all__ = ["TelephoneEvent", "TelephoneEvents", "build_telephone_event", "parse_telephone_events"]

_BLOCK: Final = struct.Struct("!BBH")
_END: Final = 0x80
_VOLUME: Final = 0x3F
_LONGEST: Final = 0xFFFF
_DIGITS: Final = "0123456789*#ABCD"
_REMEMBERED: Final = 32  # events; packets of older ones come no more


class TelephoneEvent(NamedTuple):
    """One event, as one packet tells it.

    Attributes:
        event: Its number; 0 to 15 are the keys.
        end: It is over.
        duration: So far, in units of the clock.
        volume: In -dBm0, 0 to 63.
    """

    event: int
    end: bool
    duration: int
    volume: int = 10


def parse_telephone_events(payload: bytes) -> list[TelephoneEvent]:
    """Read a payload: usually one event, else several of which each begins where the one before it ends.

    Raises:
        RemoteProtocolError: Not a whole number of events.
    """
    if not payload or len(payload) % _BLOCK.size:
        raise RemoteProtocolError(f"telephone events of {len(payload)} octets, want a multiple of {_BLOCK.size}")
    return [
        TelephoneEvent(event, bool(flags & _END), duration, flags & _VOLUME)
        for event, flags, duration in _BLOCK.iter_unpack(payload)
    ]


def build_telephone_event(event: TelephoneEvent) -> bytes:
    """Write the payload of one event."""
    return _BLOCK.pack(event.event, (_END if event.end else 0) | event.volume, event.duration)


class TelephoneEvents:
    """Makes digits of events: each once, as soon as its first packet is here, in whatever order they come.

    Attributes:
        events_other: Events that were no keys, such as a fax machine's tones.
    """

    def __init__(self) -> None:
        self.events_other = 0
        self._known: deque[int] = deque(maxlen=_REMEMBERED)  # beginnings of segments
        self._last: tuple[int, TelephoneEvent] | None = None

    def push(self, payload: bytes, *, timestamp: int, marker: bool) -> str:
        """Take one packet's payload.

        Args:
            payload: See `parse_telephone_events`.
            timestamp: Of the packet; rising, without wrapping around.
            marker: Of the packet.

        Returns:
            The digits that are told here for the first time; usually one or none.

        Raises:
            RemoteProtocolError: See `parse_telephone_events`.
        """
        digits = ""
        for event in parse_telephone_events(payload):
            if timestamp not in self._known:
                self._known.append(timestamp)
                if marker or not self._goes_on(event, timestamp):
                    if event.event < len(_DIGITS):
                        digits += _DIGITS[event.event]
                    else:
                        self.events_other += 1
            if self._last is None or timestamp >= self._last[0]:
                self._last = timestamp, event
            timestamp += event.duration
            marker = False
        return digits

    def _goes_on(self, event: TelephoneEvent, timestamp: int) -> bool:
        """Whether this is a further segment of the last event."""
        if self._last is None:
            return False
        begin, last = self._last
        return event.event == last.event and not last.end and timestamp - begin in (last.duration, _LONGEST)
