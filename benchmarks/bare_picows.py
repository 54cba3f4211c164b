"""What the transport `picows` is held against: an echo of each text on a bare `picows` listener, and nothing else."""

import asyncio
import sys

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server


class _Echo(WSListener):
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.TEXT:
            transport.send(WSMsgType.TEXT, frame.get_payload_as_bytes())
        elif frame.msg_type is WSMsgType.CLOSE:
            transport.disconnect()


def _listener(request: WSUpgradeRequest) -> WSListener:
    del request
    return _Echo()


async def main() -> None:
    """Serve until killed."""
    server = await ws_create_server(_listener, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    print(f"ready media=ws://127.0.0.1:{port}/media", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
