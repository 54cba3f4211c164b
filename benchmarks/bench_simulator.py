"""How punctual the simulator is: N calls at once, sound both ways, on one core.

    python -m benchmarks.bench_simulator [--calls 200] [--seconds 20] [--smoke]

The simulator has a core of its own; the gateway with the echo agent answers from another one. Late is how long after
its deadline a frame was handed to its socket, codec, message and playout included: deadlines are absolute, so lateness
does not add up. CPU is the simulator's, as a share of its core. Exit code 1 where p99 reaches 5 ms, or not every call
ran to the end of the measurement.
"""

import argparse
import asyncio
import gc
import os
import platform
import sys
import time
from array import array
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import numpy as np
import structlog
import uvloop

from audio_codecs import Samples
from benchmarks.bench_call import gateway
from gateway.config import Address
from gateway.protocol.commands import StreamingStart
from gateway.simulator import SimulatedCall, Simulator
from gateway.simulator.stream_plan import plan_stream
from gateway.simulator.webhooks import Post, WebhookRequest

__all__ = ["main"]

_LIMIT_MS: Final = 5.0
_RAMP_SECONDS: Final = 0.01  # from one call to the next


class _Stopwatch:
    """Listens behind a call's stream: what it sees late, the stream has sent late."""

    def __init__(self) -> None:
        self.late = array("d")
        self.running = False

    def __call__(self, _: Samples, deadline: float) -> None:
        if self.running:
            self.late.append(time.monotonic() - deadline)


async def _no_webhooks(_: WebhookRequest) -> int:
    return 200


def _wrap(_: Post) -> Post:
    return _no_webhooks


async def _run(url: str, calls: int, settle: float, seconds: float) -> bool:
    stopwatch = _Stopwatch()
    log = structlog.wrap_logger(None, processors=[], wrapper_class=structlog.make_filtering_bound_logger("critical"))
    speech = np.random.default_rng(1).integers(-8000, 8000, 8000 * 60).astype(np.int16)
    simulator = Simulator(
        Address("127.0.0.1", 0), webhook_url="http://127.0.0.1/", wrap_post=_wrap, max_calls=calls, log=log
    )
    async with simulator:
        placed = [await _place(simulator, url, speech, stopwatch) for _ in range(calls)]
        gc.collect()
        gc.freeze()
        await asyncio.sleep(settle)
        cpu, began, echoed = time.process_time(), time.monotonic(), _echoed(placed)
        stopwatch.running = True
        await asyncio.sleep(seconds)
        stopwatch.running = False
        share = (time.process_time() - cpu) / (time.monotonic() - began)
        echoed = _echoed(placed) - echoed
        alive = sum(call.streaming is not None for call in placed)
    if alive < calls:
        print(placed[0].journal.describe()["errors"][:2], placed[0].leg.hangup_cause)
    late = 1000 * np.array(stopwatch.late)
    p50, p99 = np.percentile(late, [50, 99])
    frames = len(late)
    print(
        f"{calls:>5} {alive:>6} {frames:>8} {echoed:>8} {p50:>8.2f} {p99:>8.2f} {late.max():>8.2f} {100 * share:>6.0f}"
        f" {1e6 * share * seconds / max(1, frames):>9.1f}"
    )
    return bool(p99 < _LIMIT_MS) and alive == calls and frames > 0.98 * calls * seconds / 0.02


async def _place(simulator: Simulator, url: str, speech: Samples, stopwatch: _Stopwatch) -> SimulatedCall:
    call = simulator.place_call(from_="+15550100001", to="+15550100002", speech=speech, silence_after=None)
    await asyncio.sleep(_RAMP_SECONDS)
    call.answer()
    plan = plan_stream(StreamingStart(stream_url=url, stream_bidirectional_mode="rtp"))
    assert plan is not None
    await call.start_stream(plan).opened.wait()
    await asyncio.sleep(_RAMP_SECONDS)  # the stream listens first
    call.line.listen(stopwatch)
    return call


def _echoed(calls: Sequence[SimulatedCall]) -> int:
    return sum(call.journal.messages_received["media"] for call in calls)


def main(argv: Sequence[str] | None = None) -> int:
    """Run it once and print a line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_simulator", description=__doc__)
    parser.add_argument("--calls", type=int, default=200, help="how many calls at once")
    parser.add_argument("--seconds", type=float, default=20.0, help="of the measurement")
    parser.add_argument("--smoke", action="store_true", help="a few calls for a moment, to see that it runs")
    options = parser.parse_args(argv)
    settle = 2.0
    if options.smoke:
        options.calls, options.seconds, settle = 5, 0.5, 0.2
    before = os.sched_getaffinity(0)
    cores = sorted(before)
    print(
        f"{datetime.now(UTC):%Y-%m-%d} python {platform.python_version()}, {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} CPUs, load average {os.getloadavg()[0]:.1f} before"
    )
    print("calls  alive   frames   echoed   p50 ms   p99 ms   max ms  cpu %  us/frame")
    with gateway({cores[-1]}, GATEWAY_SINKS="") as server:
        os.sched_setaffinity(0, {cores[0]})
        try:
            good = uvloop.run(_run(server.url, options.calls, settle, options.seconds))
        finally:
            os.sched_setaffinity(0, before)
    return 0 if good or options.smoke else 1


if __name__ == "__main__":
    sys.exit(main())
