"""Events of calls as server-sent events: what a browser's `EventSource` or `curl -N` reads.

Whoever comes back with `Last-Event-ID` goes on behind that event; where some of what followed is not kept any more, a
`feed.gap` says so first. A comment every few seconds shows that the line is alive. A reader that does not read is cut
off, and can come back.

Source: WHATWG HTML, section 9.2.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final

from aiohttp import web

from gateway.control.problems import problem
from gateway.feed import CallEvent, CallFeed

__all__ = ["POSITION", "EventStreams"]

POSITION: Final = "Feed-Position"
"""Header of a stream: the number of the last event before it."""

_HEADERS: Final = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_RETRY_MS: Final = 2000
_SMALL: Final = 16_384  # octets; a quarter of what aiohttp lets wait before a write has to
_HEARTBEAT: Final = b":\n\n"
_AT_ONCE: Final = 50
"""How many missed events are written down in one turn of the event loop."""


class EventStreams:
    """Answers requests with a stream of events.

    Args:
        feed: Where the events come from.
        heartbeat: Seconds of silence after which a comment is sent.
        write_timeout: Seconds that a reader may not read while something waits for it.
        max_readers: How many may follow at once.
    """

    def __init__(
        self, feed: CallFeed, *, heartbeat: float = 15.0, write_timeout: float = 10.0, max_readers: int = 1000
    ) -> None:
        self._feed = feed
        self._heartbeat = heartbeat
        self._write_timeout = write_timeout
        self._max_readers = max_readers
        self._streams: set[asyncio.Task[None]] = set()

    async def close(self, _: web.Application | None = None) -> None:
        """End every stream: none of them would end by itself."""
        for stream in self._streams:
            stream.cancel()

    async def answer(self, request: web.Request, call_control_id: str | None) -> web.StreamResponse:
        """Send the events of a call, or of all calls, until the reader leaves or does not read.

        Args:
            request: May have `Last-Event-ID`.
            call_control_id: Of the call; None for all.
        """
        text = request.headers.get("Last-Event-ID", "")
        if text and not (text.isascii() and text.isdigit() and len(text) <= 18):
            return problem(400, f"Last-Event-ID is {text[:20]!r}, want a number that an event had")
        if (refusal := self.refusal()) is not None:
            return refusal
        with self._feed.follow(call_control_id, int(text) if text else None) as (reader, missed):

            async def read() -> bytes | None:
                events = await reader.read()
                return None if reader.dropped else _lines(events)

            headers = {POSITION: str(self._feed.last_id)}
            return await self.send(request, await _many_lines(missed), read, headers)

    def refusal(self) -> web.Response | None:
        """What whoever wants to follow is told where there is no room; else None."""
        if self._feed.readers < self._max_readers:
            return None
        return problem(503, f"{self._max_readers} readers follow already", headers={"Retry-After": "5"})

    async def send(
        self,
        request: web.Request,
        first: bytes,
        read: Callable[[], Awaitable[bytes | None]],
        headers: Mapping[str, str] | None = None,
    ) -> web.StreamResponse:
        """Send a stream of events until the reader leaves or does not read.

        Args:
            request: What it answers.
            first: What stands at its beginning.
            read: Waits for what follows; None ends the stream, as the reader does not read. May be cancelled.
            headers: Beside those that each stream has.
        """
        response = web.StreamResponse(headers={**_HEADERS, **(headers or {})})
        # Not by a cancelled handler: the server would then tell nothing of the end.
        async with asyncio.TaskGroup() as tasks:
            stream = tasks.create_task(self._send(request, response, first, read), name="events")
            self._streams.add(stream)
            stream.add_done_callback(self._streams.discard)
        return response

    async def _send(
        self,
        request: web.Request,
        response: web.StreamResponse,
        first: bytes,
        read: Callable[[], Awaitable[bytes | None]],
    ) -> None:
        with suppress(ConnectionError):
            try:
                await response.prepare(request)
                text: bytes | None = f"retry: {_RETRY_MS}\n\n".encode() + first
                while text is not None:
                    await self._write(request, response, text)
                    try:
                        async with asyncio.timeout(self._heartbeat):
                            text = await read()
                    except TimeoutError:
                        text = _HEARTBEAT
                _cut(request)
            except TimeoutError:  # of a write
                self._feed.readers_dropped += 1
                _cut(request)

    async def _write(self, request: web.Request, response: web.StreamResponse, text: bytes) -> None:
        if not text:
            return
        if len(text) <= _SMALL and request.transport is not None and not request.transport.get_write_buffer_size():
            await response.write(text)  # cannot have to wait
            return
        async with asyncio.timeout(self._write_timeout):
            await response.write(text)


def _cut(request: web.Request) -> None:
    """End a connection whose other side may not read: a polite end would wait in the same queue."""
    if request.transport is not None:
        request.transport.abort()


async def _many_lines(events: list[CallEvent]) -> bytes:
    """A few in each turn of the event loop: one that nobody has read yet takes some 10 us to write down."""
    pieces = []
    for start in range(0, len(events), _AT_ONCE):
        pieces.append(_lines(events[start : start + _AT_ONCE]))
        await asyncio.sleep(0)
    return b"".join(pieces)


def _lines(events: list[CallEvent]) -> bytes:
    return b"".join(
        b"id: %d\nevent: %b\ndata: %b\n\n" % (event.id, event.event_type.encode(), event.text) for event in events
    )
