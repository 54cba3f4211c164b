"""Media sockets from worker to worker: an open descriptor, and what was read from it, over a Unix socket.

Each handover is a connection of its own and one message, so the receiver's queue of connections is the only queue
there is, and neither side ever waits: a socket that cannot be handed over at once is refused by the worker that has it.
A descriptor on its way belongs to the message; if the receiver dies before it reads it, the system closes it.
"""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from structlog.typing import FilteringBoundLogger

from gateway.cluster.slot import WorkerSlot

__all__ = ["Handover"]

_MAX_OCTETS: Final = 65_536
_BACKLOG: Final = 1024


class Handover:
    """One worker's end of it, giving and taking.

    Args:
        slot: Whose end.
        log: Where failures are told.

    Attributes:
        given: How many sockets were handed to other workers.
        taken: How many came from them.
    """

    def __init__(self, slot: WorkerSlot, *, log: FilteringBoundLogger) -> None:
        self.given = 0
        self.taken = 0
        self._slot = slot
        self._log = log
        self._senders: set[socket.socket] = set()
        self._take: Callable[[socket.socket, bytes], None]
        self._listener: socket.socket
        self._loop: asyncio.AbstractEventLoop

    @contextmanager
    def taking(self, take: Callable[[socket.socket, bytes], None]) -> Iterator[None]:
        """Take what comes from other workers while the context lasts.

        Args:
            take: Given a TCP connection and the octets that were read from it; owns it from then on.
        """
        self._take = take
        path = self._slot.media_path(self._slot.index)
        path.unlink(missing_ok=True)  # of a worker before this one
        with _unix_socket() as self._listener:
            self._listener.bind(str(path))
            self._listener.listen(_BACKLOG)
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._listener, self._accept)
            try:
                yield
            finally:
                for listening in (self._listener, *self._senders):
                    self._loop.remove_reader(listening)
                    listening.close()

    def give(self, worker: int, descriptor: int, octets: bytes) -> bool:
        """Hand a TCP connection to a worker: a `PassOn`. The caller closes its own descriptor."""
        if not 0 <= worker < self._slot.count or len(octets) > _MAX_OCTETS:
            return False
        try:
            with _unix_socket() as sender:
                sender.connect(str(self._slot.media_path(worker)))
                socket.send_fds(sender, [octets], [descriptor])
        except OSError as error:
            self._log.warning("media socket not handed over", to=worker, error=str(error))
            return False
        self.given += 1
        return True

    def describe(self) -> dict[str, int]:
        """Counters as JSON-ready values."""
        return {"sockets_handed_over": self.given, "sockets_taken_over": self.taken}

    def _accept(self) -> None:
        with suppress(BlockingIOError):
            sender, _ = self._listener.accept()
            sender.settimeout(0)
            self._senders.add(sender)
            self._loop.add_reader(sender, self._receive, sender)  # its message is there, or will be in a moment

    def _receive(self, sender: socket.socket) -> None:
        self._loop.remove_reader(sender)
        self._senders.remove(sender)
        try:
            with sender:
                octets, descriptors, _, _ = socket.recv_fds(sender, _MAX_OCTETS, 1)
        except OSError as error:
            self._log.warning("media socket not taken over", error=str(error))
            return
        for descriptor in descriptors:  # none where the sender died first
            connection = socket.socket(fileno=descriptor)
            connection.settimeout(0)
            connection.set_inheritable(False)
            self.taken += 1
            self._take(connection, octets)


def _unix_socket() -> socket.socket:
    """Connected, and yet with messages that stay whole."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    made.settimeout(0)
    return made
