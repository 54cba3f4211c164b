"""The media WebSocket, from Telnyx's end: texts go out by plain calls, and can be cut off in every way.

`websockets` awaits each send, for the application's sake as much as for its own: a write buffer may be full. Here fifty
frames a second must leave at their time whatever the application does, so a text is written at once, and what waits is
looked at: a socket from which nothing could leave for some seconds counts as lost.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Final, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidState, WebSocketException
from websockets.protocol import State

__all__ = ["MediaSocket", "SocketError"]

_OPEN_TIMEOUT: Final = 10.0
_CLOSE_TIMEOUT: Final = 2.0
_MAX_MESSAGE_BYTES: Final = 8 * 1024 * 1024
_STUCK: Final = 5.0


class SocketError(Exception):
    """The socket cannot be opened, or has fallen; the text says why."""


class MediaSocket:
    """One socket that is open. Make it with `open`.

    Args:
        connection: The open connection.
        now: The simulator's clock.
    """

    def __init__(self, connection: ClientConnection, now: Callable[[], float]) -> None:
        self._connection = connection
        self._now = now
        self._flowed_at = now()

    @classmethod
    async def open(
        cls, url: str, *, headers: dict[str, str] | None, ping_interval: float | None, now: Callable[[], float]
    ) -> Self:
        """Connect and upgrade.

        Raises:
            SocketError: It cannot be done.
        """
        try:
            connection = await connect(
                url,
                additional_headers=headers,
                compression=None,
                max_size=_MAX_MESSAGE_BYTES,
                open_timeout=_OPEN_TIMEOUT,
                close_timeout=_CLOSE_TIMEOUT,
                ping_interval=ping_interval,
                proxy=None,
            )
        except (OSError, WebSocketException, TimeoutError, ValueError) as error:
            raise SocketError(f"the socket cannot be opened: {type(error).__name__}: {error}") from error
        return cls(connection, now)

    def send(self, text: bytes) -> None:
        """Write a text.

        Raises:
            SocketError: The socket has fallen, or nothing could leave for five seconds.
        """
        connection = self._connection
        if connection.protocol.state is not State.OPEN:
            close = connection.protocol.close_rcvd
            raise SocketError("the socket has fallen" if close is None else f"the socket fell: received {close}")
        if not connection.transport.get_write_buffer_size():
            self._flowed_at = self._now()
        elif self._now() - self._flowed_at > _STUCK:
            raise SocketError(f"the application has not read for {_STUCK:g} s")
        try:
            connection.protocol.send_text(text)
        except InvalidState as error:
            raise SocketError("the socket has fallen") from error
        connection.send_data()

    async def texts(self) -> AsyncIterator[str | bytes]:
        """What comes in, until the socket is closed.

        Raises:
            SocketError: It fell.
        """
        try:
            async for text in self._connection:
                yield text
        except ConnectionClosed as error:
            raise SocketError(f"the socket fell: {error}") from error

    async def close(self, code: int = 1000) -> None:
        """Say good-bye, and wait for the answer for two seconds."""
        with suppress(ConnectionClosed):
            await self._connection.close(code)

    def cut(self) -> None:
        """Drop the connection without a word."""
        self._connection.transport.abort()
