"""The answer to a webhook that was taken: always the same, so it is written down once a second and sent as it is.

aiohttp puts each answer together out of headers, which takes as long as reading the event or finding its call.
"""

from collections.abc import Callable
from email.utils import formatdate

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import SERVER_SOFTWARE

__all__ = ["TakenAnswers"]


class TakenAnswers:
    """Makes the answers.

    Args:
        clock: Unix time, in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._second = -1
        self._answer: _Taken

    def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """200 without a body; in aiohttp's own way where the connection is not to stay open, or is of HTTP/1.0."""
        if request.version != HttpVersion11 or not request.keep_alive:
            return web.Response()
        second = int(self._clock())
        if second != self._second:
            self._second, self._answer = second, _Taken(second)
        return self._answer


class _Taken(web.StreamResponse):
    """For any number of requests: it knows nothing of them."""

    def __init__(self, second: int) -> None:
        super().__init__()
        headers = f"Content-Length: 0\r\nDate: {formatdate(second, usegmt=True)}\r\nServer: {SERVER_SOFTWARE}\r\n"
        self._octets = f"HTTP/1.1 200 OK\r\n{headers}\r\n".encode()

    @property
    def keep_alive(self) -> bool:
        return True

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        await request.writer.write(self._octets)
        await request.writer.drain()
        return request.writer

    async def write_eof(self, data: bytes = b"") -> None:
        """There is no body."""
