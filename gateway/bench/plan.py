"""What one load is made of: the same for every call, and sent to every process."""

from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from gateway.bench.content import Content
from gateway.errors import ConfigError
from gateway.simulator.faults import MediaFaults

__all__ = ["CallPlan", "Measure", "Target", "parse_target"]

Measure: TypeAlias = Literal["echo", "sound", "ping"]
"""How round trips are taken: by the number in each frame, by the likeness of the sound, or by WebSocket pings."""


@dataclass(frozen=True, slots=True)
class Target:
    """The media URL that is called.

    Attributes:
        netloc: As the header `Host` says it.
        path: With the query.
    """

    secure: bool
    host: str
    port: int
    netloc: str
    path: str

    @property
    def shown(self) -> str:
        """It without what may be secret: what stands behind the first folder, and a query."""
        first, *rest = self.path.partition("?")[0].lstrip("/").split("/")
        return f"{'wss' if self.secure else 'ws'}://{self.netloc}/{first}" + ("/..." if any(rest) else "")


def parse_target(url: str) -> Target:
    """Read a media URL.

    Raises:
        ConfigError: It is none.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"MEDIA_URL: {error}") from error
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise ConfigError("MEDIA_URL: want ws://host:port/path or wss://...")
    if parts.username is not None:
        raise ConfigError("MEDIA_URL: a name and password cannot stand in it; use --header")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not (path.isascii() and path.isprintable()) or " " in path:
        raise ConfigError("MEDIA_URL: the path has characters that must be escaped")
    secure = parts.scheme == "wss"
    return Target(secure, parts.hostname, port or (443 if secure else 80), parts.netloc, path)


@dataclass(frozen=True, slots=True)
class CallPlan:
    """Every call of a load.

    Attributes:
        target: Where it calls.
        content: What it says, over and over.
        measure: How its round trips are taken.
        two_way: Whether sound is to come back.
        token: `stream_auth_token`, for the header and `connected`.
        headers: More of the upgrade request.
        parameters: `custom_parameters` of `start`.
        faults: What goes wrong with what it sends.
        seed: Of the faults.
        call_seconds: How long it lasts, and is replaced then; None for as long as the load does.
    """

    target: Target
    content: Content
    measure: Measure = "echo"
    two_way: bool = True
    token: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()
    faults: MediaFaults | None = None
    seed: int = 0
    call_seconds: float | None = None
