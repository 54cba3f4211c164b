"""Lists in pages: a cursor names the last item of a page, so that what is new or gone in between shifts nothing.

A cursor is to be handed back as it is. It holds the item's place in the order, newest first: a time and an id.
"""

import base64
import binascii
import math
from typing import Final, NamedTuple

import msgspec
from aiohttp import web

from gateway.errors import GatewayError

__all__ = ["Page", "Place", "QueryError", "choice_of", "page_of"]

_MAX_LIMIT: Final = 1000
_MAX_CURSOR: Final = 1024
_DEFAULT_LIMIT: Final = 100


class QueryError(GatewayError):
    """A parameter of the query is wrong; says which, and what would be right."""


class Place(NamedTuple):
    """Where an item stands: newest first, those of the same time by their ids backwards."""

    at: float
    id: str

    def cursor(self) -> str:
        """As URL-safe text."""
        return base64.urlsafe_b64encode(msgspec.json.encode(list(self))).decode().rstrip("=")


class Page(NamedTuple):
    """What a request asks for."""

    limit: int
    after: Place | None  # the last item of the page before it


_decoder: Final = msgspec.json.Decoder(tuple[float, str])


def page_of(request: web.Request) -> Page:
    """Read `?limit=` and `?cursor=`.

    Raises:
        QueryError: One of them is wrong.
    """
    text = request.query.get("limit", str(_DEFAULT_LIMIT))
    if not (len(text) <= 4 and text.isascii() and text.isdigit() and 1 <= int(text) <= _MAX_LIMIT):
        raise QueryError(f"limit is {text[:20]!r}, want 1 to {_MAX_LIMIT}")
    cursor = request.query.get("cursor")
    return Page(int(text), None if cursor is None else _place(cursor))


def choice_of(request: web.Request, name: str, choices: tuple[str, ...]) -> str | None:
    """Read a parameter that has few values; None where it is not there.

    Raises:
        QueryError: It has another.
    """
    text = request.query.get(name)
    if text is not None and text not in choices:
        raise QueryError(f"{name} is {text[:20]!r}, want {' or '.join(choices)}")
    return text


def _place(cursor: str) -> Place:
    wrong = QueryError("cursor is none that the gateway gave")
    if not 0 < len(cursor) <= _MAX_CURSOR:
        raise wrong
    try:
        at, id_ = _decoder.decode(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, msgspec.DecodeError, UnicodeError, ValueError) as error:
        raise wrong from error
    if not math.isfinite(at):
        raise wrong
    return Place(at, id_)
