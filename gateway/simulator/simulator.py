"""Telnyx's side, whole: listens, places calls, and can be driven in the same process or over HTTP.

async with Simulator(Address("127.0.0.1", 0), webhook_url=url) as simulator:
    call = simulator.place_call(from_="+15550100001", to="+15550100002", speech=samples)
    await call.wait_finished()
"""

import asyncio
import base64
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
from aiohttp import web
from nacl.signing import SigningKey
from structlog.typing import FilteringBoundLogger

from audio_codecs import Samples
from gateway.config import Address
from gateway.logs import make_log
from gateway.simulator.account import Account
from gateway.simulator.call import SimulatedCall
from gateway.simulator.casting import InlineScript
from gateway.simulator.clock import Clock
from gateway.simulator.envelope import ApiVersion
from gateway.simulator.exchange import Exchange
from gateway.simulator.faults import NO_FAULTS, FaultBook, Faults
from gateway.simulator.limits import RateLimit
from gateway.simulator.numbers import NumberRule, Numbers
from gateway.simulator.rest import Around, Handler, make_application
from gateway.simulator.rest_faults import FaultyRest
from gateway.simulator.routing import Route
from gateway.simulator.switches import Switches
from gateway.simulator.timeline import Timeline
from gateway.simulator.webhook_faults import FaultyPost
from gateway.simulator.webhooks import Courier, HttpPost, Post

__all__ = ["Simulator", "run_simulator"]

_MAX_CONNECTIONS: Final = 1000


class Simulator:
    """An async context manager; leaving it ends every call at once.

    Args:
        listen: Where REST comes in; port 0 lets the system choose.
        webhook_url: Where calls report that name no URL of their own.
        failover_url: What takes the webhooks when that URL has failed twice.
        webhook_api_version: Format of the webhooks.
        webhook_timeout: Seconds that an application has to answer a webhook.
        retry_delays: Seconds before each further attempt to deliver a webhook.
        signing_key: What the webhooks are signed with; a fresh one if None.
        api_key: The key that `/v2` wants; None takes any that is not empty.
        connections: Ids of the account's applications; None takes every id of decimal digits.
        numbers: What happens when a number is called, by number; `default` is for every other one.
        max_calls: Calls at a time.
        keep_ended: How many ended calls can still be looked at.
        answer_timeout: Seconds until an unanswered incoming call ends.
        requests: How many requests `/v2` takes.
        dials: How many calls may be placed.
        switches: What Telnyx does not document.
        faults: What goes wrong from the beginning.
        around: What every request under `/v2` passes through: the place for faults of the API.
        wrap_post: Makes of what sends the webhooks something else: the place for faults of their delivery.
        clock: Whose time it is; the event loop's if None.
        log: Where it tells what happens; standard error if None.
    """

    def __init__(
        self,
        listen: Address,
        *,
        webhook_url: str | None = None,
        failover_url: str | None = None,
        webhook_api_version: ApiVersion = "2",
        webhook_timeout: float = 2.0,
        retry_delays: Sequence[float] = (0.5, 1, 2, 4, 8),
        signing_key: SigningKey | None = None,
        api_key: str | None = None,
        connections: Sequence[str] | None = None,
        numbers: Mapping[str, NumberRule] | None = None,
        max_calls: int = 100,
        keep_ended: int = 50,
        answer_timeout: float = 30.0,
        requests: RateLimit | None = None,
        dials: RateLimit | None = None,
        switches: Switches | None = None,
        faults: Faults = NO_FAULTS,
        around: Around | None = None,
        wrap_post: Callable[[Post], Post] | None = None,
        clock: Clock | None = None,
        log: FilteringBoundLogger | None = None,
    ) -> None:
        route = Route(
            url=webhook_url or None,
            failover_url=failover_url or None,
            api_version=webhook_api_version,
            timeout=webhook_timeout,
            retry_delays=tuple(retry_delays),
        )
        self._account = Account(
            api_key=api_key,
            connections=None if connections is None else frozenset(connections),
            route=route,
            max_calls=max_calls,
            keep_ended=keep_ended,
            answer_timeout=answer_timeout,
            requests=requests or RateLimit(1000, 1.0),
            dials=dials or RateLimit(150, 5.0),
            switches=switches or Switches(),
        )
        self._listen = listen
        self._signing_key = signing_key or SigningKey.generate()
        self._numbers = Numbers(dict(numbers or {}))
        self._faults = FaultBook(faults)
        self._around = around
        self._wrap_post = wrap_post
        self._clock = clock
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
        clock = self._clock or Clock.of_loop()
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=_MAX_CONNECTIONS))
        )
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        straight = HttpPost(session, redirects=self._account.switches.webhook_redirects)
        post: Post = FaultyPost(straight, self._faults, clock, self._note_fault)
        if self._wrap_post is not None:
            post = self._wrap_post(post)
        exchange = Exchange(
            tasks,
            Courier(post, self._signing_key, clock),
            self._account,
            self._numbers,
            Timeline(clock),
            clock=clock,
            log=self._log,
            faults=self._faults,
        )
        stack.callback(exchange.cancel_calls)
        application = make_application(exchange, around=_within(self._around, FaultyRest(exchange)))
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        stack.push_async_callback(runner.cleanup)
        await runner.setup()
        await web.TCPSite(runner, self._listen.host, self._listen.port).start()
        host = "127.0.0.1" if self._listen.host in ("0.0.0.0", "::") else self._listen.host  # noqa: S104 - compared
        self._address = Address(host, runner.addresses[0][1])
        self._exchange = exchange

    @property
    def faults(self) -> FaultBook:
        """What goes wrong, for whoever drives the simulator in the same process."""
        return self._faults

    def _note_fault(self, call_control_id: str, family: str, fault: str, **fields: Any) -> None:
        if self._exchange is not None:
            self._exchange.note_fault(call_control_id, family, fault, **fields)

    @property
    def exchange(self) -> Exchange:
        """The calls, for whoever drives the simulator in the same process."""
        if self._exchange is None:
            raise RuntimeError("the simulator does not run: enter its context first")
        return self._exchange

    def place_call(
        self,
        *,
        from_: str,
        to: str,
        speech: Samples | None = None,
        script: str | InlineScript | None = None,
        webhook_url: str | None = None,
        silence_after: float | None = 0.5,
    ) -> SimulatedCall:
        """Have somebody call the application; as `POST /sim/calls`, see `Exchange.place_call`."""
        return self.exchange.place_call(
            from_=from_, to=to, speech=speech, script=script, webhook_url=webhook_url, silence_after=silence_after
        )


def _within(around: Around | None, inner: Around) -> Around:
    """What somebody put around the API, with the faults inside it."""
    if around is None:
        return inner

    async def both(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await around(request, lambda passed: inner(passed, handler))

    return both


async def run_simulator(simulator: Simulator) -> None:
    """Run until SIGTERM or SIGINT; prints one line `ready rest=URL public_key=KEY` when it listens."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        async with simulator:
            sys.stdout.write(f"ready rest={simulator.rest_url} public_key={simulator.public_key}\n")
            sys.stdout.flush()
            await stop.wait()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
