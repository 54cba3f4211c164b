"""How many calls a core holds, what each costs, and what that is against bare servers and a peer: one table.

    python -m benchmarks.bench_capacity [--quick] [--only ROW ...] [--rounds 5] [--no-peer] [--write-docs]

The gateway on either transport, with recorder (both channels), level meter and echo agent, and everything else as it
ships; a bare echo on `picows` and on `websockets.asyncio.server`; Pipecat's echo pipeline in an environment of its own,
which is set up once. Servers on one core, the load on another, uvloop for all; a frame is one message of 20 ms PCMU in
and its echo out; CPU is that of the whole server process. Servers take turns in each round; a ratio is the median of
the rounds' ratios. A round in which the load itself was more than 3 ms late is repeated, twice at most.

About half an hour; `--quick` takes six and is for looking. The results go to
`benchmarks/results/DATE-capacity.json` and `.md`; `--write-docs` measures nothing and puts the newest results into
docs/performance.md.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.capacity_report import markdown
from benchmarks.capacity_rows import QUICK, ROWS, SMOKE, SMOKE_ROWS, Bench, Plan
from gateway.process import allow_many_files

_ROOT = Path(__file__).parent.parent
_RESULTS = Path(__file__).parent / "results"
_DOCS = _ROOT / "docs" / "performance.md"
_BEGIN, _END = "<!-- capacity: begin -->\n", "<!-- capacity: end -->\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and keep; exit code 1 where something was lost at the loads that the goals name."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bench_capacity",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="measured in each round")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds; nothing is kept")
    parser.add_argument("--smoke", action="store_true", help="a moment, to see that it runs; nothing is kept")
    parser.add_argument("--no-peer", action="store_true", help="without Pipecat, which wants half a gigabyte")
    parser.add_argument("--write-docs", action="store_true", help="put the newest results into docs/performance.md")
    options = parser.parse_args(argv)
    if options.write_docs:
        return _write_docs()
    allow_many_files()
    plan = SMOKE if options.smoke else QUICK if options.quick else Plan()
    plan = replace(
        plan,
        rounds=options.rounds or plan.rounds,
        seconds=options.seconds or plan.seconds,
        with_peer=plan.with_peer and not options.no_peer,
    )
    bench = Bench(plan, lambda line: print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True))
    results: dict[str, Any] = {"conditions": _conditions(plan)}
    for row in [row for row in options.only if not options.smoke or row in SMOKE_ROWS]:
        results[row] = ROWS[row](bench)
    print("\r\033[K", end="", file=sys.stderr, flush=True)
    text = markdown(results)
    print(text)
    if not options.smoke and not options.quick:
        _keep(results, text)
    cost = [server for row in results.get("cost", {}).values() for server in row.values()]
    lost = any(probe["lost"] for server in cost for probe in server["rounds"])
    return int(lost and not options.smoke)


def _conditions(plan: Plan) -> str:
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=_ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    return (
        f"{datetime.now(UTC).date()}, {platform.machine()}, {_processor()}, {os.cpu_count()} cores, Python"
        f" {platform.python_version()}, commit {commit or 'unknown'}; medians of {plan.rounds} rounds of"
        f" {plan.seconds:g} s."
    )


def _processor() -> str:
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return names[0].partition(":")[2].strip() if names else "unknown processor"


def _keep(results: dict[str, Any], text: str) -> None:
    """Write the results, into those of the same day where only some rows were measured."""
    path = _RESULTS / f"{datetime.now(UTC).date()}-capacity.json"
    if path.exists():
        results = json.loads(path.read_text()) | results
        text = markdown(results)
    path.write_text(json.dumps(results, indent=1) + "\n")
    path.with_suffix(".md").write_text(f"# Capacity\n\n`python -m benchmarks.bench_capacity`: {text}")
    print(f"kept in {path.relative_to(_ROOT)} and .md")


def _write_docs() -> int:
    newest = max(_RESULTS.glob("*-capacity.json"), default=None)
    if newest is None:
        print("there are no results yet")
        return 1
    page = _DOCS.read_text("utf-8")
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    _DOCS.write_text(before + _BEGIN + markdown(json.loads(newest.read_text())) + _END + after, "utf-8")
    print(f"{newest.name} written into {_DOCS.relative_to(_ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
