"""What a call costs: N echo calls through the whole gateway, recorder on, beside a bare echo server.

The gateway and a bare `websockets.asyncio` echo server, both on uvloop, take turns under the same load, each pinned
to one core, the load on another. A frame is one 20 ms message in and its echo out. CPU is the whole server process,
all threads, while the load is measured. The ratio is the median of the rounds' ratios, each of two neighbours in time;
the microseconds are this machine's.

A round in which the load itself was late is repeated, twice at most, as it would tell about the load.
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
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.load import LoadReport, rss_kib

_ROOT = Path(__file__).parent.parent
_LATE_LIMIT_MS = 3.0


@dataclass(frozen=True, slots=True)
class Server:
    """A server process under test.

    Attributes:
        name: What it is called in the tables.
        url: Its media URL.
        pid: Its process.
        data: Its data folder, where it has one.
    """

    name: str
    url: str
    pid: int
    data: Path | None = None


@contextmanager
def running(name: str, command: Sequence[str], environment: dict[str, str], cores: set[int]) -> Iterator[Server]:
    """Start a server that prints `ready media=URL ...`, pinned to `cores`; stop it at the end."""
    process = subprocess.Popen(
        command,
        cwd=_ROOT,
        env={**os.environ, **environment},
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
        yield Server(name, ready.split("media=")[1].split()[0], process.pid)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


@contextmanager
def gateway(cores: set[int], **settings: str) -> Iterator[Server]:
    """The gateway as it ships: token check off, as there is no REST side in this load; everything else on."""
    with tempfile.TemporaryDirectory(prefix="bench-") as data:
        environment = {
            "GATEWAY_MEDIA_LISTEN": "127.0.0.1:0",
            "GATEWAY_HTTP_LISTEN": "127.0.0.1:0",
            "GATEWAY_MEDIA_AUTH": "none",
            "GATEWAY_AGENT": "echo",
            "GATEWAY_MAX_CALLS": "5000",
            "GATEWAY_MAX_LOOP_LAG_MS": "0",  # what happens past the knee is measured as well
            "GATEWAY_DATA_DIR": data,
            "GATEWAY_DRAIN_TIMEOUT": "1",
            "GATEWAY_LOG_LEVEL": "error",
            **settings,
        }
        with running("gateway", [sys.executable, "-m", "gateway", "serve"], environment, cores) as server:
            yield replace(server, data=Path(data))


@contextmanager
def bare(cores: set[int]) -> Iterator[Server]:
    """The bare echo server."""
    with running("bare", [sys.executable, "-m", "benchmarks.bare_server"], {}, cores) as server:
        yield server


def put_load(
    server: Server, *, calls: int, settle: float, seconds: float, cores: set[int], more: Sequence[str] = ()
) -> LoadReport:
    """One round of load from a process of its own, on its own core."""
    command = [sys.executable, "-m", "benchmarks.load", server.url, "--calls", str(calls), "--pid", str(server.pid)]
    output = subprocess.run(
        [*command, "--settle", str(settle), "--seconds", str(seconds), *more],
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=settle + seconds + 180,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    ).stdout
    return LoadReport(**json.loads(output))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the rounds and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_call", description=__doc__)
    parser.add_argument("--calls", type=int, nargs="+", default=[100, 300, 500], help="how many calls at once")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each round")
    parser.add_argument("--smoke", action="store_true", help="one short round with a few calls")
    options = parser.parse_args(argv)
    settle = 2.0
    if options.smoke:
        options.calls, options.rounds, options.seconds, settle = [5], 1, 0.5, 0.2
    cores = sorted(os.sched_getaffinity(0))
    server_cores, load_cores = {cores[0]}, {cores[-1]}
    print(
        f"{datetime.now(UTC).date()}, {platform.machine()}, {len(cores)} cores, Python {platform.python_version()};"
        f" medians of {options.rounds} rounds"
    )
    print(
        f"{'calls':>5} {'server':>8} {'CPU us/frame':>12} {'ratio':>6} {'p50 ms':>7} {'p99 ms':>7} {'max ms':>7}"
        f" {'lost':>5} {'kB/call':>8} {'load late p99 ms':>17}"
    )
    failed = False
    for calls in options.calls:
        rounds: dict[str, list[LoadReport]] = {"bare": [], "gateway": []}
        memory: dict[str, float] = {}
        with bare(server_cores) as first, gateway(server_cores) as second:
            for server in (first, second):
                idle = rss_kib(server.pid)
                warm = put_load(server, calls=calls, settle=0.2, seconds=settle / 2, cores=load_cores)
                memory[server.name] = (warm.server_rss_kib - idle) / calls
            for number in range(options.rounds):
                for server in (first, second):
                    print(f"{calls} calls, round {number + 1}, {server.name}", end=" \r", file=sys.stderr, flush=True)
                    for _ in range(3):
                        report = put_load(server, calls=calls, settle=settle, seconds=options.seconds, cores=load_cores)
                        if report.late_p99_ms <= _LATE_LIMIT_MS or options.smoke:
                            break
                    rounds[server.name].append(report)
        cost = {name: [report.server_cpu / report.sent * 1e6 for report in reports] for name, reports in rounds.items()}
        for name, reports in rounds.items():
            ratio = statistics.median(mine / (base or 1) for mine, base in zip(cost[name], cost["bare"], strict=True))
            lost = sum(report.sent - report.received for report in reports)
            failed |= lost > 0
            print(
                f"{calls:>5} {name:>8} {statistics.median(cost[name]):>12.1f} {ratio:>6.2f}"
                f" {_median(reports, 'p50_ms'):>7.2f} {_median(reports, 'p99_ms'):>7.2f}"
                f" {_median(reports, 'max_ms'):>7.2f} {lost:>5} {memory[name]:>8.0f}"
                f" {_median(reports, 'late_p99_ms'):>17.2f}",
                flush=True,
            )
    return 1 if failed else 0


def _median(reports: Sequence[LoadReport], name: str) -> float:
    return float(statistics.median(getattr(report, name) for report in reports))


if __name__ == "__main__":
    sys.exit(main())
