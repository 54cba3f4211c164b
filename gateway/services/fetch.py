"""Sound by its URL: bounded in size and time, and not from where only the gateway's own machine can reach.

Whoever may name a URL makes this machine ask for it, so every connection is checked as it is made, with the address
that it is made to: a name that leads to a private address, a redirect to one, or one that changes its mind between a
check and its use, all end there.
"""

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp

from gateway.errors import PlaybackError

__all__ = ["Fetcher", "is_public", "open_fetcher"]

_MAX_REDIRECTS: Final = 5
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Whether an address is one of the whole Internet: none of this machine, a private network, or a group.

    An IPv4 address inside of an IPv6 one counts as what it is.
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        inside = found.ipv4_mapped or found.sixtofour or (found.teredo and found.teredo[1])
        if found in _NAT64:
            inside = ipaddress.IPv4Address(int(found) & 0xFFFF_FFFF)
        if inside:
            return is_public(str(inside))
    return found.is_global and not found.is_multicast


class _PrivateAddressError(OSError):
    """A connection to an address that is not public."""


def _public_socket(info: tuple[Any, ...]) -> socket.socket:
    """Makes the socket of a connection, whose address is known now for good."""
    family, kind, protocol, _, (address, *_) = info
    if not is_public(address):
        raise _PrivateAddressError("it leads to a private address, see GATEWAY_PLAY_PRIVATE_URLS")
    made = socket.socket(family, kind, protocol)
    made.settimeout(0)
    return made


class Fetcher:
    """Gets whole files.

    Args:
        session: Makes the connections.
        max_bytes: Larger ones are refused.
        timeout: Seconds for one of them, from beginning to end.
    """

    def __init__(self, session: aiohttp.ClientSession, *, max_bytes: int, timeout: float) -> None:
        self._session = session
        self._max_bytes = max_bytes
        self._timeout = timeout

    async def fetch(self, url: str) -> bytes:
        """Get a file.

        Raises:
            PlaybackError: It cannot be had, is too large, or takes too long. Tells the host, and not the rest of the
                URL, which may hold a key.
        """
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._session.get(url, max_redirects=_MAX_REDIRECTS) as answer,
            ):
                if answer.status != 200:
                    raise PlaybackError(f"{_host(url)} answers {answer.status}")
                octets = bytearray()
                async for piece in answer.content.iter_any():
                    octets += piece
                    if len(octets) > self._max_bytes:
                        raise PlaybackError(f"{_host(url)}: the file has more than {self._max_bytes} octets")
                return bytes(octets)
        except TimeoutError as error:
            raise PlaybackError(f"{_host(url)}: no whole file within {self._timeout:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
            why = str(cause) if isinstance(cause, _PrivateAddressError) else type(error).__name__
            raise PlaybackError(f"{_host(url)} cannot be asked: {why}") from error


@asynccontextmanager
async def open_fetcher(
    *, allow_private: bool, max_bytes: int = 20_000_000, timeout: float = 20.0
) -> AsyncIterator[Fetcher]:
    """Get files while the context lasts; see `Fetcher`.

    Args:
        allow_private: Also from private addresses.
        max_bytes: Of one file.
        timeout: Seconds for one file.
    """
    connector = aiohttp.TCPConnector(limit=100, socket_factory=None if allow_private else _public_socket)
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept-Encoding": "identity"},
        auto_decompress=False,  # a few octets may be gigabytes
    ) as session:
        yield Fetcher(session, max_bytes=max_bytes, timeout=timeout)


def _host(url: str) -> str:
    return url.split("/", 3)[2].rpartition("@")[2][:100] or "the host"
