"""The sound between a sink's task, which brings it, and a connection's, which takes it."""

import asyncio
from collections.abc import Callable
from typing import Final

from gateway.media.frame import AudioFrame
from gateway.transcribe.audio import AudioFormat, Chunk, Packer
from gateway.transcribe.outbox import Outbox

__all__ = ["LEAST", "Supply"]

LEAST: Final = 0.06  # seconds of sound in a chunk; three frames, and more than the 50 ms that AssemblyAI wants

_SILENT: Final = 1.0  # seconds without a frame after which a pause is made


class Supply:
    """Frames in, chunks out, as often as need be.

    Args:
        audio: What the chunks are to be.
        encoding: Of the frames' payloads.
        seconds: How much is kept until it is acknowledged.
        clock: Monotonic seconds.

    Attributes:
        outbox: What is kept.
        ended: No frame will come.
    """

    def __init__(self, audio: AudioFormat, encoding: str, *, seconds: float, clock: Callable[[], float]) -> None:
        self.outbox = Outbox(audio, seconds, least=LEAST)
        self.ended = False
        self._packer = Packer(audio, encoding, self.outbox.push, least=LEAST)
        self._clock = clock
        self._came_at = clock()
        self._more = asyncio.Event()
        self._room = asyncio.Event()

    async def put(self, frame: AudioFrame) -> None:
        """Bring a frame; waits while there is no room."""
        while self.outbox.full and not self.ended:
            self._room.clear()
            await self._room.wait()
        self._came_at = self._clock()
        self._packer.push(frame)
        if self.outbox.unsent:
            self._more.set()

    def end(self) -> None:
        """No frame will come; who waits for room does so no longer."""
        if not self.ended:
            self._packer.finish()
            self.ended = True
        self._more.set()
        self._room.set()

    def take(self) -> Chunk | None:
        """What is to be sent next; None if there is nothing yet."""
        chunk = self.outbox.pop()
        if chunk is None and not self.ended and self._clock() - self._came_at >= _SILENT:
            self._packer.pause()
            chunk = self.outbox.pop()
        if not self.outbox.full:
            self._room.set()
        return chunk

    def acknowledge(self, position: float) -> None:
        """All up to here is understood."""
        self.outbox.acknowledge(position)
        if not self.outbox.full:
            self._room.set()

    async def wait(self) -> None:
        """Wait until there is something to take, or the end; a second at most."""
        self._more.clear()
        if not self.outbox.unsent and not self.ended:
            try:
                async with asyncio.timeout(_SILENT):
                    await self._more.wait()
            except TimeoutError:
                pass
