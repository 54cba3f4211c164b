"""The HTTP sides of several workers in one process, each on a port of its own, so that a test says who gets what."""

import asyncio
import base64
import io
import json
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer
from nacl.signing import SigningKey

from gateway.cluster.owners import Owners
from gateway.cluster.slot import WorkerSlot
from gateway.config import Settings
from gateway.control.http_side import open_control, open_http_side
from gateway.directory import CallDirectory
from gateway.feed import CallFeed
from gateway.kept_calls import restore_calls
from gateway.protocol.commands import StreamingStart
from gateway.protocol.signature import sign
from gateway.store.store import Store, open_store
from tests.gateway.control.conftest import Log, webhook
from tests.gateway.store.template import database_in

API_KEY = "a key that only the tests have"
AUTHORIZED = {"Authorization": f"Bearer {API_KEY}"}
SIGNING_KEY = SigningKey(b"w" * 32)


def slots(number: int, folder: Path) -> list[WorkerSlot]:
    """The places of that many workers."""
    return [WorkerSlot(index, number, folder, b"k" * 32) for index in range(number)]


def call_of(worker: int, *, workers: int = 2, beside: str = "") -> str:
    """The id of a call that leads to a worker; another one than `beside`."""
    slot = WorkerSlot(0, workers, Path(), b"")
    return next(
        name for name in (f"v3:{number}" for number in count()) if slot.registrar(name) == worker and name != beside
    )


class FakeTelnyx:
    """Takes every command, and keeps them; the next dial gets the id `dialled`, after `before_dialled` was done."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, str, dict[str, Any]]] = []
        self.dialled = "v3:dialled"
        self.answer_dial = asyncio.Event()
        self.answer_dial.set()
        self.url = ""

    async def command(self, request: web.Request) -> web.Response:
        body = await request.json()
        action = request.match_info.get("action", "dial")
        self.commands.append((action, request.match_info.get("call", ""), body))
        if action == "dial":
            await self.answer_dial.wait()
            return web.json_response({"data": {"call_control_id": self.dialled, "record_type": "call"}})
        return web.json_response({"data": {"result": "ok"}})

    def actions(self, call: str) -> list[str]:
        return [action for action, its_call, _ in self.commands if its_call == call]


@asynccontextmanager
async def fake_telnyx() -> AsyncIterator[FakeTelnyx]:
    telnyx = FakeTelnyx()
    app = web.Application(client_max_size=2**21)
    app.router.add_post("/v2/calls", telnyx.command)
    app.router.add_post("/v2/calls/{call}/actions/{action}", telnyx.command)
    async with TestServer(app, shutdown_timeout=0) as server:
        telnyx.url = str(server.make_url("/v2"))
        yield telnyx


class Side:
    """One worker's HTTP side.

    `stop` and `start` are what happens to a worker that ends and is started again.
    """

    def __init__(self, slot: WorkerSlot, folder: Path, log: Log, fields: dict[str, Any]) -> None:
        self.slot = slot
        self.ready = True
        self.hung_up: list[str] = []
        self.store: Store
        self.directory: CallDirectory
        self.feed: CallFeed
        self.owners: Owners
        self.url = ""
        self._folder = folder
        self._log = log
        self._settings = Settings(
            **{
                "http_listen": "127.0.0.1:0",
                "data_dir": folder,
                "telnyx_public_key": base64.b64encode(bytes(SIGNING_KEY.verify_key)).decode(),
                "telnyx_api_key": "KEY" if "telnyx_base_url" in fields else None,
            }
            | fields
        )
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        async with AsyncExitStack() as stack:
            settings, log, slot = self._settings, self._log.logger, self.slot
            self.store = store = await stack.enter_async_context(
                open_store(database_in(self._folder), log=log, worker=slot.index, workers=slot.count)
            )
            self.owners = Owners(slot)
            self.feed = CallFeed()
            self.directory = await restore_calls(store, longest_call=3600.0, log=log, owners=self.owners)
            control = await stack.enter_async_context(open_control(settings, store, log, workers=slot.count))
            address = await stack.enter_async_context(
                open_http_side(
                    settings,
                    store=store,
                    control=control,
                    directory=self.directory,
                    api_key=API_KEY,
                    stream=lambda _: StreamingStart(),
                    hung_up=self.hung_up.append,
                    ready=lambda: self.ready,
                    unready=lambda: "it is full",
                    counters=lambda: {"calls_running": 1, "sinks": {"written": slot.index}},
                    feed=self.feed,
                    owners=self.owners,
                    log=log,
                )
            )
            self.url = f"http://{address}"
            self._stack = stack.pop_all()

    async def stop(self) -> None:
        await self._stack.aclose()

    async def post(self, event_type: str, call: str | None, event_id: str, **payload: Any) -> int:
        """Deliver a webhook here."""
        body = webhook(event_type, {"call_control_id": call, **payload}, id=event_id)
        headers = sign(body, key=SIGNING_KEY, now=time.time())
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.url}/webhooks/telnyx", data=body, headers=headers) as answer,
        ):
            return answer.status

    async def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Send a request of the API here."""
        headers = {"Content-Type": "application/json", **(headers or {})}
        data = None if body is None else io.BytesIO(json.dumps(body).encode())
        async with (
            aiohttp.ClientSession(headers=AUTHORIZED) as session,
            session.request(method, self.url + path, data=data, headers=headers) as answer,
        ):
            text = await answer.read()
            return answer.status, json.loads(text) if text else None

    async def state(self, call: str) -> str:
        """How far a call has come, as this worker shows it."""
        _, shown = await self.ask("GET", f"/v1/calls/{call}")
        return str(shown.get("state", shown.get("status")))


@asynccontextmanager
async def running(folder: Path, log: Log, *, workers: int = 2, **fields: Any) -> AsyncIterator[list[Side]]:
    """Several workers that share a data folder."""
    with tempfile.TemporaryDirectory() as sockets:  # a test's own folder may be too deep for the name of a socket
        sides = [Side(slot, folder, log, fields) for slot in slots(workers, Path(sockets))]
        async with asyncio.timeout(20), AsyncExitStack() as stack:
            for side in sides:
                await side.start()
                stack.push_async_callback(side.stop)
            yield sides


async def until(condition: Callable[[], Awaitable[bool]], *, timeout: float = 5.0) -> None:
    """Wait for something that has no event."""
    async with asyncio.timeout(timeout):
        while not await condition():  # noqa: ASYNC110 - as it says
            await asyncio.sleep(0.01)
