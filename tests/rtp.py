"""A sender of RTP for the tests, a network that is not kind to its packets, and ports for them to come to."""

import contextlib
import os
import random
import socket
from collections.abc import Iterable, Sequence

import numpy as np

from gateway.config import PortRange
from gateway.protocol.rtp import RtpPacket
from gateway.protocol.telephone_event import TelephoneEvent, build_telephone_event

PACKET = 160
PACKET_TIME = 0.02

Timed = tuple[float, RtpPacket]
"""When a packet arrives, in seconds, and the packet."""


def voices(count: int, seed: int = 1, octets: int = PACKET) -> list[bytes]:
    """PCMU payloads that all differ, so that none can be taken for another."""
    return [row.tobytes() for row in np.random.default_rng(seed).integers(0, 256, (count, octets), np.uint8)]


class RtpSender:
    """One end of an RTP stream, that knows what time it is there.

    Args:
        seed: Of its SSRC and its first numbers, unless these are given.
    """

    def __init__(
        self,
        seed: int = 1,
        *,
        payload_type: int = 0,
        clock_rate: int = 8000,
        sequence_number: int | None = None,
        timestamp: int | None = None,
    ) -> None:
        chance = random.Random(seed)
        self.ssrc = chance.getrandbits(32)
        self.payload_type = payload_type
        self.sequence_number = chance.getrandbits(16) if sequence_number is None else sequence_number
        self.timestamp = chance.getrandbits(32) if timestamp is None else timestamp
        self.now = 0.0
        self._clock_rate = clock_rate

    def voice(self, payloads: Iterable[bytes], *, octets: int = PACKET) -> list[Timed]:
        """Say something, a packet each 20 ms."""
        sent = []
        for payload in payloads:
            sent.append((self.now, self.packet(payload)))
            self.wait(PACKET_TIME * octets / PACKET)
        return sent

    def wait(self, seconds: float) -> None:
        """Have nothing to say: the timestamp goes on without packets."""
        self.now += seconds
        self.timestamp += round(seconds * self._clock_rate)

    def comfort_noise(self) -> list[Timed]:
        """Say that there is only noise for a while."""
        return [(self.now, self.packet(b"\x40", payload_type=13))]

    def press(self, digit: str) -> list[Timed]:
        """Press a key for a tenth of a second: five packets, and the last one twice more."""
        event, begin, sent = "0123456789*#ABCD".index(digit), self.timestamp, []
        for n in range(1, 8):
            pressed = TelephoneEvent(event, end=n >= 5, duration=PACKET * min(n, 5))
            payload = build_telephone_event(pressed)
            sent.append((self.now, self.packet(payload, payload_type=101, marker=n == 1, timestamp=begin)))
            self.now += PACKET_TIME if n < 5 else 0.0
        self.now += PACKET_TIME
        self.timestamp = begin + 5 * PACKET
        return sent

    def packet(
        self, payload: bytes, *, payload_type: int | None = None, marker: bool = False, timestamp: int | None = None
    ) -> RtpPacket:
        """The next packet, numbered."""
        packet = RtpPacket(
            self.payload_type if payload_type is None else payload_type,
            self.sequence_number & 0xFFFF,
            (self.timestamp if timestamp is None else timestamp) & 0xFFFFFFFF,
            self.ssrc,
            payload,
            marker,
        )
        self.sequence_number += 1
        return packet


def impair(
    sent: Sequence[Timed], seed: int, *, lost: float = 0.0, doubled: float = 0.0, late: float = 0.0, most: float = 0.05
) -> list[Timed]:
    """Send packets through a network: shares of them are lost, doubled, and late by up to `most` seconds.

    The first and the last come as they were sent.
    """
    chance, arrivals = random.Random(seed), []
    for n, (now, packet) in enumerate(sent):
        if n in (0, len(sent) - 1):
            arrivals.append((now, packet))
        elif chance.random() >= lost:
            delays = [chance.random() * most if chance.random() < late else 0.0 for _ in range(2)]
            arrivals += [(now + delay, packet) for delay in delays[: 2 if chance.random() < doubled else 1]]
    return sorted(arrivals, key=lambda arrival: arrival[0])


def free_ports(count: int) -> PortRange:
    """A range of UDP ports of which the even ones are free, for the moment; below those that the system gives away."""
    begin = 20_000 + os.getpid() % 500 * 20  # other runs of the tests look elsewhere
    for first in range(begin, 32_000, count):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + count, 2):
                    stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind(("127.0.0.1", port))
            except OSError:
                continue
        return PortRange("127.0.0.1", first, first + count - 1)
    raise AssertionError("no free ports")
