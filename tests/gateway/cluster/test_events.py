import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.gateway.cluster.sides import AUTHORIZED, Side, running
from tests.gateway.control.conftest import Log
from tests.gateway.control.conftest import log as log


class Reader:
    """Reads a stream of events."""

    def __init__(self, stream: aiohttp.ClientResponse) -> None:
        self.last_id = ""
        self._stream = stream

    async def next(self) -> tuple[str, Any]:
        """The name and the data of the next event."""
        while True:
            block = (await self._stream.content.readuntil(b"\n\n")).decode()
            fields = dict(line.split(": ", 1) for line in block.strip().split("\n") if not line.startswith(":"))
            self.last_id = fields.get("id", self.last_id)
            if "event" in fields:
                return fields["event"], json.loads(fields["data"])


@asynccontextmanager
async def following(side: Side, last_id: str = "") -> AsyncIterator[Reader]:
    headers = AUTHORIZED | ({"Last-Event-ID": last_id} if last_id else {})
    async with aiohttp.ClientSession(headers=headers) as session, session.get(f"{side.url}/v1/events") as stream:
        assert (stream.status, stream.content_type) == (200, "text/event-stream")
        assert await stream.content.readuntil(b"\n\n") == b"retry: 2000\n\n"
        yield Reader(stream)


async def test_the_events_of_all_workers_come_in_one_stream(tmp_path: Path, log: Log) -> None:
    async with running(tmp_path, log) as sides, following(sides[0]) as reader:
        for side, name in ((sides[0], "one"), (sides[1], "two"), (sides[0], "three")):
            side.feed.publish("v3:a", name, {"of": side.slot.index})
            event, told = await reader.next()
            assert (event, told["event_type"], told["data"]) == (name, name, {"of": side.slot.index})
        assert reader.last_id == f"{sides[0].feed.last_id}-{sides[1].feed.last_id}"


async def test_who_comes_back_to_another_worker_goes_on_behind_all_that_was_read(tmp_path: Path, log: Log) -> None:
    async with running(tmp_path, log) as sides:
        sides[0].feed.publish("v3:a", "before", {})
        async with following(sides[0]) as reader:
            for side in sides:
                side.feed.publish("v3:a", "read", {})
                await reader.next()
        for side in sides:
            side.feed.publish("v3:a", "missed", {"of": side.slot.index})
        async with following(sides[1], reader.last_id) as again:
            missed = [await again.next() for _ in sides]
            sides[0].feed.publish("v3:a", "next", {})
            assert (await again.next())[0] == "next"
        assert sorted((name, told["data"]["of"]) for name, told in missed) == [("missed", 0), ("missed", 1)]


async def test_a_worker_that_goes_is_told_of_and_followed_again_when_it_is_there(tmp_path: Path, log: Log) -> None:
    async with running(tmp_path, log) as sides, following(sides[0]) as reader:
        sides[1].feed.publish("v3:a", "one", {})
        assert (await reader.next())[0] == "one"
        await sides[1].stop()
        event, told = await reader.next()
        assert (event, told["data"]) == ("worker.missing", {"worker": 1})
        sides[0].feed.publish("v3:b", "two", {})
        assert (await reader.next())[0] == "two"
        await sides[1].start()
        sides[1].feed.publish("v3:a", "three", {})
        assert [(await reader.next())[0] for _ in range(2)] == ["feed.gap", "three"]


async def test_who_read_of_another_number_of_workers_is_told_of_the_gap(tmp_path: Path, log: Log) -> None:
    async with running(tmp_path, log) as sides:
        for side in sides:
            side.feed.publish("v3:a", "one", {})
        async with following(sides[0], "123") as reader:
            names = sorted([(await reader.next())[0] for _ in range(4)])
        assert names == ["feed.gap", "feed.gap", "one", "one"]


async def test_there_is_a_bound_on_readers(tmp_path: Path, log: Log) -> None:
    async with running(tmp_path, log) as sides, AsyncExitStack() as readers:
        for _ in range(1000):
            readers.enter_context(sides[1].feed.follow("v3:a", None))
        status, problem = await sides[1].ask("GET", "/v1/events")
        assert (status, problem["detail"]) == (503, "1000 readers follow already")


@pytest.mark.parametrize("last_id", ["x", "-1", "1-", "1--2", "9" * 19, "1-\u0661"])
async def test_an_id_that_no_event_had_is_refused(tmp_path: Path, log: Log, last_id: str) -> None:
    async with running(tmp_path, log) as sides:
        assert (await sides[0].ask("GET", "/v1/events", headers={"Last-Event-ID": last_id}))[0] == 400
