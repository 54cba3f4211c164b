"""What happens in the calls of all workers, as one stream of server-sent events.

Each worker numbers its own events; the id of an event here says how far the stream has come with every one of them, so
that whoever comes back goes on behind all that was read. A worker that is not there is told of, and followed again
when it is.
"""

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import aiohttp
from aiohttp import web

from gateway.cluster.peers import Peers
from gateway.control.problems import problem
from gateway.control.sse import POSITION, EventStreams
from gateway.errors import WorkerGoneError

__all__ = ["GatheredEvents"]

_LAST_ID: Final = re.compile(r"[0-9]{1,18}(-[0-9]{1,18}){0,63}", re.ASCII)
_AGAIN: Final = 0.25
_AT_FIRST: Final = 2.0
"""Seconds that the stream waits for the workers before it begins without those that are not there."""
_MAX_WAITING: Final = 100
_MOST_AT_ONCE: Final = 50


class _Source:
    """One worker's events on their way into a stream."""

    def __init__(self, worker: int, last_id: str | None) -> None:
        self.worker = worker
        self.read_to = last_id  # what the worker was asked for, or has told
        self.told_to = last_id or "0"  # what has gone out
        self.begun = asyncio.Event()


class GatheredEvents:
    """Answers requests with the events of all workers.

    Args:
        peers: All of them.
        streams: Sends.
        clock: Unix time, in seconds.
    """

    def __init__(self, peers: Peers, streams: EventStreams, *, clock: Callable[[], float] = time.time) -> None:
        self._peers = peers
        self._streams = streams
        self._clock = clock

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Send the events until the reader leaves or does not read."""
        text = request.headers.get("Last-Event-ID", "")
        if text and not _LAST_ID.fullmatch(text):
            return problem(400, f"Last-Event-ID is {text[:20]!r}, want what an event had")
        if (refusal := self._streams.refusal()) is not None:
            return refusal
        sources = _sources(text, self._peers.slot.count)
        waiting: asyncio.Queue[tuple[_Source, str, bytes]] = asyncio.Queue(_MAX_WAITING)
        headers = {"Authorization": request.headers.get("Authorization", "")}

        async def read() -> bytes:
            blocks = [_block(sources, *await waiting.get())]
            while len(blocks) < _MOST_AT_ONCE and not waiting.empty():
                blocks.append(_block(sources, *waiting.get_nowait()))
            return b"".join(blocks)

        async with asyncio.TaskGroup() as tasks:
            following = [
                tasks.create_task(self._follow(source, headers, waiting.put), name=f"events of worker {source.worker}")
                for source in sources
            ]
            try:
                begun = [tasks.create_task(source.begun.wait()) for source in sources]
                await asyncio.wait(begun, timeout=_AT_FIRST)
                return await self._streams.send(request, b"", read)
            finally:
                for task in (*following, *begun):
                    task.cancel()

    async def _follow(
        self,
        source: _Source,
        headers: Mapping[str, str],
        put: Callable[[tuple[_Source, str, bytes]], Awaitable[None]],
    ) -> None:
        there = True
        while True:
            position = {} if source.read_to is None else {"Last-Event-ID": source.read_to}
            try:
                async with self._peers.request(
                    source.worker, "GET", "/v1/events", headers={**headers, **position}, patience=0.0
                ) as answer:
                    if answer.status == 200:
                        there = True
                        if source.read_to is None:
                            source.read_to = source.told_to = answer.headers[POSITION]
                        source.begun.set()
                        while (block := await answer.content.readuntil(b"\n\n")).endswith(b"\n\n"):
                            if block.startswith(b"id: "):
                                first, _, rest = block.partition(b"\n")
                                source.read_to = first[4:].decode()
                                await put((source, source.read_to, rest))
            except (WorkerGoneError, aiohttp.ClientError, TimeoutError, ValueError):
                pass  # told below
            if there:
                there = False
                await put((source, source.read_to or "0", self._missing(source.worker)))
            await asyncio.sleep(_AGAIN)

    def _missing(self, worker: int) -> bytes:
        event = {
            "at": round(self._clock(), 6),
            "call_control_id": None,
            "event_type": "worker.missing",
            "data": {"worker": worker},
        }
        return b"event: worker.missing\ndata: %b\n\n" % json.dumps(event).encode()


def _sources(last_id: str, count: int) -> list[_Source]:
    positions: list[str | None] = list(last_id.split("-")) if last_id else [None] * count
    if len(positions) != count:  # there were more workers, or fewer: everybody begins with what is kept
        positions = ["0"] * count
    return [_Source(worker, position) for worker, position in enumerate(positions)]


def _block(sources: list[_Source], source: _Source, number: str, rest: bytes) -> bytes:
    source.told_to = number
    return b"id: %b\n%b" % ("-".join(one.told_to for one in sources).encode(), rest)
