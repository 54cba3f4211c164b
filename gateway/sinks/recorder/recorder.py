"""The recorder's service: all recordings of the process, one timer and one writer thread."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from structlog.typing import FilteringBoundLogger

from gateway.errors import SinkError
from gateway.sinks.base import StreamInfo
from gateway.sinks.recorder.recording import Recording, Sound
from gateway.sinks.recorder.schedule import FlushSchedule
from gateway.sinks.recorder.sink import RecorderSink
from gateway.sinks.recorder.thread import WriterThread

__all__ = ["Recorder"]

_TICK = 0.02  # seconds; the few recordings that are due within it go to the writer thread as one job
_MAX_WAITING = 30.0  # seconds of sound that one recording may keep in memory for a slow disk
_CLOSE_TIMEOUT = 10.0  # seconds


class Recorder:
    """Records streams, each into a folder of its own, while they run.

    The writer thread has at most a beginning, one turn and an end of each recording to do, so its queue is as bounded
    as the recordings are; and none is opened while the disk does not answer.

    Args:
        folder: Of all recordings, `recordings` in the data folder; made if it is not there.
        log: Gets a line for each recording that ends.
        clock: Seconds, never going back.
        flush_interval: Seconds from one write of a recording to its next: about what a crash can cost.

    Attributes:
        recordings_finished: How many ended whole.
        recordings_failed: How many have a problem, noted in their sidecar where that was still possible.
        frames_dropped: Frames that came and are in no file, of the recordings that have ended.
    """

    def __init__(
        self,
        folder: Path,
        *,
        log: FilteringBoundLogger,
        clock: Callable[[], float] = time.monotonic,
        flush_interval: float = 0.8,
    ) -> None:
        self.recordings_finished = 0
        self.recordings_failed = 0
        self.frames_dropped = 0
        self._folder = folder
        self._log = log
        self._clock = clock
        self._schedule: FlushSchedule[RecorderSink] = FlushSchedule(interval=flush_interval, tick=_TICK, now=clock())
        self._writer = WriterThread("recorder")
        self._open: set[RecorderSink] = set()
        self._finishing: dict[asyncio.Future[None], float] = {}  # since when, the oldest first
        self._timer: asyncio.TimerHandle | None = None

    @property
    def recordings_open(self) -> int:
        """How many streams are being recorded."""
        return len(self._open)

    async def __aenter__(self) -> Self:
        self._writer.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for sink in list(self._open):
                self._finish(sink)
            if self._finishing:
                await asyncio.wait(self._finishing, timeout=_CLOSE_TIMEOUT)
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self._writer.stop()

    @asynccontextmanager
    async def open(self, info: StreamInfo) -> AsyncIterator[RecorderSink]:
        """Record a stream until the context is left.

        Opening never waits: if the files cannot be made, the first frames after that raise. Leaving waits until the
        recording is final; a task that is cancelled there leaves at once, and the recording becomes final all the same.

        Raises:
            SinkError: The disk has not answered for so long that no new recording is begun.
        """
        now = self._clock()
        unanswered = now - next(iter(self._finishing.values()), now)
        if unanswered > _CLOSE_TIMEOUT:
            raise SinkError(f"the disk has not answered for {unanswered:.0f} s, limit {_CLOSE_TIMEOUT:.0f} s")
        recording = Recording(self._folder / _new_id(info.started_at), info)
        sink = RecorderSink(recording)
        self._writer.submit(recording.create)
        self._schedule.add(sink)
        self._open.add(sink)
        if self._timer is None:
            self._tick()
        try:
            yield sink
        finally:
            if sink in self._open:
                _, late = await asyncio.wait({self._finish(sink)}, timeout=_CLOSE_TIMEOUT)
                if late:
                    self._log.warning("recording still waits for the disk", recording=sink.folder.name)

    def _tick(self) -> None:
        """Hand the recordings that are due to the writer thread."""
        self._timer = asyncio.get_running_loop().call_later(_TICK, self._tick) if self._open else None
        turns = []
        for sink in self._schedule.due(now=self._clock()):
            recording = sink.recording
            if recording.stopped is not None:
                continue
            if not recording.busy:
                if (sound := sink.take()).frames:
                    recording.busy = True
                    turns.append((recording, sound))
            elif sink.seconds_waiting() > _MAX_WAITING:
                recording.fail(f"the disk is too slow: more than {_MAX_WAITING:.0f} s of sound wait for it")
        if turns:
            self._writer.submit(partial(_flush, turns))

    def _finish(self, sink: RecorderSink) -> asyncio.Future[None]:
        """Give the rest to the writer thread, before anything is awaited: so a cancelled call loses nothing."""
        recording = sink.recording
        self._open.discard(sink)
        self._schedule.remove(sink)
        report = _report(recording.info)
        recording.stop("the stream has ended")
        done = asyncio.wrap_future(self._writer.submit(partial(recording.finish, sink.take(), report)))
        self._finishing[done] = self._clock()
        done.add_done_callback(partial(self._count, recording))
        return done

    def _count(self, recording: Recording, done: asyncio.Future[None]) -> None:
        del self._finishing[done]
        self.frames_dropped += recording.frames_dropped
        log = self._log.bind(recording=recording.folder.name, stream_id=recording.info.stream_id)
        if recording.problems:
            self.recordings_failed += 1
            log.error("recording failed", problems=recording.problems, frames_dropped=recording.frames_dropped)
        else:
            self.recordings_finished += 1
            log.info("recording finished", duration=round(recording.duration, 3))


def _report(info: StreamInfo) -> Mapping[str, Any]:
    try:
        return dict(info.report())
    except Exception as error:  # noqa: BLE001 - the sound must be kept, whatever the report's maker does
        return {"problem": f"cannot report: {error}"}


def _flush(turns: list[tuple[Recording, Sound]]) -> None:
    for recording, sound in turns:
        recording.flush(sound)


def _new_id(started_at: float) -> str:
    """A folder's name of our own making, sorted by time; nothing a carrier said is ever a path."""
    return f"{datetime.fromtimestamp(started_at, UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
