"""Which transport the media ports of a test are made with: the fixture `transport` says so."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from gateway.server.transports import WEBSOCKETS, MediaTransport, find_transport

_CHOSEN = ContextVar("transport", default=WEBSOCKETS)


def transport() -> MediaTransport:
    """That of the present test; `websockets` where it does not ask for both."""
    return _CHOSEN.get()


@contextmanager
def using(name: str) -> Iterator[None]:
    """Choose one for a while."""
    token = _CHOSEN.set(find_transport(name))
    try:
        yield
    finally:
        _CHOSEN.reset(token)
