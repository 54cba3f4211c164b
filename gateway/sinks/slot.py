"""The place of one sink in one call: it keeps the sink's life, and keeps its failures from everything else.

    opening ----> open ----> closed
       ^           | |
    restarting <---+ +---> removed     it kept the event loop too long, too often
       |           |
       +-------> failed                it raised, or its worker is gone

Sound does not wait for any of this: what comes before the sink is open, and while it is to be restarted, waits in its
buffer and is handed over first. A sink that never waits is then called directly; the others get everything through the
buffer, from their worker.
"""

import asyncio
import enum
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NoReturn

from structlog.typing import FilteringBoundLogger

from gateway.errors import SinkError
from gateway.media.frame import AudioFrame, FrameTrack
from gateway.sinks.base import ALL_TRACKS, SinkSource, StreamInfo
from gateway.sinks.budget import LoopBudget
from gateway.sinks.buffered import Buffered, WakeAt
from gateway.sinks.delivery import delivery_of
from gateway.sinks.direct import DirectSink
from gateway.sinks.events import SinkDropping, SinkEvent, SinkFailed, SinkRemoved, SinkRestarted
from gateway.sinks.feeding import Rest, feed, open_worker
from gateway.sinks.restarts import Restarts
from gateway.sinks.services import SinkServices
from gateway.sinks.tally import Tally
from gateway.sinks.worker import Worker, own_error
from gateway.weakly import weakly

__all__ = ["SinkSlot", "SinkState"]


class SinkState(enum.StrEnum):
    """Where a sink stands."""

    OPENING = "opening"
    OPEN = "open"
    RESTARTING = "restarting"
    FAILED = "failed"
    REMOVED = "removed"
    CLOSED = "closed"


_OVER: Final = frozenset({SinkState.FAILED, SinkState.REMOVED, SinkState.CLOSED})


