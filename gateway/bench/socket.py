"""A client's end of one WebSocket, by hand: it must cost less than any server that it is to load.

Texts go out by plain calls. The mask is zero, which every server unmasks as it does any other; RFC 6455 wants it random
for the sake of proxies that would take a text for a request, and base64 holds none. What comes in is looked at in the
buffer that it came in: texts are not copied before somebody wants one.
"""

import asyncio
import base64
import hashlib
import secrets
from collections.abc import Callable, Sequence
from typing import Final, cast

from gateway.bench.plan import Target

__all__ = ["MAX_BACKLOG", "LoadSocket", "text_frame"]

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_MAX_HEAD: Final = 16 * 1024
_MAX_MESSAGE: Final = 8 * 1024 * 1024
MAX_BACKLOG: Final = 1024 * 1024
"""Octets that may wait for the far side to read them: some 80 s of PCMU."""

_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10


def text_frame(text: bytes) -> bytes:
    """A client's whole text."""
    return _frame(0x80 | _TEXT, text)


class LoadSocket(asyncio.Protocol):
    """One socket; its owner overrides what is called when something comes.

    Args:
        target: Where it goes.
        headers: More of the upgrade request.
        clock: Monotonic seconds.

    Attributes:
        opened: Done when the upgrade is; its exception says why there is none.
        upgraded: Whether it has come to that.
        reason: Why the socket is closed; None while it is open.
    """

    def __init__(self, target: Target, headers: Sequence[tuple[str, str]], clock: Callable[[], float]) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.reason: str | None = None
        self.upgraded = False
        self.transport: asyncio.Transport
        self._connected = False
        self._clock = clock
        key = base64.b64encode(secrets.token_bytes(16))
        self._accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
        lines = [
            f"GET {target.path} HTTP/1.1",
            f"Host: {target.netloc}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key.decode()}",
            *(f"{name}: {value}" for name, value in headers),
        ]
        self._request = ("\r\n".join(lines) + "\r\n\r\n").encode()
        self._rest = b""
        self._fragments: bytearray | None = None  # of a text that came in pieces so far

    def text_came(self, data: bytes, begin: int, end: int, now: float) -> None:
        """A text stands in `data`, from `begin` to `end`."""

    def pong_came(self, payload: bytes, now: float) -> None:
        """The answer to a ping."""

    def socket_closed(self, reason: str) -> None:
        """The socket is closed; called once."""

    def ping(self, payload: bytes) -> None:
        """Send a ping, with up to 125 octets."""
        self.transport.write(_frame(0x80 | _PING, payload))

    def close(self, reason: str) -> None:
        """Say good-bye and close; `reason` is ours."""
        if self.reason is None:
            self.reason = reason
            self.transport.write(_frame(0x80 | _CLOSE, (1000).to_bytes(2, "big")))
            self.transport.close()

    def fail(self, reason: str) -> None:
        """Drop the socket without a word."""
        if self.reason is None:
            self.reason = reason
            if self._connected:
                self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self.transport = cast("asyncio.Transport", transport)
        if self.reason is not None:
            self.transport.abort()  # given up before it came about
            return
        self._connected = True
        self.transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the owner why."""
        self.reason = self.reason or f"the connection was lost{f': {exc}' if exc else ''}"
        if not self.opened.done():
            self.opened.set_exception(ConnectionError(self.reason))
        self.socket_closed(self.reason)

    def data_received(self, data: bytes) -> None:
        """Take each frame that is whole; keep the rest."""
        now = self._clock()
        if self._rest:
            data = self._rest + data
        if not self.upgraded:
            rest = self._read_upgrade(data)
            if rest is None:
                return
            data = rest
        at, end = 0, len(data)
        while end - at >= 2 and self.reason is None:
            length, head = data[at + 1], 2
            if length >= 126:
                if length > 127:
                    self.fail("a frame was masked")
                    return
                head = 4 if length == 126 else 10
                if end - at < head:
                    break
                length = int.from_bytes(data[at + 2 : at + head], "big")
                if length > _MAX_MESSAGE:
                    self.fail(f"a message of {length} octets")
                    return
            stop = at + head + length
            if stop > end:
                break
            if data[at] == 0x80 | _TEXT and self._fragments is None:
                self.text_came(data, at + head, stop, now)
            else:
                self._other(data[at], data[at + head : stop], now)
            at = stop
        self._rest = data[at:]

    def _read_upgrade(self, data: bytes) -> bytes | None:
        """Read the answer to the upgrade: what follows it, or None where it is not whole or not good."""
        head, blank, rest = data.partition(b"\r\n\r\n")
        if not blank:
            self._rest = data
            if len(data) > _MAX_HEAD:
                self.fail("the answer to the upgrade does not end")
            return None
        self._rest = b""
        status, *lines = head.split(b"\r\n")
        fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        if status.split(b" ")[1:2] != [b"101"]:
            said = status[:80].decode("latin-1")
            self.fail("refused: " + "".join(c if c.isprintable() else "?" for c in said))
        elif fields.get(b"sec-websocket-accept") != self._accept:
            self.fail("the answer to the upgrade is none of a WebSocket server")
        else:
            self.upgraded = True
            self.opened.set_result(None)
            return rest
        return None

    def _other(self, first: int, payload: bytes, now: float) -> None:
        """Take a frame that is no whole text."""
        match first & 0x0F:
            case 0x9:
                self.transport.write(_frame(0x80 | _PONG, payload[:125]))
            case 0xA:
                self.pong_came(payload, now)
            case 0x8:
                code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
                self.close(f"closed by the far side with {code}")
            case 0x1 | 0x0 if first & 0x70 == 0 and (first & 0x0F == 0) == (self._fragments is not None):
                self._fragments = self._fragments or bytearray()
                self._fragments += payload
                if len(self._fragments) > _MAX_MESSAGE:
                    self.fail("a message of too many octets")
                elif first & 0x80:
                    text, self._fragments = bytes(self._fragments), None
                    self.text_came(text, 0, len(text), now)
            case _:
                self.fail(f"a frame that begins with 0x{first:02x}")


def _frame(first: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((first, 0x80 | size, 0, 0, 0, 0)) + payload
    if size < 65536:
        return bytes((first, 0xFE, size >> 8, size & 0xFF, 0, 0, 0, 0)) + payload
    return bytes((first, 0xFF)) + size.to_bytes(8, "big") + bytes(4) + payload
