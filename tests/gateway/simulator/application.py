"""A small voice application: takes webhooks, answers calls, and holds the other end of the media socket."""

import asyncio
import functools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypedDict

import aiohttp
import numpy as np
from aiohttp import web
from websockets.asyncio.server import ServerConnection, serve

from audio_codecs import Samples
from gateway.config import Address
from gateway.simulator import Simulator
from gateway.simulator.clock import Clock
from gateway.simulator.timelapse import TimeLapseLoop

LOOPBACK = Address("127.0.0.1", 0)
KEY = {"Authorization": "Bearer key"}
DIAL = {"connection_id": "1684641123236054244", "from": "+15550100002", "to": "+15550100001"}

Parameters = ParamSpec("Parameters")

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
    sim_url: str = ""
    statuses: list[int] = field(default_factory=list)
    plan: dict[str, list[tuple[str, dict[str, Any]]]] = field(default_factory=dict)
    webhooks: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[tuple[int, Any]] = field(default_factory=list)
    queries: list[dict[str, str]] = field(default_factory=list)

    def data(self, call_control_id: str | None = None) -> list[dict[str, Any]]:
        """What the webhooks of a call said, or of all, in the order in which they came."""
        every = [dict(json.loads(body)["data"]) for _, body in self.webhooks]
        return [data for data in every if call_control_id in (None, data["payload"]["call_control_id"])]

    def events(self, call_control_id: str | None = None) -> list[str]:
        return [data["event_type"] for data in self.data(call_control_id)]

    def payload(self, event_type: str, call_control_id: str | None = None) -> dict[str, Any]:
        for data in self.data(call_control_id):
            if data["event_type"] == event_type:
                return dict(data["payload"])
        raise AssertionError(f"no {event_type} among {self.events(call_control_id)}")

    async def told(self, event_type: str, call_control_id: str | None = None) -> dict[str, Any]:
        """Wait for a webhook; returns its payload."""
        await until(lambda: event_type in self.events(call_control_id))
        return self.payload(event_type, call_control_id)

    async def request(self, method: str, url: str, body: Any = None) -> tuple[int, Any]:
        """Send a request to the simulator, with the key that it takes."""
        async with self.session.request(method, url, json=body, headers=KEY) as answer:
            return answer.status, await answer.json()

    async def command(self, call_control_id: str, action: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        return await self.request("POST", f"{self.rest_url}/calls/{call_control_id}/actions/{action}", body or {})

    async def dial(self, **fields: Any) -> str:
        """Call somebody; returns the call's id."""
        status, body = await self.request("POST", f"{self.rest_url}/calls", DIAL | fields)
        assert status == 200, body
        return str(body["data"]["call_control_id"])

    async def take_query(self, request: web.Request) -> web.Response:
        self.queries.append(dict(request.query) | {"signature": request.headers["telnyx-signature-ed25519"]})
        return web.Response()

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
async def application(media: Media, *, acts: bool = True) -> AsyncIterator[Application]:
    """Run one; if it acts, it answers and streams as soon as it can, with PCMU both ways."""
    async with aiohttp.ClientSession() as session:
        app = Application(session)
        server = web.Application()
        server.add_routes([web.post("/webhooks", app.take_webhook), web.get("/webhooks", app.take_query)])
        runner = web.AppRunner(server, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            app.webhook_url = f"http://127.0.0.1:{runner.addresses[0][1]}/webhooks"
            async with serve(media, "127.0.0.1", 0, compression=None) as sockets:
                app.stream_url = f"ws://127.0.0.1:{sockets.sockets[0].getsockname()[1]}/media"
                fields = {"stream_url": app.stream_url, "stream_bidirectional_mode": "rtp"}
                if acts:
                    app.plan = {
                        "call.initiated": [("answer", {})],
                        "call.answered": [("streaming_start", fields)],
                    }
                yield app
        finally:
            await runner.cleanup()


@asynccontextmanager
async def simulator(app: Application, **arguments: Any) -> AsyncIterator[Simulator]:
    """Run one that reports to this application."""
    within: float = arguments.pop("within", 20)
    loop = asyncio.get_running_loop()
    if isinstance(loop, TimeLapseLoop):  # what is written down goes by that clock too
        start = time.time() - loop.time()
        arguments.setdefault("clock", Clock(loop.time, lambda: start + loop.time(), loop.call_later))
    retry_delays: Sequence[float] = arguments.pop("retry_delays", (0.02, 0.02))
    async with (
        asyncio.timeout(within),
        Simulator(LOOPBACK, **{"webhook_url": app.webhook_url, "retry_delays": retry_delays} | arguments) as running,
    ):
        app.rest_url, app.sim_url = running.rest_url, running.sim_url
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


def timelapse(test: Callable[Parameters, Coroutine[Any, Any, None]]) -> Callable[Parameters, None]:
    """Run a test on a clock that does not wait: minutes pass in milliseconds."""

    @functools.wraps(test)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        with asyncio.Runner(loop_factory=TimeLapseLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run


class Numbers(TypedDict):
    from_: str
    to: str


NUMBERS: Numbers = {"from_": "+15550100001", "to": "+15550100002"}