class SinkSlot:
    """Runs one sink for one stream.

    Args:
        name: For logs and reports.
        source: Makes the sink.
        log: The call's.
        services: What the sinks of all calls share.
        came: Tells how many frames of some tracks there were so far.
        clock: Monotonic seconds.
        wake_at: On the same clock; the event loop's own timers if None.
        on_event: Told what happens to the sink.

    Attributes:
        name: As given.
        delivery: What the sink asks for.
        state: Where it stands.
        error: What it failed with last, or why it was removed.
        tracks: What it wants to hear.
        write: Where its frames go at present.
        tally: What became of its frames; who calls `write` says there how many came.
    """

    def __init__(
        self,
        name: str,
        source: SinkSource,
        *,
        log: FilteringBoundLogger,
        services: SinkServices | None = None,
        came: Callable[[frozenset[FrameTrack]], int],
        clock: Callable[[], float] = time.monotonic,
        wake_at: WakeAt | None = None,
        on_event: Callable[[SinkEvent], None] | None = None,
    ) -> None:
        self.name = name
        self.delivery = delivery_of(source)
        self.state = SinkState.OPENING
        self.error: str | None = None
        self.tracks: frozenset[FrameTrack] = ALL_TRACKS
        self.tally = Tally(weakly(self._came))
        self._source = source
        self._log = log.bind(sink=name)
        self._services = services or SinkServices()
        self._frames_of = came
        self._clock = clock
        self._on_event = on_event
        self._on_change: Callable[[], None] = lambda: None
        self._buffer = Buffered(
            self.delivery,
            clock=clock,
            wake_at=wake_at or partial(_wake_by_loop, clock),
            spill_folder=self._services.spill_folder,
            on_drop=weakly(self._dropping),
        )
        self._budget = LoopBudget(self._services.budget, clock=clock, on_spent=weakly(self._remove))
        self.write: Callable[[AudioFrame], None] = self._buffer.write
        self._worker: Worker | None = None
        self._described: Callable[[], dict[str, Any]] = dict
        self._restarts = Restarts(self.delivery.restart)
        self._restart_in = 0.0
        self._stop: asyncio.Future[Rest] | None = None
        self._released = False
        self._left = False

    # --- its life -------------------------------------------------------------------------------------------------

    async def run(self, info: StreamInfo, *, on_change: Callable[[], None]) -> None:
        """Open the sink, keep it until it is released or fails, close it. Never raises but for cancellation.

        Args:
            info: What the sink is opened for.
            on_change: Called when `hears` or `write` have changed.
        """
        self._on_change = on_change
        try:
            if self.state is SinkState.OPENING:  # its buffer may have overflowed before
                await self._live(info)
            while self.state is SinkState.RESTARTING:
                if not self._released:
                    self._stop = asyncio.get_running_loop().create_future()
                    await asyncio.wait((self._stop,), timeout=self._restart_in)
                if self._released and not self._buffer.waiting:
                    break  # else it is opened once more, for what waits for it
                await self._live(info)
        finally:
            self.close()

    def hears(self, track: FrameTrack) -> bool:
        """Whether frames of this track go to `write`."""
        return track in self.tracks and self.state not in _OVER and not self._left

    @property
    def over(self) -> bool:
        """Whether it hears nothing any more, and will not again."""
        return self.state in _OVER or self._left

    def release(self) -> None:
        """Let the sink close, once it was given what waits."""
        self._released = True
        self._buffer.close()
        self._halt(Rest.DELIVER)

    def leave(self) -> None:
        """Let the sink close while the call goes on: it gets what waits, and nothing further, which counts no more."""
        if self.over:
            return
        self._left = True
        came = self.tally.came()
        self.tally.end_direct()
        self.tally.came = lambda: came
        self.release()
        self._on_change()

    def close(self) -> None:
        """It is over: keep what the sink tells of itself, and not the sink, which may know the call with this slot."""
        if self.state not in _OVER:
            self._end(SinkState.FAILED if self.state is SinkState.RESTARTING else SinkState.CLOSED)
        description = self._description()
        self._described = lambda: description
        self._source = _no_sink

    def watch(self) -> None:
        """The event loop stood still: time this sink's next calls."""
        if isinstance(self._worker, DirectSink):
            self._worker.watch()

    def fail(self, error: BaseException, *, frames: int = 0) -> None:
        """Stop the sink; the call goes on without it, for ever or until it is restarted.

        Args:
            error: Why.
            frames: How many came that it did not take.
        """
        if self.state in _OVER or self.state is SinkState.RESTARTING:
            return
        self.error = f"{type(error).__name__}: {error}"[:500]
        self.tally.fail(frames)
        delay = None if self._released else self._restarts.failed(now=self._clock())
        if delay is None:
            self._log.error("sink failed", error=self.error)
            self._end(SinkState.FAILED)
        else:
            self._log.warning("sink failed", error=self.error, restart_in=delay)
            self._restart_in = delay
            self._enter(SinkState.RESTARTING, self._buffer.write)
        self._tell(SinkFailed(self.name, self.error, delay))
        self._halt(Rest.KEEP)

    async def _live(self, info: StreamInfo) -> None:
        """One life of the sink, from opening to closing."""
        delivery, buffer = self.delivery, self._buffer
        self.state = SinkState.OPENING
        self._stop = stop = asyncio.get_running_loop().create_future()
        if self._released:
            stop.set_result(Rest.DELIVER)
        context = open_worker(
            self._source,
            info,
            delivery,
            budget=self._budget,
            processes=self._services.processes,
            on_change=weakly(self._call_changed),
        )
        try:
            async with asyncio.timeout(delivery.open_timeout) as limit:
                worker = await context.__aenter__()
        except BaseException as error:  # noqa: BLE001 - whatever a sink raises is its own failure
            self.fail(_explained(own_error(error), limit, f"not open after {delivery.open_timeout:g} s"))
            return
        popped = buffer.popped
        try:
            if self.state is SinkState.OPENING:  # it may have failed meanwhile: its buffer overflowed
                self._adopt(worker)
                failure = await feed(worker, buffer, stop=stop, close_timeout=delivery.close_timeout)
                if failure is not None:
                    self.fail(failure)
        except Exception as error:  # noqa: BLE001 - as above
            self.fail(error)
        finally:
            self.tally.end_direct()
            try:
                async with asyncio.timeout(delivery.close_timeout) as limit:
                    await context.__aexit__(None, None, None)
            except BaseException as error:  # noqa: BLE001 - as above
                self.fail(_explained(own_error(error), limit, f"not closed after {delivery.close_timeout:g} s"))
            self._worker = None
            self.tally.taken += worker.frames
            self.tally.lost += buffer.popped - popped - worker.frames

    def _adopt(self, worker: Worker) -> None:
        self._worker = worker
        self._described = worker.describe
        if not worker.tracks <= ALL_TRACKS:
            raise SinkError(f"it wants the tracks {sorted(worker.tracks)}; there are {sorted(ALL_TRACKS)}")
        self.tracks = worker.tracks
        self._buffer.keep(worker.tracks)
        self._enter(SinkState.OPEN, self._buffer.write)
        if self._restarts.opened(now=self._clock()):
            self._log.info("sink restarted", restarts=self._restarts.count)
            self._tell(SinkRestarted(self.name, self._restarts.count))

    def _remove(self, reason: str) -> None:
        """The sink has kept the event loop too long, too often."""
        if self.state in _OVER:
            return
        self.error = reason
        self._log.error("sink removed", reason=reason)
        self._end(SinkState.REMOVED)
        self._tell(SinkRemoved(self.name, reason))
        self._halt(Rest.KEEP)

    def _enter(self, state: SinkState, write: Callable[[AudioFrame], None]) -> None:
        self.state = state
        self.write = write
        self._on_change()

    def _end(self, state: SinkState) -> None:
        self._buffer.discard()
        self.tally.end()
        self._enter(state, _ignore)

    def _halt(self, rest: Rest) -> None:
        if self._stop is not None and not self._stop.done():
            self._stop.set_result(rest)

    def _call_changed(self) -> None:
        """The sink is to be called directly, or in another way."""
        if self.state is SinkState.OPEN and isinstance(self._worker, DirectSink):
            self.tally.begin_direct()
            self._enter(SinkState.OPEN, self._worker.write)

    def _dropping(self) -> None:
        rule = self.delivery.full
        self._log.warning("sink drops frames", rule=rule, room=self.delivery.frames)
        self._tell(SinkDropping(self.name, rule))

    def _came(self) -> int:
        return self._frames_of(self.tracks)

    def _tell(self, event: SinkEvent) -> None:
        if self._on_event is not None:
            self._on_event(event)

    # --- for the operator -----------------------------------------------------------------------------------------

    @property
    def frames(self) -> int:
        """How many frames the sink took."""
        return self.tally.frames() + (0 if self._worker is None else self._worker.frames)

    @property
    def frames_dropped(self) -> int:
        """How many it did not: no room, no time, or no sink."""
        return self._buffer.dropped + self.tally.dropped()

    def describe(self) -> dict[str, Any]:
        """The sink's state and counters as JSON-ready values, with what it tells of itself."""
        described = {
            "state": self.state.value,
            "error": self.error,
            "delivery": str(self.delivery),
            "frames": self.frames,
            "frames_dropped": self.frames_dropped,
            "frames_waiting": self._buffer.waiting,
            "lag": round(self._buffer.lag(), 3),
            "lag_max": round(self._buffer.lag_max, 3),
            "restarts": self._restarts.count,
            "loop_overruns": self._budget.overruns,
            "loop_longest": round(self._budget.longest, 4),
        }
        return described | self._description() | described  # what we say counts

    def _description(self) -> dict[str, Any]:
        """What the sink tells of itself."""
        try:
            return self._described()
        except Exception as error:  # noqa: BLE001 - as above; the report of the call must not fail with it
            return {"problem": f"cannot describe itself: {type(error).__name__}"}


def _explained(error: Exception, limit: asyncio.Timeout, text: str) -> Exception:
    """The error itself, but for our own limit, whose error has no words."""
    return TimeoutError(text) if limit.expired() else error


def _no_sink(info: StreamInfo) -> NoReturn:
    """What makes the sink once it is over."""
    raise SinkError(f"the sink of {info.stream_id} is over")


def _ignore(frame: AudioFrame) -> None:
    """Where frames go when the sink hears none; they are counted by their track."""


def _wake_by_loop(clock: Callable[[], float], deadline: float, wake: Callable[[float], None]) -> None:
    asyncio.get_running_loop().call_later(max(0.0, deadline - clock()), lambda: wake(clock()))
