"""What the load calls in these tests: an echo, and others that do it their own way; and a wire without a socket."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import numpy as np
from websockets.asyncio.server import ServerConnection, serve

from gateway.bench.content import Content, make_content
from gateway.bench.plan import CallPlan, parse_target

Media = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def far_side(media: Media) -> AsyncIterator[str]:
    """A media socket; gives its URL."""
    async with serve(media, "127.0.0.1", 0, compression=None) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/media"


async def echo(socket: ServerConnection) -> None:
    """Says each payload back, as Telnyx wants it."""
    async for text in socket:
        message = json.loads(text)
        if message["event"] == "media":
            await socket.send(json.dumps({"event": "media", "media": {"payload": message["media"]["payload"]}}))


async def close_at_once(socket: ServerConnection) -> None:
    await socket.close(1013)


async def read_only(socket: ServerConnection) -> None:
    async for _ in socket:
        pass


@cache
def content(encoding: str = "PCMU", clock_rate: int = 8000, byte_order: Any = "little") -> Content:
    """Three seconds of something like speech: noise with the rhythm of syllables."""
    dice = np.random.default_rng(1)
    time = np.arange(3 * 16_000) / 16_000
    sound = dice.normal(0, 3000, len(time)) * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * time))
    sound = np.convolve(sound, np.ones(8) / 3, "same")
    wide = encoding in ("G722", "OPUS") or clock_rate == 16_000
    samples = sound.astype(np.int16)[:: 1 if wide else 2]
    return make_content(samples, encoding=encoding, clock_rate=clock_rate, byte_order=byte_order)


def plan(url: str, **fields: Any) -> CallPlan:
    return CallPlan(parse_target(url), fields.pop("content", None) or content(), **fields)


class FakeTransport(asyncio.Transport):
    """Keeps what is written: JSON texts as messages, all else as octets."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.waiting = 0
        self.aborted = self.closed = False

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        self.closed = True

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The texts that were sent, read."""
        return [json.loads(_unframed(frame)) for frame in self.written if frame[0] == 0x81]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens elsewhere."""
    async with asyncio.timeout(10):
        for _ in iter(condition, True):
            await asyncio.sleep(0.01)


def _unframed(frame: bytes) -> bytes:
    assert frame[1] & 0x80, "a client masks"
    head = 2 if frame[1] & 0x7F < 126 else 4
    assert frame[head : head + 4] == bytes(4)
    return frame[head + 4 :]


def server_frame(text: bytes | str, first: int = 0x81) -> bytes:
    """What a server sends."""
    octets = text.encode() if isinstance(text, str) else text
    size = len(octets)
    return bytes((first, size) if size < 126 else (first, 126, size >> 8, size & 0xFF)) + octets


def play(payload: bytes) -> bytes:
    return server_frame(json.dumps({"event": "media", "media": {"payload": base64.b64encode(payload).decode()}}))
