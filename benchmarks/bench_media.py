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

from audio_codecs import Codec, CodecError, Samples, open_codec
from gateway.media.conceal import Concealer
from gateway.media.receiver import Receiver
from gateway.media.reorder import ReorderBuffer
from gateway.media.resample import Resampler
from gateway.player import Player
from gateway.protocol.messages import MediaFormat, StartBody
from gateway.protocol.stream import CarrierStream, MediaReceived, MediaStream

__all__ = ["main"]

T = TypeVar("T")

BATCH = 50

CODECS = (
    ("PCMU", 8000),
    ("PCMA", 8000),
    ("L16", 16_000),
    ("G722", 8000),
    ("OPUS", 8000),
    ("OPUS", 16_000),
    ("OPUS", 48_000),
    ("AMR-WB", 16_000),
    ("MP3", 8000),
)

Case = tuple[str, str, Callable[[int], object]]
"""Name, frame, and what is done with the n-th frame, counted from 0 over the whole run."""


def noise(count: int) -> Samples:
    return np.random.default_rng(711).integers(-8000, 8000, count).astype(np.int16)


def always(function: Callable[[T], object], argument: T) -> Callable[[int], object]:
    """The same for each frame."""
    return lambda _: function(argument)


def voice(sample_rate: int) -> list[Samples]:
    """A second of something like a voice, in frames of 20 ms: codecs that model speech take their time by it."""
    time_ = np.arange(sample_rate) / sample_rate
    pitch = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * 3 * time_)) / sample_rate
    wave = sum(np.sin(n * pitch) / n for n in range(1, 12)) * (1.2 + np.sin(2 * np.pi * 4 * time_))
    sound = np.rint(3000 * wave + noise(sample_rate) / 40).astype(np.int16)
    return np.split(sound, 50)


def in_turn(function: Callable[[T], object], arguments: Sequence[T]) -> Callable[[int], object]:
    """Another one for each frame, over and over."""
    return lambda n: function(arguments[n % len(arguments)])


def once_in(frames: int, function: Callable[[], object]) -> Callable[[int], object]:
    """Once for so many frames."""
    return lambda n: function() if n % frames == 0 else None


def codec_cases() -> Iterator[Case]:
    for encoding, clock_rate in CODECS:
        try:
            sender, receiver = open_codec(encoding, clock_rate, to_send=True), open_codec(encoding, clock_rate)
        except CodecError as error:
            print(f"left out: {error}")
            continue
        frames = voice(sender.sample_rate)
        if encoding == "MP3":  # a message holds a second: 50 frames, of which each costs its share
            second = np.concatenate(frames)
            file = sender.encode(second)
            yield "MP3 decode, 1/50 of 1 s", f"{len(file)} octets", once_in(50, partial(receiver.decode, file))
            yield "MP3 encode, 1/50 of 1 s", f"{len(second)} samples", once_in(50, partial(sender.encode, second))
            continue
        payloads = [sender.encode(frame) for frame in frames]
        name = f"{encoding}/{clock_rate}"
        yield f"{name} decode", f"{max(map(len, payloads))} octets", in_turn(receiver.decode, payloads)
        yield f"{name} encode", f"{len(frames[0])} samples", in_turn(sender.encode, frames)
        if receiver.conceal is not None:
            yield f"{name} conceal", f"{len(frames[0])} samples", after_one(receiver, payloads)


def after_one(codec: Codec, payloads: Sequence[bytes]) -> Callable[[int], object]:
    """Every second packet is lost; the cost is that of a good one and of making up the other."""
    conceal = codec.conceal
    assert conceal is not None
    samples = codec.sample_rate // 50

    def work(n: int) -> Samples:
        codec.decode(payloads[n % len(payloads)])
        return conceal(samples)

    return work


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


def player_cases() -> Iterator[Case]:
    """What is said, down to the message: as it comes, and out of the queue, in short and in long messages."""
    start = StartBody(call_control_id="v3:bench", media_format=MediaFormat("PCMU", 8000))
    samples = noise(160)
    second = np.tile(samples, 50)

    def make(message: float) -> Player:
        carrier, stream = CarrierStream("BENCH", start), MediaStream(now=0.0)
        stream.receive_message(carrier.send_start(), now=0.0)
        codec = open_codec("PCMU", 8000)
        return Player(stream, codec, transmit=lambda text: None, here=lambda: 0, lead=0.16, message=message)

    def live(n: int, player: Player) -> None:
        now = 1.0 + 0.02 * n
        player.send_audio(samples, 8000, now)
        if n % 5 == 0:
            player.heard(now=now)

    def queued(n: int, player: Player) -> None:
        now = 1.0 + 0.02 * n
        if n % 50 == 0:
            player.send_audio(second, 8000, now)
        deadline = player.deadline()
        if deadline is None or deadline <= now:
            player.send_due(now=now)
        if n % 5 == 0:
            player.heard(now=now)

    yield "player, as it comes", "160 samples", partial(live, player=make(0.02))
    yield "player, queued", "160 samples", partial(queued, player=make(0.02))
    yield "player, queued, 100 ms", "160 samples", partial(queued, player=make(0.1))


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
    for name, frame, work in (*codec_cases(), *packet_cases(count), *player_cases(), *sound_cases()):
        p50, p99 = measure(work, count)
        print(f"{name:<24} {frame:>12} {count:>7} {p50:>9.2f} {p99:>9.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
