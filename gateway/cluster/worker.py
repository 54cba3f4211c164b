"""One worker: a whole gateway, in a process that its supervisor starts and ends.

    python -m gateway.cluster.worker DESCRIPTOR

The descriptor is its end of the pipe. SIGTERM drains this worker alone, and the supervisor starts another. Ctrl-C,
which reaches every process of a terminal, is for the supervisor.
"""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from multiprocessing.connection import Connection

from gateway.cluster.slot import WorkerSlot
from gateway.cluster.worker_protocol import Order, Ready, Refused, Setup
from gateway.errors import ConfigError
from gateway.gateway import Gateway

__all__ = ["work"]


def work(pipe: "Connection[Ready | Refused, Setup | Order]") -> None:
    """Be the worker that the pipe says, until it says otherwise."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    setup = pipe.recv()
    assert isinstance(setup, Setup)
    orphaned = False

    def heed(drain: asyncio.Event, end: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()

        def obey() -> None:
            nonlocal orphaned
            drain.set()
            try:
                if pipe.recv() == "end":
                    end.set()
            except (EOFError, OSError):  # the supervisor is gone
                orphaned = True
                loop.remove_reader(pipe.fileno())

        loop.add_signal_handler(signal.SIGTERM, drain.set)
        loop.add_reader(pipe.fileno(), obey)

    def ready(media_url: str, http_url: str) -> None:
        with suppress(OSError):  # `heed` has heard it as well
            pipe.send(Ready(media_url, http_url))

    try:
        Gateway(setup.settings, slot=setup.slot).run(heed=heed, on_ready=ready)
    except ConfigError as error:
        pipe.send(Refused(f"Settings are wrong:\n{error}"))
    except OSError as error:
        pipe.send(Refused(f"Cannot start: {error}"))
    if orphaned:
        _clear_up(setup.slot)


def _clear_up(slot: WorkerSlot) -> None:
    """Leave nothing in the folder of the sockets, and no folder if this is the last worker."""
    for path in (slot.http_path(slot.index), slot.media_path(slot.index)):
        path.unlink(missing_ok=True)
    with suppress(OSError):
        slot.folder.rmdir()


if __name__ == "__main__":
    os.set_inheritable(int(sys.argv[1]), False)  # noqa: FBT003 - it has no other way
    work(Connection(int(sys.argv[1])))
