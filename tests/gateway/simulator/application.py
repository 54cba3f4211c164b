"""A small voice application: takes webhooks, answers calls, and holds the other end of the media socket."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypedDict

import aiohttp
import numpy as np
from aiohttp import web
from websockets.asyncio.server import ServerConnection, serve

from audio_codecs import Samples
from gateway.config import Address
from gateway.simulator import Simulator

LOOPBACK = Address("127.0.0.1", 0)

Media = Callable[[ServerConnection], Awaitable[None]]


@dataclass
class Application:
    """What came in, and what is to be done about it.

    `statuses` are the answers to the first webhooks; later ones get 200. `plan` maps an event to the commands that it
    is answered with.
    """

    session: aiohttp.ClientSession
    webhook_url: str = ""
    stream_url: str = ""
    rest_url: str = ""
    statuses: list[int] = field(default_factory=list)
    plan: dict[str, list[tuple[str, dict[str, Any]]]] = field(default_factory=dict)
    webhooks: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[tuple[int, Any]] = field(default_factory=list)

    def events(self) -> list[str]:
        return [str(json.loads(body)["data"]["event_type"]) for _, body in self.webhooks]

    def payload(self, event_type: str) -> dict[str, Any]:
        for _, body in self.webhooks:
            data = json.loads(body)["data"]
            if data["event_type"] == event_type:
                return dict(data["payload"])
        raise AssertionError(f"no {event_type} among {self.events()}")

    async def command(self, call_control_id: str, action: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        url = f"{self.rest_url}/calls/{call_control_id}/actions/{action}"
        async with self.session.post(url, json=body or {}, headers={"Authorization": "Bearer key"}) as answer:
            return answer.status, await answer.json()

    async def take_webhook(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.webhooks.append((dict(request.headers), body))
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 200:
            data = json.loads(body)["data"]
            for action, fields in self.plan.get(data["event_type"], []):
                self.answers.append(await self.command(data["payload"]["call_control_id"], action, fields))
        return web.Response(status=status)


@asynccontextmanager
async def application(media: Media) -> AsyncIterator[Application]:
    """Run one; it streams as soon as it can, with PCMU both ways."""
    async with aiohttp.ClientSession() as session:
        app = Application(session)
        server = web.Application()
        server.add_routes([web.post("/webhooks", app.take_webhook)])
        runner = web.AppRunner(server, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            app.webhook_url = f"http://127.0.0.1:{runner.addresses[0][1]}/webhooks"
            async with serve(media, "127.0.0.1", 0, compression=None) as sockets:
                app.stream_url = f"ws://127.0.0.1:{sockets.sockets[0].getsockname()[1]}/media"
                app.plan = {
                    "call.initiated": [("answer", {})],
                    "call.answered": [
                        ("streaming_start", {"stream_url": app.stream_url, "stream_bidirectional_mode": "rtp"})
                    ],
                }
                yield app
        finally:
            await runner.cleanup()


@asynccontextmanager
async def simulator(app: Application, **arguments: Any) -> AsyncIterator[Simulator]:
    """Run one that reports to this application."""
    retry_delays: Sequence[float] = arguments.pop("retry_delays", (0.02, 0.02))
    async with (
        asyncio.timeout(20),
        Simulator(LOOPBACK, webhook_url=app.webhook_url, retry_delays=retry_delays, **arguments) as running,
    ):
        app.rest_url = running.rest_url
        yield running


async def echo(socket: ServerConnection) -> None:
    async for text in socket:
        message = json.loads(text)
        if message["event"] == "media":
            await socket.send(json.dumps({"event": "media", "media": {"payload": message["media"]["payload"]}}))


async def ignore(socket: ServerConnection) -> None:
    async for _ in socket:
        pass


def speech(seconds: float, seed: int = 1) -> Samples:
    """Noise that no other stretch of it looks like."""
    rng = np.random.default_rng(seed)
    return rng.integers(-20_000, 20_000, round(8000 * seconds), dtype=np.int16)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens on the far side of a socket; `simulator` limits the time."""
    while not condition():  # noqa: ASYNC110 - nothing on this side could set an event
        await asyncio.sleep(0.005)


class Numbers(TypedDict):
    from_: str
    to: str


NUMBERS: Numbers = {"from_": "+15550100001", "to": "+15550100002"}
