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
from typing import Any, Final, Self

from structlog.typing import FilteringBoundLogger

from gateway.errors import SinkError
from gateway.sinks.base import StreamInfo
from gateway.sinks.recorder.complete import Completion, wants_conversion
from gateway.sinks.recorder.completer import Completer
from gateway.sinks.recorder.converter import refusal
from gateway.sinks.recorder.events import RecordingEvent
from gateway.sinks.recorder.options import RecordingOptions
from gateway.sinks.recorder.recording import Recording, Sound
from gateway.sinks.recorder.schedule import FlushSchedule
from gateway.sinks.recorder.seal import SealKey
from gateway.sinks.recorder.sink import G711RecorderSink, RecorderSink
from gateway.sinks.recorder.window import BlockPool
from gateway.sinks.thread import WorkerThread

__all__ = ["Recorder"]

_TICK: Final = 0.02  # seconds; the few recordings that are due within it go to the writer thread as one job
_MAX_WAITING: Final = 30.0  # seconds of sound that one recording may keep in memory for a slow disk
_CLOSE_TIMEOUT: Final = 10.0  # seconds


class Recorder:
    """Records streams, each into a folder of its own, while they run; completes what is there when they have ended.

    The writer thread has at most a beginning, one turn and an end of each recording to do, so its queue is as bounded
    as the recordings are; and none is opened while the disk does not answer.

    Args:
        folder: Of all recordings, `recordings` in the data folder; made if it is not there.
        log: Gets a line for each recording that ends.
        options: What is asked for where `open` is not told anything else.
        completion: What is left to do when all sound of a recording is there.
        key: Seals the sound, if given.
        sync_seconds: How often running recordings are forced to the disk, so that a power cut costs no more than that;
            0: only in the end.
        on_event: Told what becomes of recordings.
        clock: Seconds, never going back.
        flush_interval: Seconds from one write of a recording to its next: about what a crash can cost.

    Attributes:
        running: The recordings that take sound, by their id, which is the name of their folder.
    """

    def __init__(
        self,
        folder: Path,
        *,
        log: FilteringBoundLogger,
        options: RecordingOptions | None = None,
        completion: Completion | None = None,
        key: SealKey | None = None,
        sync_seconds: float = 0.0,
        on_event: Callable[[RecordingEvent], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        flush_interval: float = 0.8,
    ) -> None:
        self.running: dict[str, RecorderSink] = {}
        self._folder = folder
        self._log = log
        self._options = options or RecordingOptions()
        self._key = key
        self._clock = clock
        self._schedule: FlushSchedule[RecorderSink] = FlushSchedule(interval=flush_interval, tick=_TICK, now=clock())
        self._syncs: FlushSchedule[Recording] | None = (
            FlushSchedule(interval=sync_seconds, tick=min(1.0, sync_seconds), now=clock()) if sync_seconds else None
        )
        self._pools: dict[tuple[int, str, int], BlockPool] = {}
        self._writing: dict[asyncio.Future[None], float] = {}  # the ends, and since when, the oldest first
        self._ending: dict[RecorderSink, asyncio.Future[None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._writer: WorkerThread
        self._syncer: WorkerThread
        self._completer = Completer(completion or Completion(), log=log, on_event=on_event)

    async def __aenter__(self) -> Self:
        self._writer = WorkerThread("recorder")
        if self._syncs is not None:
            self._syncer = WorkerThread("recorder syncs")
        self._completer.recover(self._folder)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for sink in list(self.running.values()):
                sink.stop("shutdown")
            if pending := {*self._writing, *self._completer.pending}:
                await asyncio.wait(pending, timeout=_CLOSE_TIMEOUT)
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self._writer.stop()
            self._completer.stop()
            if self._syncs is not None:
                self._syncer.stop()

    @asynccontextmanager
    async def open(self, info: StreamInfo, *, options: RecordingOptions | None = None) -> AsyncIterator[RecorderSink]:
        """Record a stream until the context is left, or the recording ends by itself.

        Opening never waits: if the files cannot be made, the first frames after that raise. Leaving waits until the
        recording is final, but for a conversion; a task that is cancelled there leaves at once, and the recording
        becomes final all the same.

        Args:
            info: The stream.
            options: What is asked for; the recorder's own if None.

        Raises:
            SinkError: The recording cannot be made as it is asked for; or the disk has not answered for so long that
                no new one is begun.
        """
        options = options or self._options
        if (problem := refusal(options, sealed=self._key is not None)) is not None:
            raise SinkError(problem)
        now = self._clock()
        unanswered = now - next(iter(self._writing.values()), now)
        if unanswered > _CLOSE_TIMEOUT:
            raise SinkError(f"the disk has not answered for {unanswered:.0f} s, limit {_CLOSE_TIMEOUT:.0f} s")
        sink = self._begin(info, options)
        try:
            yield sink
        finally:
            sink.stop("stream_end")
            _, late = await asyncio.wait({self._ending.pop(sink)}, timeout=_CLOSE_TIMEOUT)
            if late:
                self._log.warning("recording still waits for the disk", recording=sink.folder.name)

    def describe(self) -> dict[str, int]:
        """Counters as JSON-ready values."""
        completer = self._completer
        return {
            "recordings_open": len(self.running),
            "recordings_finished": completer.finished,
            "recordings_failed": completer.failed,
            "recordings_recovered": completer.recovered,
            "recordings_completing": len(completer.pending),
            "recording_frames_dropped": completer.frames_dropped,
        }

    def _begin(self, info: StreamInfo, options: RecordingOptions) -> RecorderSink:
        recording = Recording(self._folder / _new_id(info.started_at), info, options, key=self._key)
        kind = G711RecorderSink if recording.sound.waits_encoded else RecorderSink
        sink = kind(recording, self._pool(recording), on_end=self._end)
        self._writer.submit(recording.create)
        self.running[sink.folder.name] = sink
        self._schedule.add(sink)
        if self._syncs is not None:
            self._syncs.add(recording)
        if self._timer is None:
            self._tick()
        return sink

    def _pool(self, recording: Recording) -> BlockPool:
        """Recordings of one kind share their memory."""
        dtype, silence = recording.sound.waiting
        kind = (recording.sample_rate, dtype.str, silence)
        if kind not in self._pools:
            self._pools[kind] = BlockPool(recording.sample_rate, dtype, silence)
        return self._pools[kind]

    def _tick(self) -> None:
        """Hand the recordings that are due to the writer thread."""
        self._timer = asyncio.get_running_loop().call_later(_TICK, self._tick) if self.running else None
        now = self._clock()
        turns = []
        for sink in self._schedule.due(now=now):
            recording = sink.recording
            if recording.problems:
                self._fail(sink)
            elif recording.options.timeout_secs and recording.silent_too_long:
                sink.stop("silence")
            elif not recording.busy:
                if (sound := sink.take()).frames:
                    recording.busy = True
                    turns.append((recording, sound, sink.pool))
            elif sink.seconds_waiting() > _MAX_WAITING:
                recording.fail(f"the disk is too slow: more than {_MAX_WAITING:.0f} s of sound wait for it")
                self._fail(sink)
        if turns:
            self._writer.submit(partial(_flush, turns))
        if self._syncs is not None:
            for recording in self._syncs.due(now=now):
                if not recording.syncing:
                    recording.syncing = True
                    self._syncer.submit(recording.sync)

    def _fail(self, sink: RecorderSink) -> None:
        """Something is wrong with a recording: it takes nothing more, and the next frame is told so."""
        if sink.refuse():
            self._completer.tell_failed(sink.recording)

    def _end(self, sink: RecorderSink) -> None:
        """Give the rest to the writer thread, before anything is awaited: so a cancelled call loses nothing."""
        recording = sink.recording
        del self.running[sink.folder.name]
        self._schedule.remove(sink)
        if self._syncs is not None:
            self._syncs.remove(recording)
        report = _report(recording.info)
        written = self._writer.submit(partial(recording.finish, sink.take(), sink.pool, report))
        completed = self._completer.complete(recording, written)
        writing = asyncio.wrap_future(written)
        self._writing[writing] = self._clock()
        writing.add_done_callback(self._writing.pop)
        self._ending[sink] = writing if wants_conversion(recording.options) else completed


def _report(info: StreamInfo) -> Mapping[str, Any]:
    try:
        return dict(info.report())
    except Exception as error:  # noqa: BLE001 - the sound must be kept, whatever the report's maker does
        return {"problem": f"cannot report: {error}"}


def _flush(turns: list[tuple[Recording, Sound, BlockPool]]) -> None:
    for recording, sound, pool in turns:
        recording.flush(sound, pool)


def _new_id(started_at: float) -> str:
    """A folder's name of our own making, sorted by time; nothing a carrier said is ever a path."""
    return f"{datetime.fromtimestamp(started_at, UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
