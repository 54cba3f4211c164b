"""What does a packet of a forked call cost, and what does it cost to measure what is heard?

    python -m benchmarks.bench_fork [--smoke]

Prints one line for each case, as `bench_media` does. `level` is what the level meter adds to each 20 ms frame, without
the jitter. `report of a call` and `E-model` happen when somebody asks, not per frame.
"""

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NoReturn

import numpy as np
import structlog

from audio_codecs import open_codec
from benchmarks.bench_media import measure
from gateway.forked_call import ForkedCall, ForkOptions
from gateway.media.emodel import CODECS, rating
from gateway.media.ledger import GapLedger
from gateway.media.level import LevelMeter
from gateway.media.line import TrackLine
from gateway.media.pacer import Pacer
from gateway.media.receiver import Receiver
from gateway.media.rtp_receiver import RtpReceiver
from gateway.protocol.rtp import PAYLOAD_TYPES, RtpPacket, build_rtp, parse_rtp
from gateway.protocol.stream import MediaReceived

__all__ = ["main"]

ADDRESS = ("192.0.2.1", 4000)

Case = tuple[str, str, Callable[[int], object]]
"""Name, frame, and what is done with the n-th frame, counted from 0 over the whole run."""


def payload() -> bytes:
    """20 ms of noise, as loud as loud speech and not clipped."""
    samples = np.random.default_rng(711).integers(-8000, 8000, 160).astype(np.int16)
    return open_codec("PCMU", 8000).encode(samples)


def rtp_cases(count: int) -> Iterator[Case]:
    """A packet's way, from its octets on."""
    packets = [RtpPacket(0, n & 0xFFFF, 160 * n & 0xFFFFFFFF, 1, payload()) for n in range(count)]
    datagrams = [build_rtp(packet) for packet in packets]
    receiver = RtpReceiver(
        "inbound",
        formats=PAYLOAD_TYPES,
        ledger=GapLedger(),
        begin=lambda codec, _: (codec.sample_rate, 0),
        on_digit=lambda _: None,
    )
    call = forked_call()
    size = f"{len(datagrams[0])} octets"
    yield "parse_rtp", size, lambda n: parse_rtp(datagrams[n])
    yield "RTP receiver, in order", size, lambda n: receiver.push(packets[n], ADDRESS, now=0.02 * n)
    yield "forked call, no sink", size, lambda n: call.datagram_received("inbound", datagrams[n], ADDRESS, now=0.02 * n)


def forked_call() -> ForkedCall:
    """One without sinks, of which nobody is told."""

    def no_timer(delay: float, callback: Callable[[], object]) -> NoReturn:
        raise AssertionError(f"{callback} in {delay} s: packets in order wait for nothing")

    return ForkedCall(
        "v3:bench",
        formats=PAYLOAD_TYPES,
        options=ForkOptions(sinks={}),
        on_start=lambda _: None,
        on_end=lambda _: None,
        pacer=Pacer(no_timer, time.monotonic),
        log=structlog.get_logger(),
    )


def quality_cases(count: int) -> Iterator[Case]:
    """What it costs to know what was heard."""
    sound = payload()
    packets = [MediaReceived("inbound", n + 2, n + 1, 20 * n, sound) for n in range(count)]
    receiver = Receiver(partial(open_codec, "PCMU", 8000))
    line = TrackLine("inbound", open_codec("PCMU", 8000), GapLedger())
    meter, samples = LevelMeter(8000), line.decode(sound)

    yield "receiver, in order", "160 octets", lambda n: receiver.push(packets[n], now=0.02 * n)
    yield "track line", "160 octets", lambda _: line.take(sound)
    yield "level", "160 samples", lambda _: meter.hear(samples)
    yield "report of a call", "-", lambda _: receiver.describe()
    yield "E-model", "-", lambda n: rating(codec=CODECS["PCMU"], loss_percent=n % 50, delay=0.12)


def main(argv: Sequence[str] | None = None) -> int:
    """Run every case and print its line."""
    parser = argparse.ArgumentParser(prog="bench_fork", description="cost of one RTP packet, and of measuring")
    parser.add_argument("--smoke", action="store_true", help="a moment only, to see that it runs")
    count = 400 if parser.parse_args(argv).smoke else 20_000
    print(f"python {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} CPUs")
    print(f"{'case':<24} {'frame':>12} {'n':>7} {'p50 us':>9} {'p99 us':>9}")
    for name, frame, work in (*rtp_cases(count), *quality_cases(count)):
        p50, p99 = measure(work, count)
        print(f"{name:<24} {frame:>12} {count:>7} {p50:>9.2f} {p99:>9.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
