"""What webhook reception is held against: an aiohttp handler that verifies the signature and does nothing else."""

import asyncio
import base64
import os
import sys

import uvloop
from aiohttp import web
from nacl.signing import VerifyKey


async def main() -> None:
    """Serve until killed."""
    key = VerifyKey(base64.b64decode(os.environ["TELNYX_PUBLIC_KEY"]))

    async def handle(request: web.Request) -> web.Response:
        body = await request.read()
        signature = base64.b64decode(request.headers["telnyx-signature-ed25519"])
        key.verify(request.headers["telnyx-timestamp"].encode() + b"|" + body, signature)
        return web.Response()

    app = web.Application()
    app.router.add_post("/webhooks/telnyx", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"ready media=- http=http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
