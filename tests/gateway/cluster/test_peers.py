import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from gateway.cluster.peers import Peers
from gateway.cluster.slot import WorkerSlot
from gateway.control.app import listen_at
from gateway.errors import WorkerGoneError
from tests.gateway.cluster.sides import slots


class Worker:
    """Counts its requests, and answers each as its path says."""

    def __init__(self) -> None:
        self.requests = 0
        self.failing = 0

    def app(self) -> web.Application:
        app = web.Application(client_max_size=2**21)
        app.router.add_route("*", "/{how}", self.handle)
        return app

    async def handle(self, request: web.Request) -> web.Response:
        self.requests += 1
        how = request.match_info["how"]
        if how == "hangs":
            await asyncio.sleep(0.5)
        if how == "breaks" or self.failing:
            self.failing -= 1
            assert request.transport is not None
            request.transport.abort()
        return web.Response(body=await request.read(), headers={"Who": request.rel_url.raw_query_string})


@asynccontextmanager
async def peers() -> AsyncIterator[tuple[Peers, WorkerSlot, Worker]]:
    """The first of two, and the second, which is not there yet."""
    with tempfile.TemporaryDirectory() as folder:
        first, second = slots(2, Path(folder))
        async with asyncio.timeout(10), Peers(first) as one:
            yield one, second, Worker()


async def test_a_worker_is_asked_and_answers() -> None:
    async with peers() as (one, slot, worker), listen_at(worker.app(), slot.http_path(1)):
        answer = await one.ask(1, "POST", "/well?%2F", body=b"x" * 2_000_000)
        assert (answer.status, answer.headers["Who"], len(answer.body)) == (200, "%2F", 2_000_000)


async def test_what_finds_nobody_waits_for_the_worker() -> None:
    async with peers() as (one, slot, worker):
        asking = [
            asyncio.ensure_future(one.ask(1, "POST", "/well", body=b"one")),
            asyncio.ensure_future(_read(one, "/well")),
        ]
        await asyncio.sleep(0.12)
        async with listen_at(worker.app(), slot.http_path(1)):
            assert [(await answer)[2] for answer in asking] == [b"one", b""]
        async with listen_at(worker.app(), slot.http_path(1)):  # in the place of the one before
            assert (await one.ask(1, "POST", "/well", body=b"two", patience=0.2)).body == b"two"


async def _read(one: Peers, path: str, patience: float = 5.0) -> tuple[int, str, bytes]:
    async with one.request(1, "POST", path, patience=patience) as answer:
        return answer.status, "", await answer.read()


async def test_nobody_waits_for_ever() -> None:
    async with peers() as (one, slot, worker):
        with pytest.raises(WorkerGoneError, match="worker 1 is not there"):
            await one.ask(1, "GET", "/well", patience=0.1)
        async with listen_at(worker.app(), slot.http_path(1)):
            with pytest.raises(WorkerGoneError, match=r"worker 1 has not answered within 0\.1 s"):
                await one.ask(1, "GET", "/hangs", timeout=0.1)
            with pytest.raises(WorkerGoneError, match="worker 1 broke off: ServerDisconnectedError"):
                await one.ask(1, "POST", "/breaks", patience=0.1)


async def test_only_what_may_be_sent_twice_is_sent_again() -> None:
    async with peers() as (one, slot, worker), listen_at(worker.app(), slot.http_path(1)):
        worker.failing = 2
        assert (await one.ask(1, "POST", "/well")).status == 200
        assert worker.requests == 3
        worker.failing = 1
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await _read(one, "/well")
        assert worker.requests == 4


async def test_all_are_asked_at_once_and_who_is_not_there_has_no_answer() -> None:
    async with peers() as (one, slot, worker):
        assert await one.ask_all("/well") == [None, None]
        async with listen_at(worker.app(), slot.http_path(1)):
            missing, answer = await one.ask_all("/well")
            assert (missing, answer and answer.status) == (None, 200)
            assert await one.ask_all("/hangs", timeout=0.05) == [None, None]
