"""One program for each question: `python -m benchmarks.bench_call --help`; `python -m benchmarks` lists them."""
