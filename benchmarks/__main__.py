"""Runs every benchmark, one after the other: `python -m benchmarks --smoke` takes a moment for each."""

import argparse
import importlib
import pkgutil
import sys

import benchmarks


def main() -> int:
    """Run them all; the exit code is that of the first one that failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a moment each, to see that they run")
    smoke = ["--smoke"] if parser.parse_args().smoke else []
    names = sorted(module.name for module in pkgutil.iter_modules(benchmarks.__path__))
    for name in (name for name in names if name.startswith("bench_")):
        print(f"== {name}", flush=True)
        code: int = importlib.import_module(f"benchmarks.{name}").main(smoke)
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
