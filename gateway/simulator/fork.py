"""Forked media: copies of the leg's RTP packets by UDP, each direction to a port of its own.

`rx` gets what comes from the person on the leg, `tx` what is sent to that person; bare RTP, in the leg's codec. Keys
that are pressed are heard as tones in the sound; packets of telephone events are not made.

Source: Telnyx, "Forking start"; RFC 3550 section 5.1; RFC 3551 section 6.
"""

import asyncio
import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, cast

from audio_codecs import Samples, open_codec
from gateway.protocol.messages import Track
from gateway.protocol.rtp import PAYLOAD_TYPES, RtpPacket, build_rtp
from gateway.simulator.faulty_way import FaultyWay
from gateway.simulator.media_faults import spoil_datagram
from gateway.simulator.media_side import MediaSide
from gateway.simulator.speech import SAMPLE_RATE
from gateway.simulator.stream_plan import LEG_ENCODING
from gateway.simulator.tracks import TrackEncoder, sound_of

__all__ = ["Fork", "ForkPlan"]

_OPEN_TIMEOUT: Final = 5.0
_TYPES: Final = {form.encoding: number for number, form in PAYLOAD_TYPES.items()}


@dataclass(frozen=True, slots=True)
class ForkPlan:
    """Where both directions go: `udp:host:port` each; and the stream type that a stop has to name."""

    rx: str
    tx: str
    stream_type: str


class Fork:
    """One fork of one call.

    Args:
        plan: What was asked for.
        side: Of the call.
        emit: Sends a webhook: event type, and the fields beside the usual ones.

    Attributes:
        ended: Set when the fork is over.
    """

    def __init__(self, plan: ForkPlan, side: MediaSide, emit: Callable[[str, dict[str, Any]], None]) -> None:
        self.plan = plan
        self.ended = asyncio.Event()
        self._side = side
        self._emit = emit
        self._stop = asyncio.Event()
        self._directions: list[_Direction] = []

    def stop(self) -> None:
        """Let the fork end."""
        self._stop.set()

    async def run(self) -> None:
        """Copy packets until `stop`."""
        side, told = self._side, {"stream_type": self.plan.stream_type}
        try:
            async with AsyncExitStack() as stack:
                try:
                    for track, target in (("inbound", self.plan.rx), ("outbound", self.plan.tx)):
                        transport = await _open(target)
                        stack.callback(transport.close)
                        self._directions.append(_Direction(cast(Track, track), transport, side))
                except (OSError, TimeoutError) as error:
                    side.journal.note_error(100002, f"fork to {target}: {type(error).__name__}: {error}")
                    return
                self._emit("call.fork.started", told)
                side.line.listen(self._take)
                try:
                    await self._stop.wait()
                finally:
                    side.line.leave(self._take)
                    for direction in self._directions:
                        direction.close()
            self._emit("call.fork.stopped", told)
        finally:
            self.ended.set()

    def _take(self, frame: Samples, at: float) -> None:
        for direction in self._directions:
            direction.send(frame, at)


class _Direction:
    """One RTP stream: number, timestamp and SSRC begin at random, as RFC 3550 wants it."""

    def __init__(self, track: Track, transport: asyncio.DatagramTransport, side: MediaSide) -> None:
        encoding = side.book.of(side.call_control_id).start.codec
        if encoding not in _TYPES:
            encoding = LEG_ENCODING
        self._track: Track = track
        self._side = side
        self._encoder = TrackEncoder(open_codec(encoding, SAMPLE_RATE))
        self._payload_type = _TYPES[encoding]
        self._sequence_number = secrets.randbits(16)
        self._timestamp = secrets.randbits(32)
        self._ssrc = secrets.randbits(32)
        self._marker = True
        self._name = f"fork {track}"
        self._transport = transport
        self._way = FaultyWay(self._put, side, spoil=spoil_datagram)

    def send(self, frame: Samples, at: float) -> None:
        """Send one frame of the leg's line."""
        packet = RtpPacket(
            self._payload_type,
            self._sequence_number,
            self._timestamp,
            self._ssrc,
            self._encoder.encode(sound_of(self._track, frame, at, self._side.journal)),
            self._marker,
        )
        self._marker = False
        self._sequence_number = (self._sequence_number + 1) & 0xFFFF
        self._timestamp = (self._timestamp + len(frame)) & 0xFFFFFFFF
        self._way.push(build_rtp(packet))

    def close(self) -> None:
        """Send what is still under way, and no more."""
        self._way.flush()
        self._way.close()

    def _put(self, datagram: bytes) -> None:
        self._transport.sendto(datagram)
        self._side.journal.messages_sent[self._name] += 1


async def _open(target: str) -> asyncio.DatagramTransport:
    """A socket for one target. Raises OSError, TimeoutError."""
    host, _, port = target.removeprefix("udp:").rpartition(":")
    if int(port) not in range(1, 65_536):
        raise OSError(f"there is no port {port}")
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(_OPEN_TIMEOUT):
        transport, _protocol = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=(host.strip("[]"), int(port))
        )
    return transport
