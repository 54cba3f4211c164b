"""A program that answers calls: greets, echoes, tells the keys, hangs up at `#`. The protocol: docs/websocket-agent.md.

python examples/websocket_agent.py 9000
GATEWAY_AGENT=websocket GATEWAY_AGENT_OPTIONS='{"url": "ws://127.0.0.1:9000/"}' telnyx-gateway serve
"""

import asyncio
import json
import math
import struct
import sys

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

RATE = 16_000
BEEP = b"".join(struct.pack("<h", round(9000 * math.sin(2 * math.pi * 440 * n / RATE))) for n in range(RATE // 5))


async def answer(call: ServerConnection) -> None:
    """Serve one call."""

    async def send(**message: object) -> None:
        await call.send(json.dumps(message))

    try:
        async for message in call:
            if isinstance(message, bytes):  # what the caller says
                await call.send(message)  # is said back
                continue
            match json.loads(message):
                case {"type": "start", "call": {"call_control_id": who}}:
                    print("call", who, flush=True)
                    await send(type="configure", sample_rate=RATE)
                    await call.send(BEEP)
                    await send(type="mark", name="greeted")
                case {"type": "dtmf", "digit": "#"}:
                    await send(type="clear")
                    await send(type="hangup", id="bye")
                case {"type": "dtmf" | "mark" | "result" | "error" | "stop"} as told:
                    print(told, flush=True)
    except ConnectionClosed:
        print("lost", flush=True)


async def main(port: int) -> None:
    """Serve all calls."""
    async with serve(answer, "127.0.0.1", port) as server:
        print("ready", server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
