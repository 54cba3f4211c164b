"""What it costs to have a gateway's calls in two processes: CPU of a frame, all processes together.

    python -m benchmarks.bench_workers [--calls 200] [--rounds 5] [--seconds 4] [--transport websockets]

The gateway with one worker and with two, as it ships: recorder (both channels), level meter, echo agent. Both take
turns under the same load, all their processes on one core and the load on another, so that the figures differ by what
the processes cost and by nothing else; how much more they hold on cores of their own is not told here. A frame is one
message of 20 ms PCMU in and its echo out. A ratio is the median of the rounds' ratios, each of two neighbours.

A process that has fewer calls finds fewer frames each time it wakes up, so each costs more. How much of the ratio that
makes is told by a third measurement: one worker with as many calls as each of the two has. Against that one, a second
process should cost nothing.

A round in which the load itself was late is repeated, twice at most, as it would tell about the load.
"""

import argparse
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import NamedTuple

from benchmarks.bench_call import Server, gateway, put_load
from benchmarks.load import LoadReport, rss_kib

_LATE_LIMIT_MS = 3.0
_GOAL = 1.1


class Row(NamedTuple):
    """What is measured: so many workers with so many calls in all."""

    workers: int
    calls: int


def main(argv: Sequence[str] | None = None) -> int:
    """Run the rounds and print a table; exit code 1 where something was lost or the goal was missed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bench_workers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--calls", type=int, default=200, help="how many calls at once")
    parser.add_argument("--workers", type=int, default=2, help="beside one")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each round")
    parser.add_argument("--transport", choices=["websockets", "picows"], default="websockets")
    parser.add_argument("--smoke", action="store_true", help="one short round with a few calls; no goal")
    options = parser.parse_args(argv)
    settle = 2.0
    if options.smoke:
        options.calls, options.rounds, options.seconds, settle = 4, 1, 0.5, 0.1
    cores = sorted(os.sched_getaffinity(0))
    server_cores, load_cores = {cores[0]}, {cores[-1]}
    rows = [
        Row(1, options.calls),
        Row(options.workers, options.calls),
        Row(1, max(1, options.calls // options.workers)),
    ]
    rounds: dict[Row, list[LoadReport]] = {row: [] for row in rows}
    memory: dict[int, float] = {}

    def measure(server: Server, calls: int) -> LoadReport:
        for _ in range(3):
            report = put_load(server, calls=calls, settle=settle, seconds=options.seconds, cores=load_cores)
            if report.late_p99_ms <= _LATE_LIMIT_MS or options.smoke:
                break
        return report

    with ExitStack() as stack:
        servers = {
            workers: stack.enter_context(
                gateway(
                    server_cores,
                    GATEWAY_WORKERS=str(workers),
                    GATEWAY_SINKS="recorder,level",
                    GATEWAY_TRANSPORT=options.transport,
                )
            )
            for workers in (1, options.workers)
        }
        for workers, server in servers.items():
            memory[workers] = rss_kib(server.pid) / 1024
            if not options.smoke:
                put_load(server, calls=options.calls, settle=0.2, seconds=1.0, cores=load_cores)
        for number in range(options.rounds):
            for row in rows:
                print(f"round {number + 1}, {row}", end=" \r", file=sys.stderr, flush=True)
                rounds[row].append(measure(servers[row.workers], row.calls))
    return _tell(rounds, memory, options)


def _tell(rounds: dict[Row, list[LoadReport]], memory: dict[int, float], options: argparse.Namespace) -> int:
    print(
        f"{datetime.now(UTC).date()}, {platform.machine()}, {os.cpu_count()} cores, Python"
        f" {platform.python_version()}, {options.transport}; medians of {options.rounds} rounds of"
        f" {options.seconds:g} s"
    )
    print(
        f"{'workers':>7} {'calls':>5} {'CPU us/frame':>12} {'ratio':>6} {'as many each':>12} {'p50 ms':>7}"
        f" {'p99 ms':>7} {'lost':>5} {'MiB idle':>8} {'load late p99 ms':>17}"
    )
    cost = {row: [report.server_cpu / report.sent * 1e6 for report in reports] for row, reports in rounds.items()}
    one, _, few = cost.values()
    failed = False
    for row, reports in rounds.items():
        ratio, as_many_each = (
            statistics.median(mine / (base or 1) for mine, base in zip(cost[row], bases, strict=True))
            for bases in (one, few)
        )
        lost = sum(report.sent - report.received for report in reports)
        failed |= lost > 0 or (row.workers > 1 and ratio > _GOAL)
        print(
            f"{row.workers:>7} {row.calls:>5} {statistics.median(cost[row]):>12.1f} {ratio:>6.2f} {as_many_each:>12.2f}"
            f" {_median(reports, 'p50_ms'):>7.2f} {_median(reports, 'p99_ms'):>7.2f} {lost:>5}"
            f" {memory[row.workers]:>8.0f} {_median(reports, 'late_p99_ms'):>17.2f}"
        )
    return int(failed and not options.smoke)


def _median(reports: Sequence[LoadReport], name: str) -> float:
    return float(statistics.median(getattr(report, name) for report in reports))


if __name__ == "__main__":
    sys.exit(main())
