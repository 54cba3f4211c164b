"""Recordings of one call that begin and end while it runs, one after another or at the same time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final

from gateway.errors import MediaServiceError
from gateway.sinks.base import SinkFactory, SinkSource, StreamInfo
from gateway.sinks.recorder import Recorder, RecordingOptions
from gateway.sinks.recorder.sink import RecorderSink

__all__ = ["CallRecordings"]

_OPEN_TIMEOUT: Final = 10.0


class CallRecordings:
    """The recordings that were begun in one call.

    Args:
        recorder: Makes them; None: nothing is recorded here.
        add: Gives a sink its place in the call, by a name for its record and what makes it; returns the name it got.
        remove: Has the sink of such a name close.
    """

    def __init__(
        self,
        recorder: Recorder | None,
        *,
        add: Callable[[str, SinkSource], str],
        remove: Callable[[str], bool],
    ) -> None:
        self._recorder = recorder
        self._add = add
        self._remove = remove
        self._recordings: dict[str, tuple[str, RecorderSink]] = {}  # by recording id: the sink's name in the call
        self._stopped: set[str] = set()

    async def start(self, options: RecordingOptions) -> str:
        """Begin a recording; it takes what is heard from now on.

        Returns:
            Its id, which is the name of its folder.

        Raises:
            MediaServiceError: It cannot be made as it is asked for, or cannot begin.
        """
        if self._recorder is None:
            raise MediaServiceError("nothing is recorded here", status=503)
        opened: asyncio.Future[RecorderSink] = asyncio.get_running_loop().create_future()
        name = self._add("recording", self._source(self._recorder, options, opened))
        try:
            async with asyncio.timeout(_OPEN_TIMEOUT):
                sink = await opened
        except TimeoutError as error:
            self._remove(name)
            raise MediaServiceError(f"the recording has not begun within {_OPEN_TIMEOUT:g} s", status=503) from error
        except asyncio.CancelledError:
            self._remove(name)
            raise
        self._recordings[sink.folder.name] = name, sink
        return sink.folder.name

    def stop(self, recording_id: str | None = None) -> list[str]:
        """End one recording, or all, with what was heard until now; returns the ids of those that ran.

        Raises:
            MediaServiceError: There is no such recording.
        """
        stopped = []
        for name, sink in self._running(recording_id):
            self._stopped.add(sink.folder.name)
            self._remove(name)  # it gets what waits for it first, and then its end
            stopped.append(sink.folder.name)
        return stopped

    def pause(self, recording_id: str | None = None) -> list[str]:
        """Record silence from now on, in one recording or all: the time goes on. As `stop`."""
        paused = list(self._running(recording_id))
        for _, sink in paused:
            sink.pause()
        return [sink.folder.name for _, sink in paused]

    def resume(self, recording_id: str | None = None) -> list[str]:
        """Record again. As `stop`."""
        resumed = list(self._running(recording_id))
        for _, sink in resumed:
            sink.resume()
        return [sink.folder.name for _, sink in resumed]

    def describe(self) -> list[dict[str, Any]]:
        """All that were begun, in order, as JSON-ready values."""
        return [sink.describe() for _, sink in self._recordings.values()]

    def _running(self, recording_id: str | None) -> Iterator[tuple[str, RecorderSink]]:
        if recording_id is not None and recording_id not in self._recordings:
            raise MediaServiceError("there is no such recording in this call", status=404)
        for one, (name, sink) in list(self._recordings.items()):
            if recording_id in (None, one) and sink.recording.ended is None and one not in self._stopped:
                yield name, sink

    def _source(
        self, recorder: Recorder, options: RecordingOptions, opened: "asyncio.Future[RecorderSink]"
    ) -> SinkFactory:
        """What makes a recording's sink, tells of it as it is made, and says whether it was asked to end."""

        @asynccontextmanager
        async def open_it(info: StreamInfo) -> AsyncIterator[RecorderSink]:
            try:
                async with recorder.open(info, options=options) as sink:
                    if not opened.done():
                        opened.set_result(sink)
                    yield sink
                    if sink.folder.name in self._stopped:
                        sink.stop("stop")
            except Exception as error:
                if not opened.done():
                    opened.set_exception(MediaServiceError(str(error), status=422))
                raise

        return open_it
