"""A TCP connection without a network: two asyncio transports, each handing what is written to the other's protocol.

What is written is received in the next turn of the loop, in order and whole. A reader that pauses lets what is written
for it wait at the writer, which is paused above a limit, as a socket's is; the system's own buffers have no counterpart
here. `abort` is a reset: what waits is lost, and both ends are told.
"""

import asyncio
from collections import deque
from collections.abc import Iterable

__all__ = ["MemoryTransport", "connect_in_memory"]

_HIGH_WATER = 65_536
_SEGMENT = 65_536  # octets that are handed over at once


class MemoryTransport(asyncio.Transport):
    """One end. Make both with `connect_in_memory`.

    Args:
        loop: Runs both ends.
        protocol: Of this end.
        address: Of this end, and of the other one.
        peer_address: See `address`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        protocol: asyncio.Protocol,
        address: tuple[str, int],
        peer_address: tuple[str, int],
    ) -> None:
        super().__init__({"sockname": address, "peername": peer_address, "socket": None})
        self.peer: MemoryTransport
        self._loop = loop
        self._protocol = protocol
        self._waiting: deque[bytes] = deque()  # written here, not received there
        self._waiting_octets = 0
        self._high, self._low = _HIGH_WATER, _HIGH_WATER // 4
        self._eof_written = False
        self._closing = False
        self._aborted = False
        self._lost = False
        self._reading = True
        self._writing_paused = False
        self._delivering = False

    # --- for the protocol of this end -----------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send octets."""
        if self._closing or self._eof_written or not data:
            return
        self._waiting.append(bytes(data))
        self._waiting_octets += len(data)
        self._deliver_soon()
        if self._waiting_octets > self._high and not self._writing_paused:
            self._writing_paused = True
            self._protocol.pause_writing()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Send octets."""
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        """One end may be silent while the other speaks on."""
        return True

    def write_eof(self) -> None:
        """Send no more."""
        self._eof_written = True
        self._deliver_soon()

    def close(self) -> None:
        """Send what waits, then end the connection."""
        if not self._closing:
            self._closing = True
            self._deliver_soon()

    def abort(self) -> None:
        """End the connection at once."""
        self._aborted = self._closing = True
        self._loop.call_soon(self._lose, None)
        self._loop.call_soon(self.peer._lose, ConnectionResetError("the other end has reset the connection"))  # noqa: SLF001

    def is_closing(self) -> bool:
        """Whether it ends, or has ended."""
        return self._closing

    def is_reading(self) -> bool:
        """Whether what the other end sends is received."""
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        """Receive nothing for now."""
        self._reading = False

    def resume_reading(self) -> None:
        """Receive again."""
        self._reading = True
        self.peer._deliver_soon()  # noqa: SLF001

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set above how many octets the protocol is asked to pause, and below how many to go on."""
        self._high = (_HIGH_WATER if low is None else 4 * low) if high is None else high
        self._low = self._high // 4 if low is None else low

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """The same: low, high."""
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        """How many octets wait."""
        return self._waiting_octets

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand what comes to another protocol from now on."""
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol

    def get_protocol(self) -> asyncio.Protocol:
        """Who gets what comes."""
        return self._protocol

    # --- inside ---------------------------------------------------------------------------------------------------

    def _deliver_soon(self) -> None:
        if not self._delivering:
            self._delivering = True
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        """Hand what was written to the other end, while it reads."""
        self._delivering = False
        if self._aborted:
            return
        peer = self.peer
        while self._waiting and peer._reading and not peer._lost:  # noqa: SLF001
            data = self._waiting.popleft()
            if len(data) > _SEGMENT:
                self._waiting.appendleft(data[_SEGMENT:])
                data = data[:_SEGMENT]
            self._waiting_octets -= len(data)
            peer._protocol.data_received(data)  # noqa: SLF001
        if self._writing_paused and self._waiting_octets <= self._low:
            self._writing_paused = False
            self._protocol.resume_writing()
        if self._waiting and not peer._lost:  # noqa: SLF001
            return
        if self._closing:
            self._lose(None)
            peer._peer_gone()  # noqa: SLF001
        elif self._eof_written:
            peer._peer_gone()  # noqa: SLF001

    def _peer_gone(self) -> None:
        """The other end sends nothing more."""
        if not self._lost and not self._protocol.eof_received():
            self.close()

    def _lose(self, error: Exception | None) -> None:
        if not self._lost:
            self._lost = self._closing = True
            self._waiting.clear()
            self._waiting_octets = 0
            self._protocol.connection_lost(error)


def connect_in_memory(
    loop: asyncio.AbstractEventLoop,
    client: asyncio.Protocol,
    server: asyncio.Protocol,
    *,
    client_address: tuple[str, int],
    server_address: tuple[str, int],
) -> MemoryTransport:
    """Connect two protocols, which are told in the next turn of the loop.

    Returns:
        The client's end.
    """
    near = MemoryTransport(loop, client, client_address, server_address)
    far = MemoryTransport(loop, server, server_address, client_address)
    near.peer, far.peer = far, near
    server.connection_made(far)
    client.connection_made(near)
    return near
