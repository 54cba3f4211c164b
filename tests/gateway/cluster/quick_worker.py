"""A worker that is no gateway, so that it starts at once: it does what a test wants, and notes what it is told.

    quick_worker.py FOLDER DESCRIPTOR

FOLDER/ready holds what it says when it is ready, FOLDER/refused when it is not; both as they go over the pipe. What it
does is in FOLDER/does: `refuse`, `die` before it is ready, `hang`, `stay` until it is told to end; or what it should.
In FOLDER/PID is what it heard: the first as it came, then the orders.
"""

import os
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path


def main(folder: Path, pipe: "Connection[object, object]") -> None:
    """Be a worker."""
    setup = pipe.recv_bytes()
    does = (folder / "does").read_text()
    if does == "die":
        sys.exit(7)
    if does == "hang":
        time.sleep(60)
    with (folder / f"{os.getpid()}.part").open("wb", buffering=0) as notes:
        notes.write(setup)
        (folder / f"{os.getpid()}.part").rename(folder / f"{os.getpid()}")
        pipe.send_bytes((folder / ("refused" if does == "refuse" else "ready")).read_bytes())
        while does != "refuse":
            try:
                order = str(pipe.recv())
            except EOFError:
                order = "alone"
            notes.write(f"\n{order}".encode())
            if order != "drain" or not does:
                return


if __name__ == "__main__":
    main(Path(sys.argv[1]), Connection(int(sys.argv[2])))
