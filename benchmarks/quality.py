"""How good does speech sound through each codec, and through loss, with and without concealment?

    make quality

Speech goes through a codec, packet by packet of 20 ms, and through the gateway's own receiver, which lacks the packets
that were lost. PESQ compares what comes out with what went in: ITU-T P.862.1 for codecs of 8 kHz, P.862.2 for those of
16 kHz. Its scale ends at 4.55 and 4.64; the two cannot be compared with each other. Where nothing is concealed, a lost
packet is silence. Which packets are lost is a matter of chance, each for itself, from a seed: the same ones for every
codec. Each figure is the mean over all voices and seeds.

The speech is made by the program espeak-ng (apt-get install espeak-ng), the same on each machine; `--speech` takes your
own.
"""

import argparse
import datetime as dt
import io
import platform
import shutil
import subprocess
import sys
import wave
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from audio_codecs import Codec, CodecError, Samples, open_codec
from gateway.media.frame import AudioFrame
from gateway.media.receiver import Receiver
from gateway.media.resample import Resampler
from gateway.protocol.stream import MediaReceived

__all__ = ["main"]

CODECS = (
    ("PCMU", 8000),
    ("PCMA", 8000),
    ("OPUS", 8000),
    ("L16", 8000),
    ("G722", 8000),
    ("OPUS", 16_000),
    ("AMR-WB", 16_000),
    ("L16", 16_000),
)
LOSSES = (0.01, 0.03, 0.05)
VOICES = ("en-us+f3", "en-us+m3", "en-gb", "en-gb+f2", "en-us+m7", "en-gb+f5")
SENTENCES = (
    "Good morning. I would like to book a table for two, this Friday at half past seven.",
    "The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background.",
    "Rice is often served in round bowls. The juice of lemons makes fine punch.",
)


class Recording(NamedTuple):
    """A voice."""

    samples: Samples
    sample_rate: int

    def at(self, sample_rate: int) -> Samples:
        """It at another rate, in whole frames, peak -6 dBFS."""
        sound = Resampler(self.sample_rate, sample_rate).push(self.samples)
        frame = sample_rate // 50
        sound = sound[: len(sound) // frame * frame].astype(np.float64)
        scaled: Samples = np.rint(sound * (0.5 * 32768 / np.abs(sound).max())).astype(np.int16)
        return scaled


def read(octets: bytes) -> Recording:
    with wave.open(io.BytesIO(octets)) as file:
        if (file.getnchannels(), file.getsampwidth()) != (1, 2):
            raise SystemExit("want WAV files, mono, 16 bits")
        # A program that writes to a pipe cannot know the length beforehand.
        samples = np.frombuffer(file.readframes(len(octets)), "<i2").astype(np.int16)
        pause = np.zeros(file.getframerate() // 2, np.int16)
        return Recording(np.concatenate((pause, samples, pause)), file.getframerate())


def say(voice: str) -> Recording:
    command = ["espeak-ng", "-v", voice, "-s", "155", "--stdout", " ".join(SENTENCES)]
    return read(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)


def encode(codec: Codec, sound: Samples) -> list[bytes]:
    frame = codec.sample_rate // 50
    return [codec.encode(sound[at : at + frame]) for at in range(0, len(sound), frame)]


def hear(codec: Codec, payloads: Sequence[bytes], lost: Sequence[bool], *, conceal: bool) -> Samples:
    """What a receiver makes of the packets that came."""
    receiver = Receiver(lambda: codec, window=0.0)
    frames: list[AudioFrame] = []
    for n, (payload, gone) in enumerate(zip(payloads, lost, strict=True)):
        if not gone:
            frames += receiver.push(MediaReceived("inbound", n + 2, n + 1, 20 * n, payload), now=0.02 * n)
            frames += receiver.pop(now=0.02 * n)
    return np.concatenate(
        [frame.samples if conceal or not frame.concealed else np.zeros_like(frame.samples) for frame in frames]
    )


def score(reference: Samples, degraded: Samples, sample_rate: int) -> float:
    from pesq import pesq

    length = min(len(reference), len(degraded))
    return float(pesq(sample_rate, reference[:length], degraded[:length], "nb" if sample_rate == 8000 else "wb"))


def losses(count: int, share: float, seed: int) -> list[bool]:
    """Which of the packets are lost; never the first and the last, from which nobody can tell."""
    lost = np.random.default_rng(seed).random(count) < share
    lost[[0, -1]] = False
    return [bool(gone) for gone in lost]


def play(encoding: str, clock_rate: int, sound: Samples, patterns: int) -> list[float]:
    """The scores of one voice: without loss, then for each loss without and with concealment."""
    payloads = encode(open_codec(encoding, clock_rate, to_send=True), sound)

    def once(lost: Sequence[bool], *, conceal: bool) -> float:
        codec = open_codec(encoding, clock_rate)
        heard = hear(codec if conceal else replace(codec, conceal=None), payloads, lost, conceal=conceal)
        return score(sound, heard, codec.sample_rate)

    scores = [once([False] * len(payloads), conceal=True)]
    for share in LOSSES:
        lost = [losses(len(payloads), share, seed) for seed in range(patterns)]
        scores += [float(np.mean([once(one, conceal=conceal) for one in lost])) for conceal in (False, True)]
    return scores


def rows(voices: Sequence[Recording], patterns: int) -> Iterator[tuple[str, list[float]]]:
    """One row for each codec: its name and `play`, the mean over the voices."""
    for encoding, clock_rate in CODECS:
        try:
            sample_rate = open_codec(encoding, clock_rate, to_send=True).sample_rate
        except CodecError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        scores = [play(encoding, clock_rate, voice.at(sample_rate), patterns) for voice in voices]
        yield f"{encoding}/{clock_rate}", [float(mean) for mean in np.mean(scores, axis=0)]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description="PESQ through codecs and loss")
    parser.add_argument(
        "--speech", type=Path, nargs="+", help="WAV files of your own, in the place of espeak-ng's voices"
    )
    parser.add_argument("--patterns", type=int, default=5, help="how many patterns of loss for each")
    arguments = parser.parse_args(argv)
    if arguments.speech:
        voices = [read(path.read_bytes()) for path in arguments.speech]
    elif shutil.which("espeak-ng") is not None:
        voices = [say(voice) for voice in VOICES]
    else:
        print("the program espeak-ng is missing: apt-get install espeak-ng", file=sys.stderr)
        return 1
    print(
        f"{dt.datetime.now(tz=dt.UTC):%Y-%m-%d}, python {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}; {len(voices)} voices, {arguments.patterns} patterns of loss\n"
    )
    heads = [f"{share:.0%} {what}" for share in LOSSES for what in ("silence", "concealed")]
    print("| codec | no loss | " + " | ".join(heads) + " |")
    print("|---" * (len(heads) + 2) + "|")
    for name, scores in rows(voices, arguments.patterns):
        print(f"| {name} | " + " | ".join(f"{value:.2f}" for value in scores) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
