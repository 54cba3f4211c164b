"""A chat endpoint for tests: an HTTP server on the loop, which says what the test has written down for it."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


def text(*pieces: str) -> list[str]:
    """Events of an answer in words."""
    return [chunk({"content": piece}) for piece in pieces] + [chunk({}, "stop"), "data: [DONE]"]


def tool(name: str, *arguments: str, call_id: str = "call_1") -> list[str]:
    """Events of an answer that calls a tool, its arguments in parts."""
    first = {"index": 0, "id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
    parts = [{"index": 0, "function": {"arguments": part}} for part in arguments]
    return [chunk({"tool_calls": [part]}) for part in (first, *parts)] + [chunk({}, "tool_calls"), "data: [DONE]"]


def chunk(delta: dict[str, Any], finish: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return "data: " + json.dumps({"object": "chat.completion.chunk", "choices": [choice]})


@dataclass
class Answer:
    """One answer: a status and its body, or events, each after `pause` seconds.

    Attributes:
        drop: The connection is cut behind the last event.
        stall: Nothing comes behind the last event, for so many seconds.
    """

    events: Sequence[str] = ()
    status: int = 200
    body: str = ""
    pause: float = 0.0
    drop: bool = False
    stall: float = 0.0


@dataclass
class ChatServer:
    """What it says, in order, the last one for ever; and what it was asked."""

    answers: list[Answer]
    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    given_up: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(await request.json())
        self.keys.append(request.headers.get("Authorization"))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer.status != 200:
            return web.Response(status=answer.status, text=answer.body)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            for event in answer.events:
                await asyncio.sleep(answer.pause)
                await response.write(f"{event}\n\n".encode())
            await asyncio.sleep(answer.stall)
        except (ConnectionError, asyncio.CancelledError):
            self.given_up += 1
            raise
        if answer.drop:
            assert request.transport is not None
            request.transport.abort()
        return response


@asynccontextmanager
async def chat_server(*answers: Answer) -> AsyncIterator[ChatServer]:
    server = ChatServer(list(answers))
    application = web.Application()
    application.add_routes([web.post("/v1/chat/completions", server.handle)])
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield server
    finally:
        await runner.cleanup()
