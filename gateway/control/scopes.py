"""Who may do what: the keys of the API, each with a scope.

A scope includes those before it: `read` looks on, `control` acts on calls, `admin` may do everything, which includes
whatever Telnyx's account may do, by paths under `/v2` that the gateway does not know.
"""

import enum
import hashlib
import hmac
from collections.abc import Iterable
from typing import Final

from gateway.errors import ConfigError

__all__ = ["ApiKeys", "Scope", "parse_keys"]

_SHORTEST: Final = 16


class Scope(enum.IntEnum):
    """What a key may do; each includes those before it."""

    READ = 0
    CONTROL = 1
    ADMIN = 2

    def __str__(self) -> str:
        return self.name.lower()


class ApiKeys:
    """The keys, by what they may do; holds their hashes only.

    Args:
        keys: Each key with its scope; there may be several of each.
    """

    def __init__(self, keys: Iterable[tuple[Scope, str]]) -> None:
        self._keys = [(scope, _digest(key)) for scope, key in keys]

    def scope_of(self, authorization: str) -> Scope | None:
        """What the bearer of an `Authorization` header may do; None where it shows no key of ours.

        Takes the same time whichever key it is, and whether it is one.
        """
        scheme, _, token = authorization.partition(" ")
        given = _digest(token.strip())
        found: Scope | None = None
        for scope, digest in self._keys:
            if hmac.compare_digest(given, digest):
                found = scope
        return found if scheme.lower() == "bearer" else None


def parse_keys(text: str) -> list[tuple[Scope, str]]:
    """Read `scope:key`, comma-separated.

    Raises:
        ConfigError: Names the entry by its number, as its text may be a secret.
    """
    keys: list[tuple[Scope, str]] = []
    for number, entry in enumerate(filter(None, map(str.strip, text.split(","))), start=1):
        name, _, key = entry.partition(":")
        if name not in [str(scope) for scope in Scope]:
            raise ConfigError(f"entry {number} begins with no scope: want read:KEY, control:KEY or admin:KEY")
        if len(key) < _SHORTEST or not key.isascii() or not key.isprintable() or " " in key:
            raise ConfigError(
                f"entry {number} holds no key: want {_SHORTEST} or more printable ASCII characters without spaces"
            )
        if any(key == other for _, other in keys):
            raise ConfigError(f"entry {number} has the same key as another")
        keys.append((Scope[name.upper()], key))
    return keys


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
