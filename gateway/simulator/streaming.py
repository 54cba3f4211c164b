"""One media stream of a call: its socket, and the next one where that falls.

A stream starts when its socket is open and the call is answered: a socket that was asked for with `dial` opens while
it rings, gets `connected`, and is dropped without a word if nobody answers. What is said from `start` on is a
`Conversation`. A socket that falls is opened again where a fault or a switch says so, with `connected` and `start` as
at first; meanwhile the person on the phone speaks on, and is not heard.
"""

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from audio_codecs import Samples
from gateway.protocol.messages import AUTH_FIELD, StartBody
from gateway.protocol.stream import CarrierStream
from gateway.simulator.conversation import Conversation, End
from gateway.simulator.media_side import MediaSide
from gateway.simulator.media_socket import MediaSocket, SocketError
from gateway.simulator.playout import Hear
from gateway.simulator.speech import SAMPLE_RATE
from gateway.simulator.stream_plan import StreamPlan

__all__ = ["Streaming"]


class Streaming:
    """One stream of one call.

    Args:
        plan: What was asked for.
        start: Makes what the `start` message will say.
        side: Of the call.
        hear: Takes what the application sends.
        answered: Whether the call is; if not, `begin` says so later.
        emit: Sends a webhook: event type, and the fields beside the usual ones.
        on_renamed: Called when `stream_id` has changed.

    Attributes:
        stream_id: A UUID, upper case; another one after a reconnect that changes it.
        opened: Set when the socket is open, or cannot be opened.
        ended: Set when the stream is over.
    """

    def __init__(
        self,
        plan: StreamPlan,
        start: Callable[[StreamPlan], StartBody],
        *,
        side: MediaSide,
        hear: Hear,
        answered: bool,
        emit: Callable[[str, dict[str, Any]], None],
        on_renamed: Callable[[], None] = lambda: None,
    ) -> None:
        self.stream_id = _new_stream_id()
        self.opened = asyncio.Event()
        self.ended = asyncio.Event()
        self._plan = plan
        self._start = start
        self._side = side
        self._hear = hear
        self._emit = emit
        self._on_renamed = on_renamed
        self._begin_or_stop = asyncio.Event()
        self._stop = asyncio.Event()
        self._conversation: Conversation | None = None
        self._reconnects = 0
        if answered:
            self.begin()

    def begin(self) -> None:
        """Let the stream begin: the call was answered."""
        self._begin_or_stop.set()

    def stop(self) -> None:
        """Let the stream end: it says `stop` and closes the socket."""
        self._stop.set()
        self._begin_or_stop.set()
        if self._conversation is not None:
            self._conversation.stop()

    def press(self, digit: str) -> None:
        """A key was pressed; told in its place among the frames. Before the stream has begun it tells nothing."""
        if self._conversation is not None:
            self._conversation.press(digit)

    async def run(self) -> None:
        """Open the socket and talk, until `stop` or until the application closes it."""
        try:
            await self._run()
        finally:
            self.opened.set()
            self.ended.set()

    async def _run(self) -> None:
        try:
            socket = await self._open()
        except SocketError as error:
            self._side.journal.note_error(100002, str(error))
            self._emit("streaming.failed", self._failure())
            return
        finally:
            self.opened.set()
        try:
            await self._begin_or_stop.wait()
            if self._stop.is_set():
                return
            self._emit("streaming.started", {"stream_url": self._plan.url})
            try:
                end = await self._talk(socket)
                while end is not End.STOPPED and (again := await self._reopen(end)) is not None:
                    socket = again
                    end = await self._talk(socket)
            finally:
                self._emit("streaming.stopped", {"stream_url": self._plan.url})
        finally:
            await socket.close()

    async def _open(self) -> MediaSocket:
        """Connect, and say `connected`. Raises SocketError."""
        plan, side = self._plan, self._side
        socket = await MediaSocket.open(
            plan.url,
            headers=None if plan.token is None else {AUTH_FIELD: plan.token},
            ping_interval=side.switches.ping_interval or None,
            now=side.clock.now,
        )
        socket.send(CarrierStream(self.stream_id, self._start(plan), token=plan.token).send_connected())
        side.journal.messages_sent["connected"] += 1
        return socket

    async def _talk(self, socket: MediaSocket) -> End:
        """Say `start` and all that follows, as far as the faults let it come to that."""
        side = self._side
        faults = side.book.of(side.call_control_id).start
        if faults.never:
            side.note("start", "never")
            await self._stop.wait()
            return End.STOPPED
        if faults.late:
            side.note("start", "late", seconds=faults.late)
            if await self._stopped_within(faults.late):
                return End.STOPPED
        plan = self._plan
        if faults.codec not in (None, plan.encoding):
            side.note("start", "codec", asked=plan.encoding, sent=faults.codec)
            plan = replace(plan, encoding=faults.codec, clock_rate=SAMPLE_RATE)
        stream = CarrierStream(
            self.stream_id,
            self._start(plan),
            token=plan.token,
            first_chunk=side.switches.chunk_base,
            chunks_by_track=side.switches.chunk_scope == "track",
        )
        self._conversation = Conversation(socket, stream, plan, hear=self._hear, side=side)
        try:
            return await self._conversation.run()
        finally:
            self._conversation = None

    async def _reopen(self, end: End) -> MediaSocket | None:
        """Open the next socket after one has fallen; None where there is to be none."""
        side = self._side
        faults, switches = side.book.of(side.call_control_id).socket, side.switches
        if end is End.CUT and faults.reconnect_after is not None:
            delay, new_stream_id = faults.reconnect_after, faults.new_stream_id
            side.note("socket", "reconnect", seconds=delay, new_stream_id=new_stream_id)
        elif self._reconnects < switches.reconnects:
            delay, new_stream_id = switches.reconnect_delay, switches.reconnect_stream_id == "new"
        else:
            return None
        self._reconnects += 1
        if new_stream_id:
            self.stream_id = _new_stream_id()
            self._on_renamed()
        side.line.listen(_nobody)  # the person speaks on
        try:
            return None if await self._stopped_within(delay) else await self._open()
        except SocketError as error:
            side.journal.note_error(100002, str(error))
            return None
        finally:
            side.line.leave(_nobody)

    async def _stopped_within(self, seconds: float) -> bool:
        """Wait so long, or until the stream is to stop; whether it is."""
        over = asyncio.Event()
        timer = self._side.clock.call_later(seconds, over.set)
        try:
            async with asyncio.TaskGroup() as tasks:
                waits = [tasks.create_task(event.wait(), name="media wait") for event in (over, self._stop)]
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                for wait in waits:
                    wait.cancel()
        finally:
            timer.cancel()
        return self._stop.is_set()

    def _failure(self) -> dict[str, Any]:
        return {
            "failure_reason": "connection_failed",
            "stream_id": self.stream_id,
            "stream_params": {"stream_url": self._plan.url, "track": self._plan.track},
            "stream_type": "websocket",
        }


def _new_stream_id() -> str:
    return str(uuid.uuid4()).upper()


def _nobody(_: Samples, __: float) -> None:
    """Listens while the socket is away."""
