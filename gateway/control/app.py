"""The HTTP side as one aiohttp application: webhooks, health, and what the operator asks about calls."""

import hmac
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Middleware
from structlog.typing import FilteringBoundLogger

from gateway.config import Address
from gateway.control.problems import Handler, problem, problem_middleware
from gateway.control.webhooks import MAX_WEBHOOK_BYTES, WebhookReceiver
from gateway.directory import CallDirectory, CallRecord
from gateway.errors import StoreError
from gateway.store.store import Store

__all__ = ["listen", "make_app"]

_MAX_LIMIT: Final = 1000


def make_app(
    *,
    webhooks: WebhookReceiver,
    directory: CallDirectory,
    store: Store,
    api_key: str,
    ready: Callable[[], bool],
    counters: Callable[[], Mapping[str, Any]],
    log: FilteringBoundLogger,
) -> web.Application:
    """Put the routes together.

    Args:
        webhooks: Takes what Telnyx posts.
        directory: The calls that `/v1` shows.
        store: Knows the older ones, and the commands.
        api_key: What `/v1` wants as bearer token.
        ready: Whether new calls may come.
        counters: JSON-ready values, shown beside the calls.
        log: Gets the exceptions of handlers.
    """
    calls = _Calls(directory, store, counters)
    v1 = web.Application(middlewares=[problem_middleware(log), _bearer_middleware(api_key)])
    v1.router.add_get("/calls", calls.list)
    v1.router.add_get("/calls/{call_control_id:[^/]+}", calls.show)

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ready"}) if ready() else problem(503, "not ready for new calls")

    app = web.Application(client_max_size=MAX_WEBHOOK_BYTES)  # a middleware here would cost each webhook a twentieth
    for route in (
        app.router.add_post("/webhooks/telnyx", webhooks.handle),
        app.router.add_get("/healthz", healthz),
        app.router.add_get("/readyz", readyz),
    ):
        assert isinstance(route.resource, web.Resource)
        route.resource.add_route("*", _other_method(route.method))
    app.add_subapp("/v1", v1)
    app.router.add_route("*", "/{path:.*}", _nowhere)
    return app


def _other_method(allowed: str) -> Handler:
    async def other_method(_: web.Request) -> web.Response:
        return problem(405, "Method Not Allowed", headers={"Allow": allowed})

    return other_method


async def _nowhere(_: web.Request) -> web.Response:
    return problem(404, "Not Found")


@asynccontextmanager
async def listen(app: web.Application, address: Address) -> AsyncIterator[Address]:
    """Serve the application while the context lasts; gives the address with the port that was bound.

    Without an access log: a path holds ids, and the counters tell the rest. A connection that says nothing for a
    minute is closed, and requests under way at the end get five seconds.
    """
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=60.0, shutdown_timeout=5.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, address.host, address.port).start()
        host, port = runner.addresses[0][:2]
        yield Address(host, port)
    finally:
        await runner.cleanup()


class _Calls:
    """`GET /v1/calls` and `GET /v1/calls/{call_control_id}`."""

    def __init__(self, directory: CallDirectory, store: Store, counters: Callable[[], Mapping[str, Any]]) -> None:
        self._directory = directory
        self._store = store
        self._counters = counters

    async def list(self, request: web.Request) -> web.Response:
        """The calls, newest first and the running ones before the ended, up to `?limit=`; and the counters."""
        text = request.query.get("limit", "100")
        if not (len(text) <= 4 and text.isascii() and text.isdigit() and 1 <= int(text) <= _MAX_LIMIT):
            return problem(400, f"limit is {text[:20]!r}, want 1 to {_MAX_LIMIT}")
        newest = reversed(deque(self._directory, maxlen=int(text)))
        return web.json_response(
            {"calls": [record.describe() for record in newest], "counters": dict(self._counters())}
        )

    async def show(self, request: web.Request) -> web.Response:
        """One call, with the commands that were sent to it."""
        call_control_id = request.match_info["call_control_id"]
        try:
            record = self._directory.get(call_control_id) or await self._past(call_control_id)
            if record is None:
                return problem(404, "no such call, or it is forgotten")
            commands = await self._store.commands_of(call_control_id)
        except StoreError as error:
            return problem(503, str(error))
        return web.json_response({**record.describe(), "commands": commands})

    async def _past(self, call_control_id: str) -> CallRecord | None:
        frozen = await self._store.find_call(call_control_id)
        return None if frozen is None else CallRecord.thaw(call_control_id, frozen)


def _bearer_middleware(api_key: str) -> Middleware:
    expected = api_key.encode()

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        given = token.strip().encode("utf-8", "surrogateescape")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given, expected):
            return problem(401, "want the gateway's API key", headers={"WWW-Authenticate": 'Bearer realm="gateway"'})
        return await handler(request)

    return middleware
