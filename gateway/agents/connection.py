"""A WebSocket to a program or service outside, opened again when it is lost, for as long as that makes sense."""

import asyncio
import random
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from structlog.typing import FilteringBoundLogger
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from gateway.errors import AgentError, ConfigError

__all__ = ["Connector", "check_url"]

_HEALTHY: Final = 5.0  # seconds: a connection that lived as long was none of a row of failures
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0
_MAX_MESSAGE: Final = 2**20
_KEEPALIVE: Final = 10.0


def check_url(url: str) -> str:
    """See that a connection could be made to this URL.

    Raises:
        ConfigError: It is none of a WebSocket.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"GATEWAY_AGENT_OPTIONS: url: {error}") from error
    if parts.scheme not in ("ws", "wss") or not parts.hostname or port == 0 or parts.fragment:
        raise ConfigError("GATEWAY_AGENT_OPTIONS: url: want ws://host:port/path or wss://...")
    return url


class Connector:
    """Opens the connections of one call, one after another.

    Args:
        url: Where to.
        headers: Of the upgrade; they may hold a key and are never shown.
        patience: Seconds in a row that it may fail.
        open_timeout: Seconds that one attempt may take.
        log: The call's.

    Attributes:
        shown: The URL without what may be secret.
        opened: How many connections there were.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        patience: float,
        open_timeout: float = 5.0,
        log: FilteringBoundLogger,
    ) -> None:
        parts = urlsplit(url)
        self.shown = f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"
        self.opened = 0
        self._url = url
        self._headers = dict(headers)
        self._patience = patience
        self._open_timeout = open_timeout
        self._log = log
        self._failures = 0
        self._failing_since = 0.0
        self._opened_at = 0.0

    async def open(self) -> ClientConnection:
        """Open the next connection; after failures, following a pause.

        Raises:
            AgentError: It is refused, or was tried long enough.
        """
        while True:
            if self._failures:
                await asyncio.sleep(self._pause())
            try:
                connection = await connect(
                    self._url,
                    additional_headers=self._headers,
                    open_timeout=self._open_timeout,
                    ping_interval=_KEEPALIVE,
                    ping_timeout=_KEEPALIVE,
                    close_timeout=1.0,
                    max_size=_MAX_MESSAGE,
                    compression=None,
                    user_agent_header="telnyx-media-gateway",
                )
            except InvalidStatus as error:
                status = error.response.status_code
                if 400 <= status < 500 and status not in (408, 425, 429):
                    raise AgentError(f"{self.shown} refuses the connection with status {status}") from None
                self._failed(f"status {status}")
            except (OSError, TimeoutError, InvalidHandshake, InvalidURI, ConnectionClosed, EOFError) as error:
                self._failed(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
            else:
                self.opened += 1
                self._opened_at = asyncio.get_running_loop().time()
                return connection

    def lost(self, reason: str) -> None:
        """The last connection is gone.

        Raises:
            AgentError: This has gone on long enough.
        """
        if asyncio.get_running_loop().time() - self._opened_at >= _HEALTHY:
            self._failures = 0
        self._failed(reason)

    def _failed(self, reason: str) -> None:
        now = asyncio.get_running_loop().time()
        if not self._failures:
            self._failing_since = now
        self._failures += 1
        self._log.warning("connection of the agent failed", url=self.shown, reason=reason[:200], times=self._failures)
        if now - self._failing_since >= self._patience:
            raise AgentError(f"{self.shown} cannot be reached: {reason[:200]}")

    def _pause(self) -> float:
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(self._failures - 1, 10))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - so that all calls do not come back at once
