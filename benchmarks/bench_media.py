"""What does the path of one 20 ms frame cost, part by part?

    python -m benchmarks.bench_media [--smoke]

Prints one line for each case: its name, the frame, how many were timed, the cost of one at the 50th and the 99th
percentile in microseconds. Each time is the mean over a batch of frames, as one frame is too short for the clock, so
the 99th percentile tells of busy moments, not of single slow frames. The first line names Python and the machine.
"""

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import numpy as np

from audio_codecs import Samples, open_codec
from gateway.media.conceal import Concealer
from gateway.media.receiver import Receiver
from gateway.media.reorder import ReorderBuffer
from gateway.media.resample import Resampler
from gateway.protocol.messages import MediaFormat, StartBody
from gateway.protocol.stream import CarrierStream, MediaReceived, MediaStream

__all__ = ["main"]

T = TypeVar("T")

BATCH = 20

Case = tuple[str, str, Callable[[int], object]]
"""Name, frame, and what is done with the n-th frame, counted from 0 over the whole run."""


def noise(count: int) -> Samples:
    return np.random.default_rng(711).integers(-8000, 8000, count).astype(np.int16)


def always(function: Callable[[T], object], argument: T) -> Callable[[int], object]:
    """The same for each frame."""
    return lambda _: function(argument)


def codec_cases() -> Iterator[Case]:
    for encoding, rate in (("PCMU", 8000), ("PCMA", 8000), ("L16", 16000)):
        codec, samples = open_codec(encoding, rate), noise(rate // 50)
        payload = codec.encode(samples)
        frame = f"{len(payload)} octets"
        yield f"{encoding} decode", frame, always(codec.decode, payload)
        yield f"{encoding} encode", frame, always(codec.encode, samples)


def packet_cases(count: int) -> Iterator[Case]:
    start = StartBody(call_control_id="v3:bench", media_format=MediaFormat("PCMU", 8000))
    carrier, stream = CarrierStream("BENCH", start), MediaStream(now=0.0)
    stream.receive_message(carrier.send_start(), now=0.0)
    payload = open_codec("PCMU", 8000).encode(noise(160))
    texts = [carrier.send_media("inbound", payload, timestamp=20 * n) for n in range(count)]
    packets = [MediaReceived("inbound", n + 2, n + 1, 20 * n, payload) for n in range(count)]
    reorder, receiver = ReorderBuffer(), Receiver(partial(open_codec, "PCMU", 8000))
    yield "stream.receive_message", f"{len(texts[0])} octets", lambda n: stream.receive_message(texts[n], now=0.0)
    yield "reorder, in order", "160 octets", lambda n: reorder.push(packets[n], now=0.0)
    yield "receiver, in order", "160 octets", lambda n: receiver.push(packets[n], now=0.0)


def sound_cases() -> Iterator[Case]:
    for from_rate, to_rate in ((8000, 16000), (16000, 8000), (8000, 24000), (8000, 48000), (48000, 8000)):
        resampler, samples = Resampler(from_rate, to_rate), noise(from_rate // 50)
        name = f"resample {from_rate}->{to_rate}"
        yield name, f"{len(samples)} samples", always(resampler.push, samples)
    concealer, samples = Concealer(8000), noise(160)

    def conceal(_: int) -> Samples:
        concealer.heard(samples)
        return concealer.conceal(160)

    yield "conceal, one frame", "160 samples", conceal


def measure(work: Callable[[int], object], count: int) -> tuple[float, float]:
    """Percentiles 50 and 99 of the cost of one frame, in microseconds."""
    costs = []
    for first in range(0, count, BATCH):
        begin = time.perf_counter()
        for n in range(first, first + BATCH):
            work(n)
        costs.append((time.perf_counter() - begin) / BATCH * 1e6)
    p50, p99 = np.percentile(costs, [50, 99])
    return float(p50), float(p99)


def main(argv: Sequence[str] | None = None) -> int:
    """Run every case and print its line."""
    parser = argparse.ArgumentParser(prog="bench_media", description="cost of one 20 ms frame, part by part")
    parser.add_argument("--smoke", action="store_true", help="a moment only, to see that it runs")
    count = 400 if parser.parse_args(argv).smoke else 20_000
    print(f"python {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} CPUs")
    print(f"{'case':<24} {'frame':>12} {'n':>7} {'p50 us':>9} {'p99 us':>9}")
    for name, frame, work in (*codec_cases(), *packet_cases(count), *sound_cases()):
        p50, p99 = measure(work, count)
        print(f"{name:<24} {frame:>12} {count:>7} {p50:>9.2f} {p99:>9.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
