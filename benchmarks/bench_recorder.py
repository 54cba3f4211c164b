"""What does recording cost: a frame while the call runs, and a recording when it has ended?

    python -m benchmarks.bench_recorder [--smoke] [--calls 300]

First the CPU of a frame, all threads: 20 ms of the caller, and the application's share of a frame of 100 ms.
`hot` is the recorder by itself; `cold` has other work evict 32 kB of the caches between two frames, as the rest of the
gateway does. All calls take their turns as in the service; each figure is the best of many rounds of one second of
sound, in microseconds. Then what one minute of a recording of two channels takes afterwards, in milliseconds.

What the whole gateway adds, with sockets and wake-ups: `benchmarks.bench_call` with and without GATEWAY_SINKS=recorder.
"""

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from audio_codecs import Samples
from audio_codecs.g711 import encode_ulaw
from gateway.media.frame import AudioFrame
from gateway.sinks.base import StreamInfo
from gateway.sinks.recorder.complete import Completion
from gateway.sinks.recorder.converter import Converter, refusal
from gateway.sinks.recorder.options import RecordingOptions
from gateway.sinks.recorder.recording import Recording, Sound
from gateway.sinks.recorder.recover import recover
from gateway.sinks.recorder.schedule import FlushSchedule
from gateway.sinks.recorder.seal import SealKey
from gateway.sinks.recorder.sink import G711RecorderSink, RecorderSink
from gateway.sinks.recorder.window import BlockPool
from gateway.sinks.thread import WorkerThread

__all__ = ["main"]

_KEY: Final = SealKey(bytes(32))
_FRAME: Final = 0.02
_EVICTED: Final = 32 * 1024  # octets
_CASES: Final[dict[str, tuple[dict[str, Any], int, SealKey | None]]] = {
    "16 bits, two channels": ({}, 8000, None),
    "G.711 as it came": ({"encoding": "g711"}, 8000, None),
    "16 bits, one channel": ({"channels": "single"}, 8000, None),
    "silence looked for": ({"timeout_secs": 60}, 8000, None),
    "sealed": ({}, 8000, _KEY),
    "16 bits, 16 kHz": ({}, 16_000, None),
}


def stream_info(sample_rate: int) -> StreamInfo:
    """A stream of PCMU, or of L16 at another rate."""
    return StreamInfo(
        call_control_id="v3:bench",
        stream_id="BENCH",
        call_session_id=None,
        inbound_encoding="PCMU" if sample_rate == 8000 else "L16",
        inbound_sample_rate=sample_rate,
        played_encoding="L16",
        played_sample_rate=sample_rate,
        client_state=None,
        custom_parameters={},
        started_at=0.0,
        report=dict,
    )


