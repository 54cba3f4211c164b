"""One of the gateway's transports with an echo of each text behind it: what the transport alone costs."""

import asyncio
import sys
import time

import uvloop

from gateway.logs import make_log
from gateway.server.transport import Handshake, Limits, Link, SocketCounters
from gateway.server.transports import find_transport


class _Echo:
    def __init__(self, link: Link) -> None:
        self._send = link.send

    def link_open(self) -> None:
        pass

    def text_received(self, text: bytes, *, now: float) -> None:
        del now
        self._send(text)

    def link_lost(self, code: int, reason: str) -> None:
        pass


async def main(name: str) -> None:
    """Serve until killed."""
    transport = find_transport(name)

    def admit(handshake: Handshake, link: Link) -> _Echo:
        del handshake
        return _Echo(link)

    def connection() -> asyncio.Protocol:
        return transport.connection(
            admit=admit,
            limits=Limits(),
            clock=time.monotonic,
            counters=SocketCounters(),
            log=make_log("error"),
            on_open=lambda connection: None,
            on_close=lambda connection: None,
        )

    server = await transport.create_server(connection, host="127.0.0.1", port=0)
    port = server.sockets[0].getsockname()[1]
    print(f"ready media=ws://127.0.0.1:{port}/media", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    sys.exit(uvloop.run(main(sys.argv[1])))
