"""The converting process: takes a job as a line of JSON on standard input, and answers with one on standard output.

It gives way to everything else that runs on the machine, and ends when there is nobody to give it jobs.
"""

import os
import sys

import msgspec

from gateway.sinks.recorder.convert import Done, Job, convert


def main() -> None:
    """Do jobs until there are no more."""
    os.nice(10)
    os.umask(0o077)
    for line in sys.stdin.buffer:
        try:
            done = convert(msgspec.json.decode(line, type=Job))
        except Exception as error:  # noqa: BLE001 - a job that fails is told, and the next one comes
            done = Done(error=f"{type(error).__name__}: {error}")
        sys.stdout.buffer.write(msgspec.json.encode(done) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