def speech(length: int) -> Samples:
    """Loud and soft by turns, as codecs and detectors of silence meet it."""
    random = np.random.default_rng(711)
    envelope = np.repeat(random.uniform(0, 6000, length // 800 + 1), 800)[:length]
    samples: Samples = (envelope * random.standard_normal(length)).clip(-32768, 32767).astype(np.int16)
    return samples


class Calls:
    """Recordings that take their turns as in the service, as fast as it goes."""

    def __init__(
        self, folder: Path, calls: int, options: RecordingOptions, sample_rate: int, key: SealKey | None
    ) -> None:
        self._thread = WorkerThread("recorder")
        self._schedule: FlushSchedule[RecorderSink] = FlushSchedule(interval=0.8, tick=_FRAME, now=0.0)
        self._rate = sample_rate
        self._sinks: list[RecorderSink] = []
        self._tick = 0
        self._pool: BlockPool | None = None
        for number in range(calls):
            recording = Recording(folder / str(number), stream_info(sample_rate), options, key=key)
            self._pool = self._pool or BlockPool(sample_rate, *recording.sound.waiting)
            kind = G711RecorderSink if recording.sound.waits_encoded else RecorderSink
            self._sinks.append(kind(recording, self._pool, on_end=lambda sink: None))
            self._schedule.add(self._sinks[-1])
            self._thread.submit(recording.create).result()
        self._work = np.zeros((calls, _EVICTED), np.int8)

    def second(self, *, cold: bool) -> float:
        """CPU of one second of sound, for each frame, in seconds; of other work nothing."""
        twenty, hundred = speech(self._rate // 50), speech(self._rate // 10)
        payload = encode_ulaw(twenty) if self._rate == 8000 else b""
        used = 0.0
        for _ in range(50):
            inbound = AudioFrame("inbound", twenty, self._rate, self._tick * len(twenty), payload)
            played = AudioFrame("played", hundred, self._rate, max(0, self._tick - 4) * len(twenty))
            begin = time.process_time()
            for number, sink in enumerate(self._sinks):
                if cold:
                    self._work[number].sum()
                sink.write(inbound)
                if (self._tick + number) % 5 == 0 and self._tick >= 4:
                    sink.write(played)
            self._turn()
            used += time.process_time() - begin
            self._tick += 1
        return used / 50 / len(self._sinks)

    def other_work(self) -> float:
        """CPU of evicting the caches, for each frame, in seconds."""
        begin = time.process_time()
        for _ in range(50):
            for number in range(len(self._sinks)):
                self._work[number].sum()
        return (time.process_time() - begin) / 50 / len(self._sinks)

    def close(self) -> None:
        """Let the files go."""
        for sink in self._sinks:
            sink.recording.release()
        self._thread.stop()

    def _turn(self) -> None:
        turns = [(sink.recording, sink.take(), sink.pool) for sink in self._schedule.due(now=(self._tick + 1) * _FRAME)]
        if turns:
            self._thread.submit(partial(_flush, turns)).result()


def _flush(turns: list[tuple[Recording, Sound, BlockPool]]) -> None:
    for recording, sound, pool in turns:
        recording.flush(sound, pool)


def frame_costs(calls: int, rounds: int) -> Iterator[tuple[str, float, float, int]]:
    """For each case: its name, the cost of a frame hot and cold in microseconds, octets of the file for one second."""
    for name, (options, sample_rate, key) in _CASES.items():
        with folder() as place, closing(Calls(place, calls, RecordingOptions(**options), sample_rate, key)) as load:
            load.second(cold=False)
            hot = min(load.second(cold=False) for _ in range(rounds))
            cold = min(load.second(cold=True) for _ in range(rounds)) - min(load.other_work() for _ in range(rounds))
            sink = next((place / "0").glob("recording.wav*"))
            yield name, hot * 1e6, cold * 1e6, round(sink.stat().st_size / (2 * rounds + 1))


def recorded(place: Path, minutes: float, **options: Any) -> Path:
    """A recording that has ended; nothing was done with it since."""
    recording = Recording(place, stream_info(8000), RecordingOptions(**options))
    recording.origin = 0
    recording.create()
    pool = BlockPool(8000, np.dtype(np.int16), 0)
    sink = RecorderSink(recording, pool, on_end=lambda sink: None)
    sound = speech(8000)
    for second in range(round(60 * minutes)):
        sink.write(AudioFrame("inbound", sound, 8000, 8000 * second))
        sink.write(AudioFrame("played", sound[::-1], 8000, 8000 * second))
        recording.flush(sink.take(), pool)
    recording.finish(sink.take(), pool, {})
    recording.release()
    return place


def end_costs(minutes: float) -> Iterator[tuple[str, float, float]]:
    """For each thing that is done in the end: its name, milliseconds and megabytes for one minute."""
    with folder() as place, closing(Converter()) as converter:
        completion = Completion(converter)

        def timed(name: str, work: Callable[[Path], object], **options: Any) -> tuple[str, float, float]:
            kept = recorded(place / name, minutes, **options)
            begin = time.perf_counter()
            work(kept)
            spent = time.perf_counter() - begin
            (file,) = kept.glob("recording.[!j]*")
            return name, spent * 1000 / minutes, file.stat().st_size / 1e6 / minutes

        completion.complete(recorded(place / "first", 0.01, trim="trim-silence"))  # the process has to start
        yield timed("checksum, WAV", completion.complete)
        yield timed("after a crash, WAV", partial(recover, completion=completion))
        yield timed("trim, WAV", completion.complete, trim="trim-silence")
        for form in ("flac", "opus", "mp3"):
            if refusal(RecordingOptions(format=form), sealed=False) is None:
                yield timed(form.upper(), completion.complete, format=form)


@contextmanager
def folder() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-recorder-") as name:
        yield Path(name)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_recorder", description=__doc__)
    parser.add_argument("--calls", type=int, default=300, help="how many calls at once")
    parser.add_argument("--rounds", type=int, default=12, help="of one second of sound, for each figure")
    parser.add_argument("--smoke", action="store_true", help="a moment only, to see that it runs")
    options = parser.parse_args(argv)
    if options.smoke:
        options.calls, options.rounds = 5, 1
    print(f"python {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} CPUs")
    print(f"{options.calls} calls{'':<18} {'us/frame hot':>13} {'cold':>6} {'kB/s':>6}")
    for name, hot, cold, octets in frame_costs(options.calls, options.rounds):
        print(f"{name:<27} {hot:>13.2f} {cold:>6.2f} {octets / 1000:>6.1f}", flush=True)
    print(f"\n{'in the end':<27} {'ms/minute':>13} {'MB/minute':>13}")
    for name, milliseconds, megabytes in end_costs(0.05 if options.smoke else 10.0):
        print(f"{name:<27} {milliseconds:>13.1f} {megabytes:>13.3f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
