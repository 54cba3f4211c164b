"""A transcriber that is watched: an agent that has become deaf must not go on."""

from collections.abc import Callable
from typing import Any

from gateway.media.frame import AudioFrame
from gateway.sinks.base import AsyncAudioSink
from gateway.sinks.delivery import delivery_of
from gateway.sinks.worker import describe

__all__ = ["Watched"]


class Watched:
    """Hands frames on.

    Args:
        sink: The transcriber.
        on_failure: Told what it raises, before its call is.
    """

    def __init__(self, sink: AsyncAudioSink, on_failure: Callable[[Exception], None]) -> None:
        self.tracks = sink.tracks
        self.delivery = delivery_of(sink)
        self._sink = sink
        self._on_failure = on_failure

    async def write(self, frame: AudioFrame) -> None:
        """Hand a frame on."""
        try:
            await self._sink.write(frame)
        except Exception as error:
            self._on_failure(error)
            raise

    def describe(self) -> dict[str, Any]:
        """What the transcriber tells of itself."""
        return describe(self._sink)
