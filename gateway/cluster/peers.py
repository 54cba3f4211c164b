"""Requests from worker to worker, over Unix sockets in a folder that nobody else may enter.

A worker that has died is being restarted: what finds nobody waits for that a few seconds. What may be sent twice is
sent again when it breaks off, and goes over connections that are kept: those may end in a process that is gone. All
else has a connection of its own, and is only sent again where nobody was there to take it.
"""

import asyncio
import io
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, NamedTuple, Self

import aiohttp
from yarl import URL

from gateway.cluster.slot import WorkerSlot
from gateway.errors import WorkerGoneError

__all__ = ["Answer", "Peers"]

_AGAIN: Final = 0.05
_CONNECT: Final = 2.0
_SILENCE: Final = 60.0  # more than a stream of events is silent


class Answer(NamedTuple):
    """What a worker has answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Peers:
    """All workers, this one included; an async context manager.

    Args:
        slot: Which worker this is.
    """

    def __init__(self, slot: WorkerSlot) -> None:
        self.slot = slot
        self._stack = AsyncExitStack()
        self._once: list[aiohttp.ClientSession] = []
        self._kept: list[aiohttp.ClientSession] = []

    async def __aenter__(self) -> Self:
        for worker in range(self.slot.count):
            for sessions in (self._once, self._kept):
                session = aiohttp.ClientSession(
                    connector=aiohttp.UnixConnector(
                        str(self.slot.http_path(worker)), limit=0, force_close=sessions is self._once
                    ),
                    cookie_jar=aiohttp.DummyCookieJar(),
                    auto_decompress=False,
                    skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT, sock_read=_SILENCE),
                )
                sessions.append(await self._stack.enter_async_context(session))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @asynccontextmanager
    async def request(
        self,
        worker: int,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        patience: float = 5.0,
        kept: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request, and give its answer to be read while the context lasts.

        Args:
            worker: To whom.
            method: Of HTTP.
            path: As it stands in the request line.
            body: May be empty.
            headers: May be of any number.
            patience: Seconds that a worker may not be there.
            kept: Whether it may go over a connection that was there before.

        Raises:
            WorkerGoneError: It was not there; nothing was sent.
            aiohttp.ClientError, TimeoutError: It broke off.
        """
        url = URL(f"http://worker-{worker}{path}", encoded=True)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        while True:
            try:
                answer = await (self._kept if kept else self._once)[worker].request(
                    method, url, data=io.BytesIO(body) if body else None, headers=headers, allow_redirects=False
                )
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
                if loop.time() + _AGAIN > deadline:
                    raise WorkerGoneError(f"worker {worker} is not there") from error
                await asyncio.sleep(_AGAIN)
            else:
                async with answer:
                    yield answer
                return

    async def ask(
        self, worker: int, method: str, path: str, *, body: bytes = b"", patience: float = 5.0, timeout: float = 10.0
    ) -> Answer:
        """Send a request that may be sent twice, and read its answer.

        Args:
            worker: To whom.
            method: Of HTTP.
            path: As it stands in the request line.
            body: May be empty.
            patience: Seconds that the worker may not be there.
            timeout: Seconds that all of it may take.

        Raises:
            WorkerGoneError: There was no answer.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        try:
            async with asyncio.timeout(timeout):
                while True:
                    try:
                        left = max(0.0, deadline - loop.time())
                        async with self.request(worker, method, path, body=body, patience=left, kept=True) as answer:
                            return Answer(answer.status, dict(answer.headers), await answer.read())
                    except aiohttp.ClientError as error:
                        if loop.time() + _AGAIN > deadline:
                            raise WorkerGoneError(f"worker {worker} broke off: {type(error).__name__}") from error
                        await asyncio.sleep(_AGAIN)
        except TimeoutError as error:
            raise WorkerGoneError(f"worker {worker} has not answered within {timeout:g} s") from error

    async def ask_all(self, path: str, *, timeout: float = 2.0) -> list[Answer | None]:
        """Ask every worker, this one included, at the same time; None for each that does not answer in time."""

        async def one(worker: int) -> Answer | None:
            try:
                return await self.ask(worker, "GET", path, patience=0.0, timeout=timeout)
            except WorkerGoneError:
                return None

        return await asyncio.gather(*(one(worker) for worker in range(self.slot.count)))
