"""The real media server on a port of the loopback interface, and callers that play Telnyx on it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from audio_codecs import ByteOrderSetting
from gateway.agents.base import AgentFactory
from gateway.agents.echo import Echo
from gateway.call import CallOptions
from gateway.cluster.handover import Handover
from gateway.cluster.slot import WorkerSlot
from gateway.config import Address
from gateway.directory import CallDirectory
from gateway.lifecycle import CallState
from gateway.protocol.messages import AUTH_FIELD, MediaFormat, Play, StartBody
from gateway.protocol.stream import CarrierStream
from gateway.server.admission import Admission
from gateway.server.media_server import MediaServer
from gateway.server.transport import Limits
from gateway.sinks.base import SinkFactory
from tests.gateway.control.conftest import Log
from tests.gateway.server import chosen
from tests.gateway.server.wire import PATIENCE, RawClient, until

PCMU = ("PCMU", 8000)


class Caller:
    """Telnyx's end of one media socket."""

    def __init__(self, socket: ClientConnection, carrier: CarrierStream) -> None:
        self.socket = socket
        self.carrier = carrier

    async def send(self, *texts: bytes) -> None:
        for text in texts:
            await self.socket.send(text, text=True)

    async def begin(self) -> None:
        await self.send(self.carrier.send_connected(), self.carrier.send_start())

    async def say(self, *payloads: bytes) -> None:
        for payload in payloads:
            await self.send(self.carrier.send_media("inbound", payload, timestamp=0))

    async def hear(self, size: int) -> bytes:
        """Read messages until this many octets of sound have come."""
        heard = b""
        async with asyncio.timeout(PATIENCE):
            while len(heard) < size:
                message = self.carrier.receive_message(await self.socket.recv())
                if isinstance(message, Play):
                    heard += message.media.payload
        return heard

    async def echoes(self, payload: bytes) -> bool:
        """Whether the application says what it hears."""
        await self.say(payload)
        return await self.hear(len(payload)) == payload

    async def closed(self) -> tuple[int | None, str | None]:
        """Read on until the socket is closed; the code and reason it was closed with."""
        async with asyncio.timeout(PATIENCE):
            try:
                while True:
                    await self.socket.recv()
            except ConnectionClosed:
                await self.socket.wait_closed()
        return self.socket.close_code, self.socket.close_reason


class MediaPort:
    """A running server, with what it knows of its calls."""

    def __init__(
        self,
        log: Log,
        *,
        auth: str,
        max_calls: int,
        start_timeout: float,
        reconnect_grace: float,
        byte_order: ByteOrderSetting,
        limits: Limits,
        options: CallOptions,
        clock: Callable[[], float],
        slot: WorkerSlot | None = None,
    ) -> None:
        slot = slot or WorkerSlot.alone()
        self.handover = Handover(slot, log=log.logger) if slot.count > 1 else None
        self.log = log
        self.url = ""
        self.directory = CallDirectory()
        self.admission = Admission(auth, clock=clock, grace=0.0, key=slot.admission_key, worker=slot.index)
        self.server = MediaServer(
            Address("127.0.0.1", 0),
            transport=chosen.transport(),
            admission=self.admission,
            directory=self.directory,
            options=options,
            limits=limits,
            max_calls=max_calls,
            start_timeout=start_timeout,
            reconnect_grace=reconnect_grace,
            byte_order=byte_order,
            clock=clock,
            log=log.logger,
            pass_on=None if self.handover is None else self.handover.give,
        )

    def token(self, call_control_id: str | None = "v3:a", asked_codec: tuple[str, int] = PCMU) -> str:
        return self.admission.issue(call_control_id, asked_codec=asked_codec)

    @asynccontextmanager
    async def socket(
        self,
        call_control_id: str = "v3:a",
        stream_id: str = "STREAM",
        media_format: MediaFormat | None = None,
        *,
        token: str | None = None,
        path: str = "",
        late_token: str | None = None,
    ) -> AsyncIterator[Caller]:
        """An open socket on which nothing was said yet; `token` goes in the header, `late_token` in `connected`."""
        body = StartBody(call_control_id=call_control_id, media_format=media_format or MediaFormat(*PCMU))
        carrier = CarrierStream(stream_id, body, token=late_token)
        headers = {} if token is None else {AUTH_FIELD: token}
        async with connect(
            self.url + path, additional_headers=headers, proxy=None, close_timeout=1, max_size=None
        ) as socket:
            yield Caller(socket, carrier)

    @asynccontextmanager
    async def call(self, call_control_id: str = "v3:a", stream_id: str = "STREAM", **how: Any) -> AsyncIterator[Caller]:
        """A stream that has started, with a token of its own."""
        how.setdefault("token", self.token(call_control_id))
        started = self.server.calls_started
        async with self.socket(call_control_id, stream_id, **how) as caller:
            await caller.begin()
            await until(lambda: self.server.calls_started > started)
            yield caller

    @asynccontextmanager
    async def silent(self, path: str = "") -> AsyncIterator[RawClient]:
        """An open socket that says nothing; not even its WebSocket library does."""
        async with RawClient(self.server.address) as client:
            assert await client.upgrade("/media" + path) == 101
            yield client

    async def stopped(self, call_control_id: str = "v3:a") -> Mapping[str, Any]:
        """Wait until the call's record is final, and return its media report."""
        record = self.directory.get(call_control_id)
        assert record is not None
        await until(lambda: CallState.STORED in record.life.reached())
        assert record.media is not None
        return record.media()

    def state(self, call_control_id: str = "v3:a") -> CallState | None:
        record = self.directory.get(call_control_id)
        return None if record is None else record.state

    def logged(self, event: str) -> list[dict[str, Any]]:
        return [dict(line) for line in self.log.lines if line["event"] == event]


@asynccontextmanager
async def media_port(
    log: Log,
    *,
    auth: str = "token",
    max_calls: int = 10,
    start_timeout: float = 5.0,
    reconnect_grace: float = 0.0,
    byte_order: ByteOrderSetting = "little",
    limits: Limits | None = None,
    agent: AgentFactory | None = Echo,
    sinks: Mapping[str, SinkFactory] | None = None,
    max_duration: float = 60.0,
    clock: Callable[[], float] = time.monotonic,
    slot: WorkerSlot | None = None,
) -> AsyncIterator[MediaPort]:
    """Run a media server; whatever is raised into the event loop meanwhile fails the test."""
    errors: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    port = MediaPort(
        log,
        auth=auth,
        max_calls=max_calls,
        start_timeout=start_timeout,
        reconnect_grace=reconnect_grace,
        byte_order=byte_order,
        limits=limits or Limits(close_timeout=0.5),
        options=CallOptions(sinks=sinks or {}, agent=agent, max_duration=max_duration, agent_grace=0.05),
        clock=clock,
        slot=slot,
    )
    async with port.server:
        port.url = port.server.url
        with nullcontext() if port.handover is None else port.handover.taking(port.server.take_over):
            yield port
    assert errors == []
