"""From one frame to every sink that wants it: a plain call each, and one sink's failure is that sink's."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import count
from typing import Any

from structlog.typing import FilteringBoundLogger

from gateway.media.frame import AudioFrame, FrameTrack
from gateway.sinks.base import ALL_TRACKS, SinkSource, StreamInfo
from gateway.sinks.buffered import WakeAt
from gateway.sinks.events import SinkEvent
from gateway.sinks.preroll import Preroll
from gateway.sinks.resampled import SINK_ERRORS, Resampled
from gateway.sinks.services import SinkServices
from gateway.sinks.slot import SinkSlot
from gateway.weakly import weakly

__all__ = ["FanOut", "Route"]


class FanOut:
    """The sinks of one stream. Frames may come before the sinks run: their slots keep them.

    Args:
        sources: What makes the sinks, by name.
        log: The call's.
        services: What the sinks of all calls share.
        clock: Monotonic seconds.
        wake_at: On the same clock, for the sinks that are behind a buffer; the event loop's own timers if None.
        on_event: Told what happens to the sinks; must not raise.
    """

    def __init__(
        self,
        sources: Mapping[str, SinkSource],
        *,
        log: FilteringBoundLogger,
        services: SinkServices | None = None,
        clock: Callable[[], float] = time.monotonic,
        wake_at: WakeAt | None = None,
        on_event: Callable[[SinkEvent], None] | None = None,
    ) -> None:
        self._services = services or SinkServices()
        self._make_slot = partial(
            SinkSlot,
            log=log,
            services=self._services,
            came=weakly(self._came),
            clock=clock,
            wake_at=wake_at,
            on_event=on_event,
        )
        self._slots: list[SinkSlot] = []
        self._on_failure = weakly(self._failed)
        self._routes: dict[FrameTrack, Route] = {track: Route(self._on_failure) for track in sorted(ALL_TRACKS)}
        self._preroll = Preroll(self._services.preroll) if self._services.preroll > 0 else None
        self._running: tuple[asyncio.TaskGroup, StreamInfo] | None = None
        self._released = False
        for name, source in sources.items():
            self.add(name, source)
        self._sort()

    def write(self, frame: AudioFrame) -> None:
        """Hand a frame to every sink that wants its track. Never raises."""
        self._routes[frame.track].write(frame)

    def route(self, track: FrameTrack) -> "Route":
        """Where the frames of one track go."""
        return self._routes[track]

    def tap(self, track: FrameTrack, write: Callable[[AudioFrame], None] | None) -> None:
        """Have something that is no sink called with each frame of a track, behind the sinks; None: nothing."""
        self._routes[track].tap = write
        self._sort()

    def add(self, name: str, source: SinkSource, *, early: Sequence[AudioFrame] = ()) -> SinkSlot:
        """Give a further sink its place; it opens at once if the others run already.

        Args:
            name: For logs and reports; the second of this name is `name 2` there.
            source: Makes the sink.
            early: What it is to get first, unless it asks for what was heard before, and that is kept.
        """
        taken = {slot.name for slot in self._slots}
        names = (name if number == 1 else f"{name} {number}" for number in count(1))
        slot = self._make_slot(next(name for name in names if name not in taken), source)
        self._slots.append(slot)
        if self._preroll is not None and slot.delivery.preroll > 0:
            early = self._preroll.last(slot.delivery.preroll)
        self._prime(slot, early)
        if self._released:
            slot.close()  # too late
        self._sort()
        if self._running is not None:
            self._run(slot)
        return slot

    def remove(self, name: str) -> bool:
        """Let a sink close while the others go on; it gets what waits for it. Returns whether it heard anything."""
        for slot in self._slots:
            if slot.name == name and not slot.over:
                slot.leave()
                self._sort()
                return True
        return False

    def hears(self, name: str) -> bool:
        """Whether a sink of this name is there and hears, or will."""
        return any(slot.name == name and not slot.over for slot in self._slots)

    def run(self, tasks: asyncio.TaskGroup, info: StreamInfo) -> None:
        """Open the sinks, each in a task of its own, which ends as the sink has closed."""
        self._running = tasks, info
        if self._services.watch is not None:
            self._services.watch.add(self)
        for slot in self._slots:
            self._run(slot)

    def release(self) -> None:
        """Let the sinks close: there will be no further frame."""
        self._running = None
        self._released = True
        if self._services.watch is not None:
            self._services.watch.discard(self)
        for route in self._routes.values():
            for resampled in route.resampled.values():
                resampled.finish()
        for slot in self._slots:
            slot.release()

    def loop_stalled(self) -> None:
        """See `StallWatch`."""
        for slot in self._slots:
            slot.watch()

    def describe(self) -> dict[str, Any]:
        """Each sink's state and counters by its name, as JSON-ready values."""
        return {slot.name: slot.describe() for slot in self._slots}

    def _run(self, slot: SinkSlot) -> None:
        assert self._running is not None
        tasks, info = self._running
        tasks.create_task(slot.run(info, on_change=weakly(self._sort)), name=f"sink {slot.name}")

    def _sort(self) -> None:
        """Note what is to be called with a frame of each track."""
        for track, route in self._routes.items():
            hearing = [slot for slot in self._slots if slot.hears(track)]
            rates = dict.fromkeys(slot.delivery.sample_rate for slot in hearing)
            writes: list[Callable[[AudioFrame], None]] = [] if self._preroll is None else [self._preroll.write]
            resampled = {}
            for rate in rates:
                group = tuple(slot.write for slot in hearing if slot.delivery.sample_rate == rate)
                if rate is None:
                    writes += group
                else:
                    shared = resampled[rate] = route.resampled.get(rate) or Resampled(rate, self._on_failure)
                    shared.writes = group
                    writes.append(shared.write)
            if route.tap is not None:
                writes.append(route.tap)
            route.writes, route.resampled = tuple(writes), resampled

    def _prime(self, slot: SinkSlot, frames: Sequence[AudioFrame]) -> None:
        """Give a sink that joins what was heard before, and so that what follows fits to the sample."""
        rate = slot.delivery.sample_rate
        primed: dict[FrameTrack, Resampled] = {}
        for frame in frames:
            if frame.track not in primed:
                primed[frame.track] = Resampled(rate or frame.sample_rate, self._on_failure, slot.write)
            primed[frame.track].write(frame)
        if rate is not None:
            for track, resampled in primed.items():
                self._routes[track].resampled.setdefault(rate, resampled)

    def _came(self, tracks: Iterable[FrameTrack]) -> int:
        return sum(self._routes[track].frames for track in tracks)

    def _failed(self, write: Callable[[AudioFrame], None], error: BaseException) -> None:
        """A sink raised, or the conversion that some share: there is none between the two rates."""
        for slot in self._slots:
            if slot.write == write or any(
                shared.write == write and slot.write in shared.writes
                for route in self._routes.values()
                for shared in route.resampled.values()
            ):
                slot.fail(error, frames=1)


class Route:
    """One track: how many frames there were, and what is called with each."""

    __slots__ = ("_failed", "frames", "resampled", "tap", "writes")

    def __init__(self, failed: Callable[[Callable[[AudioFrame], None], BaseException], None]) -> None:
        self._failed = failed
        self.frames = 0
        self.tap: Callable[[AudioFrame], None] | None = None
        self.writes: tuple[Callable[[AudioFrame], None], ...] = ()
        self.resampled: dict[int, Resampled] = {}

    def write(self, frame: AudioFrame) -> None:
        """See `FanOut.write`."""
        self.frames += 1
        for write in self.writes:
            try:
                write(frame)
            except SINK_ERRORS as error:
                self._failed(write, error)
