"""How much later do frames come back when every call is recorded?

    python -m benchmarks.bench_recorder_latency [--smoke] [--calls 600]

The gateway with the echo agent, once without a sink and once with the recorder, under the same load in turn, each
pinned to one core, the load on another. What is compared are the medians of the rounds: round trips, and the CPU of a
frame, all threads. A round in which the load itself was late is repeated, twice at most.
"""

import argparse
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from benchmarks.bench_call import gateway, put_load
from benchmarks.load import LoadReport

_LATE_LIMIT_MS = 3.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the rounds and print a table; 1 if anything was lost."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_recorder_latency", description=__doc__)
    parser.add_argument("--calls", type=int, default=600, help="how many calls at once")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each round")
    parser.add_argument("--smoke", action="store_true", help="one short round with a few calls")
    options = parser.parse_args(argv)
    settle = 2.0
    if options.smoke:
        options.calls, options.rounds, options.seconds, settle = 5, 1, 0.5, 0.2
    cores = sorted(os.sched_getaffinity(0))
    server_cores, load_cores = {cores[0]}, {cores[-1]}
    rounds: dict[str, list[LoadReport]] = {"": [], "recorder": []}
    with gateway(server_cores, GATEWAY_SINKS="") as without, gateway(server_cores, GATEWAY_SINKS="recorder") as with_it:
        servers = dict(zip(rounds, (without, with_it), strict=True))
        for number in range(options.rounds):
            for sinks, server in servers.items():
                print(f"round {number + 1}, {sinks or 'no sink'}", end=" \r", file=sys.stderr, flush=True)
                for _ in range(3):
                    report = put_load(
                        server, calls=options.calls, settle=settle, seconds=options.seconds, cores=load_cores
                    )
                    if report.late_p99_ms <= _LATE_LIMIT_MS or options.smoke:
                        break
                rounds[sinks].append(report)
    print(
        f"{datetime.now(UTC).date()}, {platform.machine()}, {len(cores)} cores, Python {platform.python_version()};"
        f" {options.calls} calls, medians of {options.rounds} rounds"
    )
    print(f"{'sinks':>9} {'CPU us/frame':>13} {'p50 ms':>7} {'p99 ms':>7} {'max ms':>7} {'lost':>5}")
    lost = 0
    for sinks, reports in rounds.items():
        lost += (missing := sum(report.sent - report.received for report in reports))
        cpu = statistics.median(report.server_cpu / report.sent * 1e6 for report in reports)
        p50, p99, longest = (
            statistics.median(getattr(report, name) for report in reports) for name in ("p50_ms", "p99_ms", "max_ms")
        )
        print(f"{sinks or 'none':>9} {cpu:>13.1f} {p50:>7.2f} {p99:>7.2f} {longest:>7.2f} {missing:>5}", flush=True)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
