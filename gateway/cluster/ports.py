"""TCP ports that several processes share: reserved by one that never listens on them."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from gateway.config import Address

__all__ = ["reserved"]


@contextmanager
def reserved(address: Address) -> Iterator[Address]:
    """Hold a port while the context lasts, for processes of the same user that listen with SO_REUSEPORT.

    The system spreads connections over those that listen, so it gives none to the socket here.

    Args:
        address: Port 0 lets the system choose.

    Yields:
        The address with the port's number.

    Raises:
        OSError: Somebody else listens there, or may; or there is no such address.
    """
    with ExitStack() as stack:
        port = address.port
        found = socket.getaddrinfo(address.host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, (host, _, *rest) in dict.fromkeys(found):
            # Among sockets that share, another gateway's would be as welcome: so first without.
            with _bound(family, kind, protocol, (host, port, *rest), share=False):
                pass
            held = stack.enter_context(_bound(family, kind, protocol, (host, port, *rest), share=True))
            port = held.getsockname()[1]
        yield Address(address.host, port)


def _bound(family: int, kind: int, protocol: int, address: tuple[str | int, ...], *, share: bool) -> socket.socket:
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, share)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
    except OSError as error:
        made.close()
        raise OSError(error.errno, f"{error.strerror}: {address[0]}:{address[1]}") from error
    return made
