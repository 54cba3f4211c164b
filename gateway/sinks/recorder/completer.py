"""Completes recordings, one after the other, in a thread of its own: those that have ended, and those a crash left.

It may still be at it when a call is long over. If the process ends before it does, the next one takes that up.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from structlog.typing import FilteringBoundLogger

from gateway.sinks.recorder.complete import Completion
from gateway.sinks.recorder.events import RecordingEvent, RecordingFailed, RecordingSaved
from gateway.sinks.recorder.recording import Recording
from gateway.sinks.recorder.recover import Recovered, recover, unfinished
from gateway.sinks.thread import WorkerThread

__all__ = ["Completer"]


class Completer:
    """Does for each recording what is left to do, and tells what became of it.

    Args:
        completion: What there is to do.
        log: Gets a line for each recording.
        on_event: Told the same.

    Attributes:
        pending: Done as their recordings are.
        finished: How many recordings ended whole.
        failed: How many have a problem, noted in their sidecar where that was still possible.
        recovered: How many were completed here that a process had left behind.
        frames_dropped: Frames that came and are in no file.
    """

    def __init__(
        self,
        completion: Completion,
        *,
        log: FilteringBoundLogger,
        on_event: Callable[[RecordingEvent], None] | None = None,
    ) -> None:
        self.pending: set[asyncio.Future[Any]] = set()
        self.finished = 0
        self.failed = 0
        self.recovered = 0
        self.frames_dropped = 0
        self._completion = completion
        self._log = log
        self._on_event = on_event
        self._thread = WorkerThread("recorder completes")

    def stop(self) -> None:
        """Take nothing more; does not wait."""
        self._thread.stop()

    def recover(self, folder: Path) -> None:
        """Complete what was left behind in a folder of recordings."""

        def found(listed: asyncio.Future[list[Path]]) -> None:
            for place in listed.result():
                self._do(partial(recover, place, self._completion), self._recovered)

        self._do(partial(_list, folder), found)

    def complete(self, recording: Recording, written: "Future[None]") -> "asyncio.Future[None]":
        """Complete a recording as soon as all its sound is written; done when it is final, or cannot become that."""
        return self._do(partial(self._complete, recording, written), partial(self._completed, recording))

    def tell_failed(self, recording: Recording) -> None:
        """A recording has stopped before its call has."""
        problem = recording.problems[0]
        self._logged(recording).error("recording stopped", problem=problem)
        failed = RecordingFailed(recording.folder.name, recording.info.call_control_id, problem)
        recording.info.publish("recording.failed", _event_data(failed))
        self._tell(failed)

    def _do(self, job: Callable[[], Any], then: Callable[[asyncio.Future[Any]], None]) -> asyncio.Future[Any]:
        done = asyncio.wrap_future(self._thread.submit(job))
        self.pending.add(done)
        done.add_done_callback(self.pending.discard)
        done.add_done_callback(then)
        return done

    def _complete(self, recording: Recording, written: "Future[None]") -> None:
        """In the thread. Never raises, as all that goes wrong is the recording's problem."""
        written.result()
        try:
            if recording.written:
                recording.sync()
                recording.become(self._completion.complete(recording.folder))
        except Exception as error:  # noqa: BLE001 - whatever it is, it must cost this recording and no other
            recording.fail(f"cannot complete: {error}")
            return
        finally:
            recording.release()
        if recording.written:
            self._completion.after_final(recording.folder)

    def _completed(self, recording: Recording, done: "asyncio.Future[None]") -> None:
        if done.cancelled():
            return
        self.frames_dropped += recording.frames_dropped
        log = self._logged(recording)
        if recording.problems:
            self.failed += 1
            log.error("recording failed", problems=recording.problems, frames_dropped=recording.frames_dropped)
        else:
            self.finished += 1
            log.info("recording finished", duration=round(recording.duration, 3), ended=recording.ended)
        if recording.written:
            saved = RecordingSaved(
                recording_id=recording.folder.name,
                call_control_id=recording.info.call_control_id,
                file=recording.file_name,
                duration=recording.duration,
                problems=tuple(recording.problems),
            )
            recording.info.publish("recording.saved", _event_data(saved))
            self._tell(saved)

    def _recovered(self, done: "asyncio.Future[Recovered | None]") -> None:
        recovered = done.result()
        if recovered is None:
            return
        log = self._log.bind(recording=recovered.folder.name)
        if recovered.problem is None:
            self.recovered += 1
            log.warning("recording recovered", duration=recovered.duration)
        else:
            log.error("recording cannot be recovered", problem=recovered.problem)

    def _logged(self, recording: Recording) -> FilteringBoundLogger:
        return self._log.bind(recording=recording.folder.name, stream_id=recording.info.stream_id)

    def _tell(self, event: RecordingEvent) -> None:
        if self._on_event is not None:
            self._on_event(event)


def _event_data(event: RecordingEvent) -> dict[str, Any]:
    """As whoever follows the call gets it, who knows which call it is."""
    data = msgspec.structs.asdict(event)
    del data["call_control_id"]
    return data


def _list(folder: Path) -> list[Path]:
    return list(unfinished(folder))
