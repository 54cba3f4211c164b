"""HTTP requests that came to the wrong worker: passed on as they are to the one that has the call, and its answer back.

Where that one is being restarted, the request waits a few seconds for it, and is then refused; one that was sent is
never sent again. What came from another worker is never passed on.
"""

import zlib
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import aiohttp
from aiohttp import web
from aiohttp.typedefs import Middleware
from multidict import CIMultiDict

from gateway.cluster.owners import Owners
from gateway.cluster.peers import Peers
from gateway.control.bodies import BodyError, read_body
from gateway.control.problems import Handler
from gateway.errors import WorkerGoneError

__all__ = ["PASSING", "Passing", "Refuse"]

Refuse: TypeAlias = Callable[[int, str, Mapping[str, str]], web.StreamResponse]
"""Makes an answer of a status, what went wrong, and headers."""

_MAX_BODY_BYTES: Final = 4 * 2**20  # as much as any of our routes takes
_RETRY_AFTER: Final = {"Retry-After": "2"}
_OF_THE_CONNECTION: Final = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that are not of the message; RFC 9110, section 7.6.1. A length is told anew where there is one."""


class Passing:
    """Passes requests on.

    Args:
        owners: Know whose a call is.
        peers: The other workers.
        refuse: Makes the answers where nobody else can.
        patience: Seconds that a worker may not be there.

    Attributes:
        passed: How many.
    """

    def __init__(self, owners: Owners, peers: Peers, *, refuse: Refuse, patience: float = 5.0) -> None:
        self.passed = 0
        self._owners = owners
        self._peers = peers
        self._refuse = refuse
        self._patience = patience
        self._streams: set[aiohttp.ClientResponse] = set()

    async def close(self, _: web.Application | None = None) -> None:
        """End the streams that were passed on: none of them would end by itself."""
        for stream in self._streams:
            stream.close()

    def middleware(self) -> Middleware:
        """For routes with the id of a call in their path."""

        @web.middleware
        async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
            call_control_id = request.match_info.get("call_control_id")
            owner = None if call_control_id is None else self._owners.owner_of(call_control_id)
            if owner is None or owner == self._owners.slot.index:
                return await handler(request)
            try:
                body = await read_body(request, max_bytes=_MAX_BODY_BYTES) if request.body_exists else b""
            except BodyError as error:
                return self._refuse(error.status, str(error), {})
            return await self._pass_on(request, body, owner)

        return middleware

    async def by_body(self, request: web.Request, body: bytes) -> web.StreamResponse | None:
        """Pass a request on that must find the same worker each time it comes; None where that is this one."""
        worker = zlib.crc32(body) % self._owners.slot.count
        return None if worker == self._owners.slot.index else await self._pass_on(request, body, worker)

    async def _pass_on(self, request: web.Request, body: bytes, worker: int) -> web.StreamResponse:
        try:
            async with self._peers.request(
                worker,
                request.method,
                request.rel_url.raw_path_qs,
                body=body,
                headers=_of_the_message(request.headers),
                patience=self._patience,
            ) as answer:
                self.passed += 1
                if answer.content_type == "text/event-stream":
                    self._streams.add(answer)
                try:
                    return await _hand_back(request, answer)
                finally:
                    self._streams.discard(answer)
        except WorkerGoneError as error:
            return self._refuse(503, str(error), _RETRY_AFTER)
        except (aiohttp.ClientError, TimeoutError) as error:  # it may have acted
            return self._refuse(502, f"worker {worker} broke off: {type(error).__name__}", {})


PASSING: Final = web.AppKey("PASSING", Passing)
"""What an application passes requests on by; there is none where they come from other workers."""


async def _hand_back(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=_of_the_message(answer.headers))
    length = answer.headers.get("Content-Length")
    if length is not None:
        response.content_length = int(length)
    await response.prepare(request)
    try:
        async for octets in answer.content.iter_any():
            await response.write(octets)
        await response.write_eof()
    except (aiohttp.ClientError, TimeoutError, ConnectionError):  # of either side: what was begun cannot end well
        if request.transport is not None:
            request.transport.abort()
    return response


def _of_the_message(headers: Mapping[str, str]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in _OF_THE_CONNECTION)
