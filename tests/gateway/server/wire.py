"""The other end of a media socket, octet by octet: for what no WebSocket library would send."""

import asyncio
import socket
import struct
from collections.abc import Callable, Mapping
from typing import NamedTuple, Self

from gateway.config import Address

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
PATIENCE = 5.0  # seconds for what comes at once when all is well
_MASK = b"\x37\xfa\x21\x3d"
_UPGRADE = {
    "Host": "localhost",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, masked: bool = True, reserved: int = 0, mask: bytes = _MASK
) -> bytes:
    """One frame as a client sends it, RFC 6455 section 5.2; `reserved` are the three bits behind FIN."""
    size = len(payload)
    mask_bit = 0x80 if masked else 0
    head = bytes([(0x80 if fin else 0) | reserved << 4 | opcode])
    if size < 126:
        head += bytes([mask_bit | size])
    elif size < 65536:
        head += bytes([mask_bit | 126]) + struct.pack("!H", size)
    else:
        head += bytes([mask_bit | 127]) + struct.pack("!Q", size)
    if not masked:
        return head + payload
    return head + mask + bytes(octet ^ mask[place % 4] for place, octet in enumerate(payload))


def close_frame(code: int, reason: str = "") -> bytes:
    """A close frame as a client sends it."""
    return frame(CLOSE, struct.pack("!H", code) + reason.encode())


def upgrade(path: str = "/media", headers: Mapping[str, str | None] | None = None) -> bytes:
    """An upgrade request; a header that is None is left out."""
    lines = [f"GET {path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in (_UPGRADE | dict(headers or {})).items() if value is not None]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def until(true: Callable[[], object]) -> None:
    """Wait until something at the other end of a socket has made `true` so."""
    async with asyncio.timeout(PATIENCE):
        while not true():  # noqa: ASYNC110 - what happens there sets no event here
            await asyncio.sleep(0.002)


class Received(NamedTuple):
    """One frame from the server."""

    opcode: int
    payload: bytes


class RawClient:
    """A TCP connection to the media port; an async context manager that closes it.

    Args:
        address: Of the port.
        receive_buffer: Octets that the system may keep for us; small, so that the server soon feels we do not read.
    """

    def __init__(self, address: Address, *, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        self.socket.setblocking(False)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._address = address
        self._octets = b""

    async def __aenter__(self) -> Self:
        await asyncio.get_running_loop().sock_connect(self.socket, tuple(self._address))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.socket.close()

    async def send(self, octets: bytes) -> None:
        """Send octets, all in one segment if they are few."""
        async with asyncio.timeout(PATIENCE):
            await asyncio.get_running_loop().sock_sendall(self.socket, octets)

    async def upgrade(self, path: str = "/media", headers: Mapping[str, str | None] | None = None) -> int:
        """Ask for the upgrade; return the status of the answer."""
        await self.send(upgrade(path, headers))
        return int((await self.answer()).split()[1])

    async def answer(self) -> str:
        """Read the head of an HTTP answer."""
        while b"\r\n\r\n" not in self._octets:
            await self._more()
        head, _, self._octets = self._octets.partition(b"\r\n\r\n")
        return head.decode()

    async def frame(self) -> Received:
        """Read the next frame."""
        first, size = await self._take(2)
        if size == 126:
            (size,) = struct.unpack("!H", await self._take(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self._take(8))
        assert size < 1 << 30, "a server's frames are not masked"
        assert first & 0xF0 == 0x80, "the server sends whole messages and sets no reserved bit"
        return Received(first & 0x0F, await self._take(size))

    async def closed_with(self) -> tuple[int, str]:
        """Read the close frame that must come next: its code and reason."""
        received = await self.frame()
        assert received.opcode == CLOSE, received
        return struct.unpack("!H", received.payload[:2])[0], received.payload[2:].decode()

    async def rest(self) -> bytes:
        """Read to the end of what the server sends; a reset connection is an end as well."""
        try:
            while True:
                await self._more()
        except (EOFError, ConnectionResetError):
            return self._octets

    def half_close(self) -> None:
        """Send nothing more."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Drop the connection without a word of farewell."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    async def _take(self, size: int) -> bytes:
        while len(self._octets) < size:
            await self._more()
        taken, self._octets = self._octets[:size], self._octets[size:]
        return taken

    async def _more(self) -> None:
        async with asyncio.timeout(PATIENCE):
            octets = await asyncio.get_running_loop().sock_recv(self.socket, 65536)
        if not octets:
            raise EOFError
        self._octets += octets
