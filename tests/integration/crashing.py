"""Webhook reception as it ships, with a handler that kills its own process, or notes what it handles.

    python crashing.py FOLDER PUBLIC_KEY kill|note

Prints `ready URL`. `kill` is what `kill -9` does, at the handler's first instruction.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from gateway.config import Address
from gateway.control.app import listen, make_webhook_app
from gateway.control.dispatcher import EventDispatcher
from gateway.control.inbox import Inbox
from gateway.control.webhooks import WebhookReceiver
from gateway.logs import make_log
from gateway.process import loop_factory
from gateway.protocol.events import Event
from gateway.protocol.signature import load_public_key
from gateway.store.store import open_store


async def main(folder: Path, public_key: str, mode: str) -> None:
    """Serve until the end comes."""

    def handle(event: Event) -> None:
        if mode == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        with (folder / "handled").open("a") as file:
            file.write(f"{event.id}\n")

    log = make_log("error")
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with open_store(folder / "gateway.db", log=log) as store, EventDispatcher(handle, log=log) as dispatcher:
        inbox = Inbox(store, dispatcher, log=log)
        webhooks = WebhookReceiver(inbox, keys=[load_public_key(public_key)], log=log)
        await inbox.recover()
        app = make_webhook_app(webhooks, ready=lambda: True)
        async with listen(app, Address("127.0.0.1", 0)) as address:
            sys.stdout.write(f"ready http://{address}\n")
            sys.stdout.flush()
            await stop.wait()


def run(*arguments: str) -> None:
    """Run on the loop that the service prefers."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main(Path(arguments[0]), *arguments[1:]))


if __name__ == "__main__":
    run(*sys.argv[1:])
