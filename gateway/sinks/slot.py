"""The place of one sink in one call: it keeps the sink's life, and keeps its failures from everything else.

Opening a sink may take time, and sound does not wait: what comes before the sink is open is kept, up to a bound, and
handed over first.
"""

import asyncio
import enum
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from structlog.typing import FilteringBoundLogger

from gateway.media.frame import AudioFrame, FrameTrack
from gateway.sinks.base import AudioSink, SinkFactory, StreamInfo

__all__ = ["SinkSlot", "SinkState"]

_EARLY_FRAMES = 250
"""Five seconds of one track at 20 ms."""


class SinkState(enum.StrEnum):
    """Where a sink stands."""

    OPENING = "opening"
    OPEN = "open"
    FAILED = "failed"
    CLOSED = "closed"


class SinkSlot:
    """Runs one sink for one stream.

    Args:
        name: As in the settings; for logs and reports.
        factory: Opens the sink.
        log: The call's.
        open_timeout: Seconds the sink may take to open, and close_timeout to close.
        close_timeout: See `open_timeout`.
    """

    def __init__(
        self,
        name: str,
        factory: SinkFactory,
        *,
        log: FilteringBoundLogger,
        open_timeout: float = 10.0,
        close_timeout: float = 30.0,
    ) -> None:
        self.name = name
        self.state = SinkState.OPENING
        self.error: str | None = None
        self.frames_dropped = 0
        self.tracks: frozenset[FrameTrack] = frozenset({"inbound", "outbound", "played"})
        self.write: Callable[[AudioFrame], None] = self._keep
        self._factory = factory
        self._log = log.bind(sink=name)
        self._open_timeout = open_timeout
        self._close_timeout = close_timeout
        self._early: deque[AudioFrame] = deque(maxlen=_EARLY_FRAMES)
        self._sink: AudioSink | None = None
        self._released = asyncio.Event()

    async def run(self, info: StreamInfo, *, on_change: Callable[[], None]) -> None:
        """Open the sink, keep it until it is released or fails, close it. Never raises but for cancellation.

        Args:
            info: What the sink is opened for.
            on_change: Called when `tracks` or `write` have changed.
        """
        try:
            context = self._factory(info)
            async with asyncio.timeout(self._open_timeout):
                sink = await context.__aenter__()
        except Exception as error:  # noqa: BLE001 - whatever a sink raises is its own failure
            self.fail(error)
            on_change()
            return
        try:
            self._adopt(sink)
            on_change()
            await self._released.wait()
        finally:
            self.write = self._refuse
            on_change()
            try:
                async with asyncio.timeout(self._close_timeout):
                    await context.__aexit__(None, None, None)
            except Exception as error:  # noqa: BLE001 - as above
                self.fail(error)
            if self.state is not SinkState.FAILED:
                self.state = SinkState.CLOSED

    def hears(self, track: FrameTrack) -> bool:
        """Whether frames of this track go to the sink; a failed sink hears nothing."""
        return track in self.tracks and self.state is not SinkState.FAILED

    def release(self) -> None:
        """Let the sink close."""
        self._released.set()

    def fail(self, error: Exception) -> None:
        """Stop the sink for good; the call goes on without it."""
        if self.state is not SinkState.FAILED:
            self.state = SinkState.FAILED
            self.error = f"{type(error).__name__}: {error}"[:500]
            self._log.error("sink failed", error=self.error)
        self.write = self._refuse
        self._early.clear()
        self.release()

    def describe(self) -> dict[str, Any]:
        """The sink's state as JSON-ready values, with what it tells of itself."""
        described = {"state": self.state.value, "error": self.error, "frames_dropped": self.frames_dropped}
        own: Callable[[], Mapping[str, Any]] | None = getattr(self._sink, "describe", None)
        if own is None:
            return described
        try:
            return described | dict(own())
        except Exception as error:  # noqa: BLE001 - as above; the report of the call must not fail with it
            return described | {"problem": f"cannot describe itself: {type(error).__name__}"}

    def _adopt(self, sink: AudioSink) -> None:
        self._sink = sink
        try:
            self.tracks = sink.tracks
            while self._early:  # an agent's sink may make further frames while it takes these
                frame = self._early.popleft()
                if frame.track in self.tracks:
                    sink.write(frame)
        except Exception as error:  # noqa: BLE001 - as above
            self.fail(error)
            return
        self.state = SinkState.OPEN
        self.write = sink.write

    def _keep(self, frame: AudioFrame) -> None:
        if len(self._early) == _EARLY_FRAMES:
            self.frames_dropped += 1
        self._early.append(frame)

    def _refuse(self, frame: AudioFrame) -> None:
        del frame
        self.frames_dropped += 1
