"""From one frame to every sink that wants it: a plain call each, and one sink's failure is that sink's."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from structlog.typing import FilteringBoundLogger

from gateway.media.frame import AudioFrame
from gateway.sinks.base import SinkFactory, StreamInfo
from gateway.sinks.slot import SinkSlot

__all__ = ["FanOut"]


class FanOut:
    """The sinks of one stream. Frames may come before the sinks run: their slots keep them.

    Args:
        factories: The sinks to open, by name.
        log: The call's.
    """

    def __init__(self, factories: Mapping[str, SinkFactory], *, log: FilteringBoundLogger) -> None:
        self._log = log
        self._slots: list[SinkSlot] = []
        self._hearing: dict[str, tuple[Callable[[AudioFrame], None], ...]] = {}
        self._running: tuple[asyncio.TaskGroup, StreamInfo] | None = None
        self._sort()
        for name, factory in factories.items():
            self.add(name, factory)

    def write(self, frame: AudioFrame) -> None:
        """Hand a frame to every sink that wants its track. Never raises."""
        for write in self._hearing[frame.track]:
            try:
                write(frame)
            except Exception as error:  # noqa: BLE001 - one sink's failure is that sink's
                self._failed(write, error)

    def add(self, name: str, factory: SinkFactory) -> SinkSlot:
        """Give a further sink its place; it opens at once if the others run already."""
        if any(slot.name == name for slot in self._slots):
            name = f"{name} {len(self._slots) + 1}"  # each has its own line in the report
        slot = SinkSlot(name, factory, log=self._log)
        self._slots.append(slot)
        self._sort()
        if self._running is not None:
            self._run(slot)
        return slot

    def run(self, tasks: asyncio.TaskGroup, info: StreamInfo) -> None:
        """Open the sinks, each in a task of its own, which ends as the sink has closed."""
        self._running = tasks, info
        for slot in self._slots:
            self._run(slot)

    def release(self) -> None:
        """Let the sinks close: there will be no further frame."""
        self._running = None
        for slot in self._slots:
            slot.release()

    def describe(self) -> dict[str, Any]:
        """Each sink's state by its name, as JSON-ready values."""
        return {slot.name: slot.describe() for slot in self._slots}

    def _run(self, slot: SinkSlot) -> None:
        assert self._running is not None
        tasks, info = self._running
        tasks.create_task(slot.run(info, on_change=self._sort), name=f"sink {slot.name}")

    def _sort(self) -> None:
        """Note what is to be called with a frame of each track."""
        for track in ("inbound", "outbound", "played"):
            self._hearing[track] = tuple(slot.write for slot in self._slots if slot.hears(track))

    def _failed(self, write: Callable[[AudioFrame], None], error: Exception) -> None:
        for slot in self._slots:
            if slot.write == write:
                slot.fail(error)
        self._sort()
