"""The worker process of one sink: `python -m gateway.sinks.process_main FD`, started by `process.py`.

All streams of the sink live here, each in a thread of its own, so that one that blocks holds up nobody else. The
process ends when the socket does, and by nothing that comes to the whole group of processes.
"""

import pickle
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import Any, Final

from gateway.sinks.base import AudioSink, StreamInfo
from gateway.sinks.packing import unpack
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
from gateway.sinks.threaded import enter
from gateway.sinks.worker import describe

__all__ = ["main"]

_MAX_PUBLISHED: Final = 1000  # events of a sink with one answer
_LEAVE_TIMEOUT: Final = 5.0  # seconds that the sinks get to close when the gateway is gone


class _Streams:
    """The sinks of this process."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._open: dict[int, tuple[threading.Thread, queue.SimpleQueue[Request | None]]] = {}

    def receive(self, request: Request) -> None:
        stream = request.stream
        if isinstance(request, Open):
            requests: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
            thread = threading.Thread(
                target=self._serve, args=(request, requests), name=f"stream {stream}", daemon=True
            )
            self._open[stream] = thread, requests
            thread.start()
        elif stream in self._open:  # `Close` may come twice
            self._open[stream][1].put(request)
            if isinstance(request, Close):
                del self._open[stream]

    def end(self) -> None:
        """The gateway is gone: close what it has left open."""
        for _, requests in self._open.values():
            requests.put(None)
        deadline = time.monotonic() + _LEAVE_TIMEOUT
        for thread, _ in self._open.values():
            thread.join(max(0.0, deadline - time.monotonic()))

    def _serve(self, opening: Open, requests: "queue.SimpleQueue[Request | None]") -> None:
        stream, taken = opening.stream, 0
        published: list[Published] = []

        def publish(event_type: str, data: Mapping[str, Any]) -> None:
            if len(published) < _MAX_PUBLISHED:
                published.append((event_type, dict(data)))

        def told() -> list[Published]:
            events = published.copy()
            published.clear()
            return events

        try:
            # The octets are those that the gateway made; this socket has no other end.
            source = pickle.loads(opening.source)  # noqa: S301
            with ExitStack() as stack:
                sink = enter(stack, source, StreamInfo(**opening.info, report=dict, publish=publish))
                self._answer(Opened(stream, sorted(sink.tracks)))
                while isinstance(request := requests.get(), Frames):
                    taken = 0
                    for frame in unpack(request.frames):
                        sink.write(frame)
                        taken += 1
                    self._answer(Taken(stream, taken, _described(sink), told()))
                taken = 0
            self._answer(Closed(stream, _described(sink), told()))
        except BaseException as error:  # noqa: BLE001 - whatever it is, it ends this stream's sink and no other
            self._answer(Failed(stream, taken, f"{type(error).__name__}: {error}"[:500], told()))

    def _answer(self, answer: Answer) -> None:
        octets = encode(answer)
        with self._sending, suppress(OSError):  # the gateway may be gone
            self._connection.sendall(octets)


def _described(sink: AudioSink) -> dict[str, Any]:
    """What the sink tells of itself, if that can be told."""
    try:
        return describe(sink)
    except Exception as error:  # noqa: BLE001 - whatever the sink does, its sound is worth more than its words
        return {"problem": f"cannot describe itself: {type(error).__name__}"}


def main(number: int) -> None:
    """Serve until the socket, a file descriptor of this number, ends."""
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, signal.SIG_IGN)  # the gateway gets it as well, and lets its calls end first
    requests = Messages(Request)
    with socket.socket(fileno=number) as connection:
        streams = _Streams(connection)
        while octets := connection.recv(65_536):
            for request in requests.receive(octets):
                streams.receive(request)
        streams.end()


if __name__ == "__main__":
    main(int(sys.argv[1]))
