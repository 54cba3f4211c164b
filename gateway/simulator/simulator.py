"""Telnyx's side, whole: listens, places calls, and can be driven in the same process or over HTTP.

async with Simulator(Address("127.0.0.1", 0), webhook_url=url) as simulator:
    call = simulator.place_call(from_="+15550100001", to="+15550100002", speech=samples)
    await call.wait_finished()
"""

import asyncio
import base64
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web
from nacl.signing import SigningKey
from structlog.typing import FilteringBoundLogger

from audio_codecs import Samples
from gateway.config import Address
from gateway.logs import make_log
from gateway.simulator.call import SimulatedCall
from gateway.simulator.exchange import Exchange
from gateway.simulator.rest import make_application
from gateway.simulator.webhooks import WebhookSender

__all__ = ["Simulator", "run_simulator"]


class Simulator:
    """An async context manager; leaving it ends every call at once.

    Args:
        listen: Where REST comes in; port 0 lets the system choose.
        webhook_url: Where calls report that name no URL of their own.
        signing_key: What the webhooks are signed with; a fresh one if None.
        api_key: The key that `/v2` wants; None takes any that is not empty.
        max_calls: Calls at a time.
        keep_ended: How many ended calls can still be looked at.
        answer_timeout: Seconds until an unanswered call ends.
        webhook_timeout: Seconds that an application has to answer a webhook.
        retry_delays: Seconds before each further attempt to deliver a webhook.
        log: Where it tells what happens; standard error if None.
    """

    def __init__(
        self,
        listen: Address,
        *,
        webhook_url: str | None = None,
        signing_key: SigningKey | None = None,
        api_key: str | None = None,
        max_calls: int = 100,
        keep_ended: int = 50,
        answer_timeout: float = 30.0,
        webhook_timeout: float = 2.0,
        retry_delays: Sequence[float] = (0.5, 1, 2, 4, 8),
        log: FilteringBoundLogger | None = None,
    ) -> None:
        self._listen = listen
        self._webhook_url = webhook_url
        self._signing_key = signing_key or SigningKey.generate()
        self._api_key = api_key
        self._max_calls = max_calls
        self._keep_ended = keep_ended
        self._answer_timeout = answer_timeout
        self._webhook_timeout = webhook_timeout
        self._retry_delays = retry_delays
        self._log = make_log() if log is None else log
        self._stack = AsyncExitStack()
        self._exchange: Exchange | None = None
        self._address = listen

    @property
    def public_key(self) -> str:
        """What the webhooks can be verified with: base64 of the raw 32 octets, as Telnyx's portal shows it."""
        return base64.b64encode(bytes(self._signing_key.verify_key)).decode()

    @property
    def rest_url(self) -> str:
        """What an application takes as Telnyx's API, such as `http://127.0.0.1:12111/v2`."""
        return f"http://{self._address}/v2"

    @property
    def sim_url(self) -> str:
        """Where calls are placed and looked at, such as `http://127.0.0.1:12111/sim`."""
        return f"http://{self._address}/sim"

    async def __aenter__(self) -> Self:
        stack = AsyncExitStack()
        try:
            await self._start(stack)
        except BaseException:
            await stack.aclose()  # without the error: the task group in there would wrap it
            raise
        self._stack = stack
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._exchange = None
        await self._stack.aclose()  # without the error, as above

    async def _start(self, stack: AsyncExitStack) -> None:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        exchange = Exchange(
            tasks,
            WebhookSender(session, self._signing_key, timeout=self._webhook_timeout, retry_delays=self._retry_delays),
            webhook_url=self._webhook_url,
            max_calls=self._max_calls,
            keep_ended=self._keep_ended,
            answer_timeout=self._answer_timeout,
            log=self._log,
        )
        stack.callback(exchange.cancel_calls)
        runner = web.AppRunner(make_application(exchange, api_key=self._api_key), access_log=None, shutdown_timeout=1.0)
        stack.push_async_callback(runner.cleanup)
        await runner.setup()
        await web.TCPSite(runner, self._listen.host, self._listen.port).start()
        host = "127.0.0.1" if self._listen.host in ("0.0.0.0", "::") else self._listen.host  # noqa: S104 - compared
        self._address = Address(host, runner.addresses[0][1])
        self._exchange = exchange

    def place_call(
        self, *, from_: str, to: str, speech: Samples, webhook_url: str | None = None, silence_after: float = 0.5
    ) -> SimulatedCall:
        """Have somebody call the application; as `POST /sim/calls`, see `Exchange.place_call`."""
        if self._exchange is None:
            raise RuntimeError("the simulator does not run: enter its context first")
        return self._exchange.place_call(
            from_=from_, to=to, speech=speech, webhook_url=webhook_url, silence_after=silence_after
        )


async def run_simulator(
    listen: Address,
    *,
    webhook_url: str | None = None,
    signing_key: SigningKey | None = None,
    api_key: str | None = None,
    log: FilteringBoundLogger | None = None,
) -> None:
    """Run until SIGTERM or SIGINT; prints one line `ready rest=URL public_key=KEY` when it listens."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        async with Simulator(
            listen, webhook_url=webhook_url, signing_key=signing_key, api_key=api_key, log=log
        ) as simulator:
            sys.stdout.write(f"ready rest={simulator.rest_url} public_key={simulator.public_key}\n")
            sys.stdout.flush()
            await stop.wait()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
