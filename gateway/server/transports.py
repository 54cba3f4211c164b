"""The transports by the names that the settings have for them."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from gateway.errors import ConfigError
from gateway.server.websocket import WebSocketConnection

__all__ = ["WEBSOCKETS", "MediaTransport", "find_transport"]


@dataclass(frozen=True, slots=True)
class MediaTransport:
    """What drives media sockets.

    Attributes:
        connection: Made for each TCP connection.
        create_server: Listens, like `loop.create_server`.
        take_over: Goes on with a TCP connection that was accepted elsewhere, like `loop.connect_accepted_socket`.
    """

    connection: type[WebSocketConnection]
    create_server: Callable[..., Coroutine[Any, Any, asyncio.Server]]
    take_over: Callable[[Callable[[], asyncio.Protocol], socket.socket], Coroutine[Any, Any, Any]]


async def _create_server(factory: Callable[[], asyncio.Protocol], **where: Any) -> asyncio.Server:
    return await asyncio.get_running_loop().create_server(factory, **where)


async def _take_over(factory: Callable[[], asyncio.Protocol], connection: socket.socket) -> None:
    await asyncio.get_running_loop().connect_accepted_socket(factory, connection)


WEBSOCKETS = MediaTransport(WebSocketConnection, _create_server, _take_over)


def find_transport(name: str) -> MediaTransport:
    """Find a transport, and what it needs.

    Raises:
        ConfigError: What it needs is not installed.
    """
    if name == "websockets":
        return WEBSOCKETS
    try:
        from gateway.server.picows_transport import PicowsConnection, create_server, take_over
    except ImportError as error:
        raise ConfigError(
            f"GATEWAY_TRANSPORT: {name} is not installed; pip install 'telnyx-media-gateway[fast]'"
        ) from error
    return MediaTransport(PicowsConnection, create_server, take_over)
