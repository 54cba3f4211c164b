"""Sinks that need a process of their own: one for each such sink, shared by the streams of all calls.

A process takes a second to start and a hundred megabytes, too much for each call; so the streams share it, a thread
each. When it dies, the sinks in it fail, and the next one that opens starts another.
"""

import asyncio
import os
import pickle
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from itertools import count, islice
from typing import Any, Final, Self, cast

import msgspec

from gateway.errors import SinkError
from gateway.media.frame import FrameTrack
from gateway.sinks.base import SinkSource, StreamInfo
from gateway.sinks.buffered import Buffered
from gateway.sinks.delivery import Declared
from gateway.sinks.packing import pack
from gateway.sinks.process_protocol import (
    Answer,
    Close,
    Closed,
    Failed,
    Frames,
    Messages,
    Open,
    Opened,
    Published,
    Request,
    Taken,
    encode,
)
from gateway.sinks.worker import Worker

__all__ = ["WorkerProcesses", "in_process", "pickled"]

_BATCH: Final = 50  # frames that are on their way at once, and lost if the process dies
_EXIT_TIMEOUT: Final = 6.0  # seconds; a little more than the process gives its sinks


class WorkerProcesses:
    """The worker processes of a gateway, one for each sink that wants one; an async context manager."""

    def __init__(self) -> None:
        self._processes: dict[bytes, _WorkerProcess] = {}
        self._old: list[_WorkerProcess] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(process.close() for process in (*self._processes.values(), *self._old)))

    async def get(self, source: bytes) -> "_WorkerProcess":
        """The process of this sink, running."""
        process = self._processes.get(source)
        if process is None or process.gone:
            if process is not None:
                self._old = [old for old in (*self._old, process) if not old.ended]
            process = self._processes[source] = _WorkerProcess()
        await process.start()
        return process


@asynccontextmanager
async def in_process(
    source: SinkSource, info: StreamInfo, *, processes: WorkerProcesses | None
) -> AsyncIterator[Worker]:
    """Open a sink in its worker process.

    Raises:
        SinkError: The sink cannot be found from another process, or it failed there.
    """
    if processes is None:
        raise SinkError("there are no worker processes here")
    octets = pickled(source)
    process = await processes.get(octets)
    fields = {name: value for name, value in msgspec.structs.asdict(info).items() if not callable(value)}
    stream = process.new_stream()
    try:
        answer = await process.ask(Open(stream, octets, fields))
        if isinstance(answer, Failed):
            raise SinkError(answer.error)
        assert isinstance(answer, Opened)
        sink = _RemoteSink(process, stream, frozenset(answer.tracks), info.publish)
        yield sink
        await sink.close()
    finally:
        process.forget(stream)


def pickled(source: SinkSource) -> bytes:
    """How another process finds the source: by its module and name.

    Raises:
        SinkError: It does not.
    """
    if isinstance(source, Declared):
        source = source.source  # what it declares is for this process
    if getattr(source, "__module__", None) == "__main__":
        raise SinkError("a worker process does not find what is in the main program: put the sink into a module")
    try:
        return pickle.dumps(source)
    except Exception as error:  # pickle raises what it likes
        raise SinkError(f"a worker process does not find it: {error}") from error


class _RemoteSink:
    """A `Worker`."""

    def __init__(
        self,
        process: "_WorkerProcess",
        stream: int,
        tracks: frozenset[FrameTrack],
        publish: Callable[[str, Mapping[str, Any]], None],
    ) -> None:
        self.tracks = tracks
        self._publish = publish
        self.frames = 0
        self._process = process
        self._stream = stream
        self._described: dict[str, Any] = {}
        self._idle = True

    async def drain(self, buffer: Buffered) -> None:
        while frames := list(islice(iter(buffer.pop, None), _BATCH)):
            self._idle = False
            answer = await self._process.ask(Frames(self._stream, pack(frames)))
            assert isinstance(answer, Taken | Failed)
            self._tell(answer.published)
            self.frames += answer.frames
            if isinstance(answer, Failed):
                raise SinkError(answer.error)
            self._idle = True
            self._described = answer.described

    async def close(self) -> None:
        """Have the sink closed, unless it has failed, or has not answered yet: then the process does it by itself."""
        if self._idle:
            answer = await self._process.ask(Close(self._stream))
            assert isinstance(answer, Closed | Failed)
            self._tell(answer.published)
            if isinstance(answer, Failed):
                raise SinkError(answer.error)
            self._described = answer.described

    def describe(self) -> dict[str, Any]:
        return self._described

    def _tell(self, published: Iterable[Published]) -> None:
        for event_type, data in published:
            self._publish(event_type, data)


class _WorkerProcess(asyncio.Protocol):
    """One process, and this end of the socket to it.

    Attributes:
        gone: It has ended, or this end has been closed.
    """

    def __init__(self) -> None:
        self.gone = False
        self._starting = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._transport: asyncio.WriteTransport | None = None
        self._messages = Messages(Answer)
        self._numbers = count(1)
        self._streams: dict[int, asyncio.Future[Answer] | None] = {}

    @property
    def ended(self) -> bool:
        """Whether nothing is left of it."""
        return self._process is None or self._process.returncode is not None

    async def start(self) -> None:
        """Start it, if that was not done yet."""
        async with self._starting:
            if self._process is None:
                ours, theirs = socket.socketpair()
                with theirs:
                    try:
                        await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=ours)
                        self._process = await asyncio.create_subprocess_exec(
                            *(sys.executable, "-P", "-m", "gateway.sinks.process_main", str(theirs.fileno())),
                            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                            pass_fds=(theirs.fileno(),),
                            stdin=asyncio.subprocess.DEVNULL,
                            stdout=2,  # ours is for the line that scripts wait for
                        )
                    except BaseException:
                        self.connection_lost(None)
                        ours.close()
                        raise

    async def close(self) -> None:
        """End the process; its sinks should have closed before."""
        self.gone = True
        if self._transport is not None:
            self._transport.close()
        if self._process is not None:
            try:
                await asyncio.wait_for(self._process.wait(), _EXIT_TIMEOUT)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()

    def new_stream(self) -> int:
        """A number for another stream."""
        stream = next(self._numbers)
        self._streams[stream] = None
        return stream

    async def ask(self, request: Request) -> Answer:
        """Send a request and wait for its answer.

        Raises:
            SinkError: The process ended.
        """
        if self._transport is not None and not self.gone:
            answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            self._streams[request.stream] = answer
            self._transport.write(encode(request))
            with suppress(ConnectionError):
                return await answer
        raise SinkError(f"its worker process {await self._ending()}")

    def forget(self, stream: int) -> None:
        """There is nothing more to ask about this stream; its sink is closed in any case."""
        del self._streams[stream]
        if self._transport is not None and not self.gone:
            self._transport.write(encode(Close(stream)))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        try:
            for answer in self._messages.receive(data):
                waiting = self._streams.get(answer.stream)
                if waiting is not None and not waiting.done():
                    waiting.set_result(answer)
        except SinkError:  # something else writes to that socket; the process ends with it
            assert self._transport is not None
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self.gone = True
        for waiting in self._streams.values():
            if waiting is not None and not waiting.done():
                waiting.set_exception(ConnectionError())

    async def _ending(self) -> str:
        """How the process ended."""
        code = None
        if self._process is not None:
            with suppress(TimeoutError):
                code = await asyncio.wait_for(self._process.wait(), 1.0)
        return "is gone" if code is None else f"ended with {code}"
