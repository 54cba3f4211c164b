"""What it costs to receive webhooks: verified, kept, answered, handled; beside a handler that only verifies.

The gateway (without a key for Telnyx's API, so that no command follows from a webhook) and a bare aiohttp handler, both
on uvloop, take turns under the same load, each pinned to one core, the load on another. CPU is the whole server
process, all threads, until half a second after the last answer: committing to the database and handling are in it. The
ratio is the median of the rounds' ratios, each of two neighbours in time; the microseconds are this machine's.

`flat out`: each connection sends its next webhook when its last was answered, so the answer times are those of a queue.
`paced`: webhooks come at a rate, and the answer times are those that Telnyx would see.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.webhook_load import PUBLIC_KEY, Report

_ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Server:
    """A server process under test."""

    name: str
    port: int
    pid: int


@contextmanager
def running(name: str, command: Sequence[str], cores: set[int], **environment: str) -> Iterator[Server]:
    """Start a server that prints `ready media=... http=URL`, pinned to `cores`; stop it at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=_ROOT,
        env={**os.environ, "TELNYX_PUBLIC_KEY": PUBLIC_KEY, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        os.sched_setaffinity(process.pid, cores)
        assert process.stdout is not None
        ready = process.stdout.readline()
        if not ready.startswith("ready "):
            raise RuntimeError(f"{name} did not start: {ready!r}")
        yield Server(name, int(ready.rpartition(":")[2]), process.pid)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


@contextmanager
def both(cores: set[int]) -> Iterator[list[Server]]:
    """The bare handler and the gateway."""
    with ExitStack() as stack:
        data = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
        settings = {
            "GATEWAY_MEDIA_LISTEN": "127.0.0.1:0",
            "GATEWAY_HTTP_LISTEN": "127.0.0.1:0",
            "GATEWAY_DATA_DIR": data,
            "GATEWAY_API_KEY": "a key that nobody needs",
            "GATEWAY_LOG_LEVEL": "error",
        }
        bare = stack.enter_context(running("bare", ["benchmarks.bare_webhooks"], cores))
        gateway = stack.enter_context(running("gateway", ["gateway", "serve"], cores, **settings))
        yield [bare, gateway]


def put_load(server: Server, *, webhooks: int, connections: int, rate: float, cores: set[int]) -> Report:
    """One round of load from a process of its own, on its own core."""
    command = [sys.executable, "-m", "benchmarks.webhook_load", str(server.port), "--pid", str(server.pid)]
    amount = ["--webhooks", str(webhooks), "--connections", str(connections), "--rate", str(rate)]
    output = subprocess.run(
        [*command, *amount],
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=120,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    ).stdout
    return Report(**json.loads(output))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the rounds and print a table; 1 if a webhook was not answered with 200."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_webhooks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--webhooks", type=int, default=10_000, help="in each round")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rate", type=float, default=500.0, help="of the paced rounds, webhooks per second")
    parser.add_argument("--smoke", action="store_true", help="one short round each")
    options = parser.parse_args(argv)
    if options.smoke:
        options.rounds, options.webhooks = 1, 200
    cores = sorted(os.sched_getaffinity(0))
    server_cores, load_cores = {cores[0]}, {cores[-1]}
    print(
        f"{datetime.now(UTC).date()}, {platform.machine()}, {len(cores)} cores, Python {platform.python_version()};"
        f" {options.connections} connections; medians of {options.rounds} rounds of {options.webhooks} webhooks"
    )
    print(
        f"{'load':>12} {'server':>8} {'per s':>7} {'CPU us each':>11} {'ratio':>6} {'p50 ms':>7} {'p99 ms':>7}"
        f" {'max ms':>7} {'refused':>7}"
    )
    refused = 0
    with both(server_cores) as servers:
        for name, rate in (("flat out", 0.0), (f"paced {options.rate:g}/s", options.rate)):
            webhooks = options.webhooks if not rate else min(options.webhooks, round(rate * 6))
            rounds: dict[str, list[Report]] = {"bare": [], "gateway": []}
            for number in range(0 if options.smoke else -1, options.rounds):  # the first is for warming up
                for server in servers:
                    print(f"{name}, round {number + 1}, {server.name}", end=" \r", file=sys.stderr, flush=True)
                    report = put_load(
                        server, webhooks=webhooks, connections=options.connections, rate=rate, cores=load_cores
                    )
                    refused += report.refused
                    if number >= 0:
                        rounds[server.name].append(report)
            cost = {key: [one.server_cpu / one.answered * 1e6 for one in reports] for key, reports in rounds.items()}
            for server_name, reports in rounds.items():
                ratio = statistics.median(
                    mine / (base or 1) for mine, base in zip(cost[server_name], cost["bare"], strict=True)
                )
                print(
                    f"{name:>12} {server_name:>8} {_median(reports, 'answered') / _median(reports, 'seconds'):>7.0f}"
                    f" {statistics.median(cost[server_name]):>11.1f} {ratio:>6.2f} {_median(reports, 'p50_ms'):>7.2f}"
                    f" {_median(reports, 'p99_ms'):>7.2f} {_median(reports, 'max_ms'):>7.2f}"
                    f" {sum(report.refused for report in reports):>7}",
                    flush=True,
                )
    return 1 if refused else 0


def _median(reports: Sequence[Report], name: str) -> float:
    return float(statistics.median(getattr(report, name) for report in reports))


if __name__ == "__main__":
    sys.exit(main())
