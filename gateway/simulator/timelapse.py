"""Minutes in milliseconds: an event loop whose clock does not wait.

The loop's time moves only while nothing is to be done: whenever every task waits, the clock goes on to the next timer.
So a program sees the same order of events as in real time, and a slow machine cannot make it late. Whatever takes its
time from the loop (`asyncio.sleep`, `asyncio.timeout`, `loop.call_later`, `loop.time`) takes part; sockets work as
ever, and what came in on one is seen before the clock moves on. A connection that the loop makes to a port of its own
does not reach them: it is made in memory (`gateway.simulator.memory`).

Threads do not take part: what they do takes real time. `speed` leaves it to them, by letting the clock pass at most so
many seconds in one real second.
"""

import asyncio
import selectors
import time
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, cast

from gateway.simulator.memory import connect_in_memory

__all__ = ["TimeLapseLoop"]

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_STEP = 0.02
"""Seconds after which to look at the sockets again, at the latest."""


class TimeLapseLoop(asyncio.SelectorEventLoop):
    """An event loop with a clock of its own, which begins at `start`.

    Args:
        start: What `time` returns first, in seconds.
        speed: Seconds that pass in a real one, at most; None for as many as can be done.
    """

    def __init__(self, *, start: float = 1000.0, speed: float | None = None) -> None:
        self._selector_of_time = _Selector(start, speed)
        self._ports: dict[int, tuple[asyncio.Server, Callable[[], asyncio.BaseProtocol]]] = {}
        self._client_ports = count(1)
        super().__init__(self._selector_of_time)

    def time(self) -> float:
        """Seconds on this loop's own clock."""
        return self._selector_of_time.now

    async def create_server(self, protocol_factory: Any, *args: Any, **kwargs: Any) -> asyncio.Server:
        """As ever; and its port is known to `create_connection`."""
        server = await super().create_server(protocol_factory, *args, **kwargs)
        if kwargs.get("ssl") is None:
            for socket in server.sockets:
                self._ports[socket.getsockname()[1]] = server, protocol_factory
        return server

    async def create_connection(self, protocol_factory: Any, *args: Any, **kwargs: Any) -> Any:
        """As ever; but to a port that this loop listens on, in memory."""
        host, port = (*args, None, None)[:2]
        host, port = kwargs.get("host", host), kwargs.get("port", port)
        server, serve = self._ports.get(port, (None, None))
        if serve is None or server is None or not server.is_serving() or host not in _LOOPBACK or kwargs.get("ssl"):
            return await super().create_connection(protocol_factory, *args, **kwargs)
        client = protocol_factory()
        transport = connect_in_memory(
            self,
            client,
            cast(asyncio.Protocol, serve()),
            client_address=("127.0.0.1", next(self._client_ports)),
            server_address=("127.0.0.1", port),
        )
        return transport, client


class _Selector(selectors.BaseSelector):
    """The default selector, but a wait without a socket ready costs no time, only the loop's."""

    def __init__(self, start: float, speed: float | None) -> None:
        self.now = start
        self._speed = speed
        self._sockets = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._sockets.select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            return self._sockets.select(None)  # no timer at all: only a socket or a thread can go on
        step = min(timeout, _STEP)
        if self._speed is not None:
            time.sleep(step / self._speed)
        self.now += step
        return self._sockets.select(0)

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._sockets.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._sockets.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._sockets.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._sockets.get_map()

    def close(self) -> None:
        self._sockets.close()
