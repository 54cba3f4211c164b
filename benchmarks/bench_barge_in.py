"""How long is the agent still heard after the caller began to speak over it?

    python -m benchmarks.bench_barge_in [--smoke]

Gateway and simulator in one process, over loopback, in real time: callers interrupt an agent again and again, which
clears at `SpeechStarted`. The caller's beginning is the first frame with speech in it as it leaves for the gateway;
the silence begins with the last sample that the caller heard before it. The detector's own window is part of it: three
frames of speech, so 40 ms at least behind the first.
"""

import argparse
import asyncio
import base64
import platform
import sys
import tempfile
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import structlog

from audio_codecs import Samples
from gateway import Agent, Call, Gateway, Settings, SpeechStarted
from gateway.config import Address
from gateway.process import loop_factory
from gateway.simulator import SimulatedCall, Simulator
from gateway.simulator.casting import InlineScript
from gateway.simulator.wav import read_wav, write_wav

__all__ = ["beginnings", "main", "silences"]

LOOPBACK: Final = Address("127.0.0.1", 0)
SPEECH: Final = Path(__file__).parent.parent / "examples" / "speech" / "booking.wav"
_FRAME: Final = 160
_LOUD: Final = 200  # mean of a frame's samples


def beginnings(call: SimulatedCall) -> list[float]:
    """When the caller began to speak, each time after 0.7 s of silence, on the simulator's clock."""
    said = call.journal.said.samples()
    frames = said[: len(said) // _FRAME * _FRAME].reshape(-1, _FRAME)
    loud = np.flatnonzero(np.abs(frames.astype(np.int32)).mean(axis=1) > _LOUD)
    first = loud[np.insert(np.diff(loud) > 35, 0, np.True_)]
    sent = [at for at, _ in call.journal.media_sent.pairs()]
    return [sent[frame] for frame in first]


def silences(call: SimulatedCall, since: Sequence[float], *, lasting: float) -> list[float]:
    """How many seconds after each of these moments the ear had its first silence that lasted.

    Raises:
        ValueError: It was silent already.
    """
    line = call.journal.heard.samples() != 0
    took = []
    for at in since:
        start = call.journal.position(at)
        heard = np.flatnonzero(line[start : start + 16_000])
        if not len(heard):
            raise ValueError("the agent was silent already")
        gaps = np.diff(np.append(heard, start + 10**9))
        took.append(float(heard[np.flatnonzero(gaps > lasting * 8000)[0]] + 1) / 8000)
    return took


class Talker(Agent):
    """Hums, is silent for a while when it is interrupted, and hums again."""

    async def run(self, call: Call) -> None:
        """Do so until the call ends."""
        call.detect_speech()
        call.play(_hum(), 8000)
        async for item in call:
            if isinstance(item, SpeechStarted):
                call.clear()
                await asyncio.sleep(2.2)  # the caller speaks that long
                call.play(_hum(), 8000)


async def _hum() -> AsyncGenerator[Samples]:
    while True:
        yield np.full(1600, 3000, np.int16)


def _script(interruptions: int) -> InlineScript:
    sentence = read_wav(SPEECH.read_bytes(), sample_rate=8000)[800:13_600]
    steps = "".join(
        f'[[step]]\ninterrupt = "s.wav"\nafter = {0.8 + 0.013 * number:.3f}\n' for number in range(interruptions)
    )
    wav = base64.b64encode(write_wav(sentence, sample_rate=8000)).decode()
    return InlineScript(toml=steps + "[[step]]\nwait = 0.5\n", sounds={"s.wav": wav})


async def run(calls: int, interruptions: int) -> list[float]:
    """Measure; seconds, one for each interruption."""
    log = structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger("critical"))
    with tempfile.TemporaryDirectory() as folder:
        async with Simulator(LOOPBACK, log=log) as simulator:
            settings = Settings(
                media_listen=LOOPBACK,
                http_listen=LOOPBACK,
                data_dir=Path(folder),
                api_key="benchmark",
                telnyx_api_key="KEY",
                telnyx_public_key=(simulator.public_key,),
                telnyx_base_url=simulator.rest_url,
                sinks=(),
            )
            async with Gateway(settings, agent=Talker, log=log) as gateway:
                placed = []
                for _ in range(calls):
                    placed.append(
                        simulator.place_call(
                            from_="+15550100001",
                            to="+15550100002",
                            script=_script(interruptions),
                            webhook_url=f"{gateway.http_url}/webhooks/telnyx",
                        )
                    )
                    await asyncio.sleep(0.037)
                for call in placed:
                    await asyncio.wait_for(call.wait_finished(), 30 + 10 * interruptions)
    return [took for call in placed for took in silences(call, beginnings(call), lasting=0.5)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures; the exit code says whether every interruption was one."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_barge_in", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="one call, to see that it runs")
    smoke = parser.parse_args(arguments).smoke
    calls, interruptions = (1, 1) if smoke else (20, 8)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        took = runner.run(run(calls, interruptions))
    print(f"Python {platform.python_version()}, {platform.machine()}, {calls} calls at a time")
    if len(took) != calls * interruptions:
        print(f"{len(took)} interruptions were measured, want {calls * interruptions}")
        return 1
    p50, p95, worst = 1000 * np.percentile(took, [50, 95, 100])
    print(f"silent after: n {len(took)}, median {p50:.0f} ms, p95 {p95:.0f} ms, longest {worst:.0f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
