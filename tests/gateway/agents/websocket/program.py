"""A user's program, for the tests: a real WebSocket server whose every message is looked at."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import structlog
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from gateway.agents.base import AgentFactory
from gateway.agents.options import AgentConfig
from gateway.agents.websocket import WebSocketAgent

PATIENCE = 5.0


class Connection:
    """One connection of the gateway; what it sent that was not asked for yet waits."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket
        self.sound = b""

    async def told(self, wanted: str) -> dict[str, Any]:
        """The next message of this type; sound that comes before it is kept."""
        async with asyncio.timeout(PATIENCE):
            while True:
                message = await self.socket.recv()
                if isinstance(message, bytes):
                    self.sound += message
                elif (read := json.loads(message))["type"] == wanted:
                    return dict(read)

    async def hear(self, octets: int) -> bytes:
        """The next sound, so much of it."""
        async with asyncio.timeout(PATIENCE):
            while len(self.sound) < octets:
                message = await self.socket.recv()
                if isinstance(message, bytes):
                    self.sound += message
        heard, self.sound = self.sound[:octets], self.sound[octets:]
        return heard

    async def send(self, message: dict[str, Any] | str | bytes) -> None:
        await self.socket.send(json.dumps(message) if isinstance(message, dict) else message)

    async def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """Send a message and wait for its result."""
        await self.send(message | {"id": "asked"})
        result = await self.told("result")
        assert result["id"] == "asked"
        return result


class Program:
    """All connections, in order."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[Request] = []
        self.refuse: HTTPStatus | None = None
        self.server: Server
        self._connections: asyncio.Queue[Connection] = asyncio.Queue()

    async def connection(self) -> Connection:
        async with asyncio.timeout(PATIENCE):
            return await self._connections.get()

    async def serve(self, socket: ServerConnection) -> None:
        self._connections.put_nowait(Connection(socket))
        await socket.wait_closed()

    def look(self, socket: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request)
        return None if self.refuse is None else socket.respond(self.refuse, "no\n")

    def agent(self, environment: dict[str, str] | None = None, **options: Any) -> AgentFactory:
        config = AgentConfig(
            options={"url": self.url, **options}, environment=environment or {}, log=structlog.get_logger()
        )
        return WebSocketAgent.configure(config)


@asynccontextmanager
async def program(**options: Any) -> AsyncIterator[Program]:
    """Serve a program while the context lasts."""
    made = Program()
    handler: Callable[[ServerConnection], Awaitable[None]] = made.serve
    async with serve(handler, "127.0.0.1", 0, process_request=made.look, close_timeout=0.2, **options) as server:
        made.server = server
        made.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/calls?secret=1"
        yield made
