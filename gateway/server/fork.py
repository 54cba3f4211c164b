"""The fork's ports: two UDP sockets for each forked call, one for each direction, for as long as the call lasts.

Telnyx is told `udp:host:port` twice in `fork_start`, and sends RTP there. The even ports of a range are used, in turn:
a port that was closed is the last to be used again, as its sender may not have noticed yet. RTCP belongs to the odd
ports (RFC 3550, section 11); nobody listens there.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, ExitStack
from typing import Any, NamedTuple, Self

from structlog.typing import FilteringBoundLogger

from gateway.call import EndReason
from gateway.config import PortRange
from gateway.directory import CallDirectory, CallRecord
from gateway.errors import AdmissionError
from gateway.forked_call import ForkedCall, ForkOptions
from gateway.lifecycle import MediaSocket, SocketStage
from gateway.media.pacer import Pacer
from gateway.media.rtp_source import Address
from gateway.protocol.messages import Track
from gateway.protocol.rtp import PAYLOAD_TYPES, RtpFormat

__all__ = ["ForkServer", "ForkTargets"]


class ForkTargets(NamedTuple):
    """Where Telnyx is to send a call's sound: the two fields of `fork_start`, `udp:host:port` each.

    Attributes:
        rx: For what comes from the person on the leg: our `inbound`.
        tx: For what that person hears: our `outbound`.
    """

    rx: str
    tx: str


class _Port(asyncio.DatagramProtocol):
    """One UDP socket, and where its datagrams go."""

    def __init__(self, track: Track, clock: Callable[[], float]) -> None:
        self.call: ForkedCall | None = None
        self._track: Track = track
        self._clock = clock

    def datagram_received(self, data: bytes, addr: Address) -> None:
        if self.call is not None:
            self.call.datagram_received(self._track, data, addr, now=self._clock())


class ForkServer:
    """Opens ports for forked calls and runs these; an async context manager.

    Args:
        listen: Where.
        public_host: What Telnyx is told as host; the listen host if None.
        directory: Told of every fork's beginning and end.
        options: What is the same for all forked calls.
        clock: Monotonic seconds.
        log: Where things are told.
        options_for: How a call is run, by its `call_control_id`; None: all alike.
        share: Which part of the ports is ours, of how many: workers would else open those that another has just closed.
    """

    def __init__(
        self,
        listen: PortRange,
        *,
        public_host: str | None = None,
        directory: CallDirectory,
        options: ForkOptions,
        clock: Callable[[], float],
        log: FilteringBoundLogger,
        options_for: Callable[[str], ForkOptions] | None = None,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.draining = False
        self.forks_opened = 0
        self.forks_ended: Counter[str] = Counter()
        self._listen = listen
        self._public_host = public_host or listen.host
        self._directory = directory
        self._options_for = options_for or (lambda _: options)
        self._clock = clock
        self._log = log
        self._ports = range(listen.first + listen.first % 2, listen.last + 1, 2)[share[0] :: share[1]]
        self._next_port = 0
        self._forks: dict[str, ForkedCall] = {}
        self._transports: dict[ForkedCall, list[asyncio.DatagramTransport]] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._family: int
        self._host: str
        self._pacer: Pacer
        self._tasks: asyncio.TaskGroup
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        address = (await loop.getaddrinfo(self._listen.host, None, type=socket.SOCK_DGRAM))[0]
        self._family, self._host = address[0], str(address[4][0])
        self._pacer = Pacer(loop.call_later, self._clock)
        self._tasks = await self._stack.enter_async_context(asyncio.TaskGroup())
        return self

    async def __aexit__(self, *_: object) -> None:
        """End what still runs; returns when every forked call has closed its sinks."""
        self.draining = True
        for call in list(self._forks.values()):
            call.end(EndReason.SHUTDOWN)
        await self._stack.aclose()
        self._pacer.close()

    @property
    def forks_running(self) -> int:
        """Forks that were opened and have not ended."""
        return len(self._forks)

    async def open(
        self, call_control_id: str, *, payload_types: Mapping[int, tuple[str, int]] | None = None
    ) -> ForkTargets:
        """Make room for the sound of a call; an older fork of the same call gives way.

        Args:
            call_control_id: Telnyx's id of the call.
            payload_types: Encoding and clock rate of the dynamic payload types, such as `{96: ("L16", 16000)}`, where
                somebody knows. The static ones, and 101 for keys, need not be told.

        Returns:
            What `fork_start` is to say.

        Raises:
            AdmissionError: The gateway is going down, or no port is free.
        """
        if self.draining:
            raise AdmissionError("draining", 503, "the gateway takes no new calls")
        formats = PAYLOAD_TYPES | {number: RtpFormat(*name) for number, name in (payload_types or {}).items()}
        inbound, inbound_transport = await self._bind("inbound")
        try:
            outbound, outbound_transport = await self._bind("outbound")
        except BaseException:
            inbound_transport.close()
            raise
        older = self._forks.get(call_control_id)
        if older is not None:
            older.end(EndReason.REPLACED)
        call = ForkedCall(
            call_control_id,
            formats=formats,
            options=self._options_for(call_control_id),
            on_start=self._started,
            on_end=self._ended,
            pacer=self._pacer,
            clock=self._clock,
            log=self._log.bind(call_control_id=call_control_id[:96]),
        )
        inbound.call = outbound.call = call
        self._forks[call_control_id] = call
        self._transports[call] = [inbound_transport, outbound_transport]
        self._idle.clear()
        self.forks_opened += 1
        self._tasks.create_task(self._run(call), name=f"fork {call.stream_id}")
        return ForkTargets(self._target(inbound_transport), self._target(outbound_transport))

    def get(self, call_control_id: str) -> ForkedCall | None:
        """The running fork of this call."""
        return self._forks.get(call_control_id)

    def close(self, call_control_id: str) -> None:
        """End the fork of this call, if there is one: it was stopped, or the call has ended."""
        if (call := self._forks.get(call_control_id)) is not None:
            call.end(EndReason.STOP)

    async def drain(self, timeout: float) -> bool:
        """Open no new forks; wait until the running ones have ended, at most `timeout` seconds.

        Returns:
            Whether they all ended by themselves.
        """
        self.draining = True
        try:
            async with asyncio.timeout(timeout):
                await self._idle.wait()
        except TimeoutError:
            self._log.warning("drain timed out", forks=self.forks_running, timeout=timeout)
        return not self._forks

    def describe(self) -> dict[str, Any]:
        """Counters as JSON-ready values."""
        return {
            "forks_running": self.forks_running,
            "forks_opened": self.forks_opened,
            "forks_ended": dict(self.forks_ended),
        }

    async def _bind(self, track: Track) -> tuple[_Port, asyncio.DatagramTransport]:
        """Open the next port that is free."""
        loop = asyncio.get_running_loop()
        for _ in self._ports:
            number = self._ports[self._next_port % len(self._ports)]
            self._next_port += 1
            with ExitStack() as stack:
                udp = stack.enter_context(socket.socket(self._family, socket.SOCK_DGRAM))
                try:
                    udp.bind((self._host, number))
                except OSError:
                    continue
                udp.settimeout(0)
                transport, port = await loop.create_datagram_endpoint(lambda: _Port(track, self._clock), sock=udp)
                stack.pop_all()
                return port, transport
        raise AdmissionError("no_port", 503, f"no UDP port is free for a fork in {self._listen}")

    def _target(self, transport: asyncio.DatagramTransport) -> str:
        host = f"[{self._public_host}]" if ":" in self._public_host else self._public_host
        return f"udp:{host}:{transport.get_extra_info('sockname')[1]}"

    def _started(self, call: ForkedCall) -> None:
        self._tell(call, SocketStage.STARTED).media = call.report
        assert call.info is not None
        call.log.info("fork started", codec=f"{call.info.inbound_encoding}/{call.info.inbound_sample_rate}")

    def _ended(self, call: ForkedCall) -> None:
        assert call.end_reason is not None
        self.forks_ended[call.end_reason] += 1
        for transport in self._transports.pop(call):
            transport.close()
        if self._forks.get(call.call_control_id) is call:
            del self._forks[call.call_control_id]
        if not self._forks:
            self._idle.set()
        self._tell(call, SocketStage.STOPPED if call.info is not None else SocketStage.ABANDONED)
        call.log.info("fork ended", reason=call.end_reason.value)

    async def _run(self, call: ForkedCall) -> None:
        """Run one call to the end of its sinks; whatever happens there stays there."""
        try:
            await call.run()
        except Exception:
            call.log.exception("fork failed")
            call.end(EndReason.INTERNAL_ERROR)
        report = call.report()
        record = self._directory.get(call.call_control_id)
        if record is not None and record.media == call.report:
            record.media = lambda: report
        self._tell(call, SocketStage.STORED)

    def _tell(self, call: ForkedCall, stage: SocketStage) -> CallRecord:
        """To the call's life a fork is one more media socket."""
        return self._directory.tell(call.call_control_id, MediaSocket(call.stream_id, stage, call.stream_id))
