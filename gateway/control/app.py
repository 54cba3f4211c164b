"""The HTTP side as aiohttp applications: which path leads where, and what a request must show on its way."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Protocol

from aiohttp import web
from aiohttp.typedefs import Middleware
from structlog.typing import FilteringBoundLogger

from gateway.cluster.passing import PASSING, Passing, Refuse
from gateway.config import Address
from gateway.control.problems import Handler, problem, problem_middleware, telnyx_error, telnyx_middleware
from gateway.control.scopes import ApiKeys, Scope
from gateway.control.v2_api import V2Api
from gateway.control.webhooks import MAX_WEBHOOK_BYTES, WebhookReceiver

__all__ = ["Workers", "listen", "listen_at", "make_app", "make_webhook_app"]

_WEBHOOKS = "/webhooks/telnyx"
_TELNYX_CODES: Final = {
    401: ("10009", "Authentication failed"),
    403: ("10010", "Authorization failed"),
    413: ("10033", "Value outside of range"),
}


class Workers(Protocol):
    """The workers of a gateway, as its routes need them."""

    def passing(self, refuse: Refuse) -> Passing:
        """Passes requests on; what nobody can answer is refused so."""

    async def readyz(self, request: web.Request) -> web.Response:
        """Whether new calls may come to any of them."""


def make_app(
    *,
    webhooks: WebhookReceiver | None,
    v1: Sequence[web.RouteDef],
    v2: V2Api | None = None,
    public: Sequence[web.RouteDef] = (),
    keys: ApiKeys,
    ready: Callable[[], bool],
    unready: Callable[[], str | None] = lambda: None,
    workers: Workers | None = None,
    log: FilteringBoundLogger,
) -> web.Application:
    """Put the routes together.

    Args:
        webhooks: Takes what Telnyx posts; None where that comes in at an address of its own.
        v1: The routes of the gateway's own API, behind `/v1`.
        v2: The routes of Telnyx's API; None: there are none.
        public: Routes that need no key.
        keys: What a request to either API must show one of.
        ready: Whether new calls may come.
        unready: Why they may not.
        workers: The others, who are asked for what is theirs; None: there are none, or the request comes from them.
        log: Gets the exceptions of handlers.
    """
    app = web.Application(client_max_size=MAX_WEBHOOK_BYTES)  # a middleware here would cost each webhook a twentieth
    _add_health(app, ready, unready, workers)
    if webhooks is not None:
        _add(app, web.post(_WEBHOOKS, webhooks.handle))
    for route in public:
        _add(app, route)
    v1_app = web.Application(middlewares=[problem_middleware(log), _key_middleware(keys, _v1_scope, _refuse_v1)])
    if workers is not None:
        passing = workers.passing(_refuse_v1)
        v1_app.middlewares.append(passing.middleware())
        v1_app.on_shutdown.append(passing.close)
    v1_app.add_routes(v1)
    app.add_subapp("/v1", v1_app)
    if v2 is not None:
        v2_app = web.Application(middlewares=[telnyx_middleware(log), _key_middleware(keys, v2.scope, _refuse_v2)])
        if workers is not None:
            passing = workers.passing(_refuse_v2)
            v2_app.middlewares.append(passing.middleware())
            v2_app[PASSING] = passing
        v2_app.add_routes(v2.routes())
        app.add_subapp("/v2", v2_app)
    app.router.add_route("*", "/{path:.*}", _nowhere)
    return app


def make_webhook_app(
    webhooks: WebhookReceiver,
    *,
    ready: Callable[[], bool],
    unready: Callable[[], str | None] = lambda: None,
    workers: Workers | None = None,
) -> web.Application:
    """What may be public: the route of webhooks, and health."""
    app = web.Application(client_max_size=MAX_WEBHOOK_BYTES)
    _add_health(app, ready, unready, workers)
    _add(app, web.post(_WEBHOOKS, webhooks.handle))
    app.router.add_route("*", "/{path:.*}", _nowhere)
    return app


@asynccontextmanager
async def listen(app: web.Application, address: Address, *, share: bool = False) -> AsyncIterator[Address]:
    """Serve the application while the context lasts; gives the address with the port that was bound.

    Other processes of the same user may listen there too, where the port is shared; each gets some connections.
    Without an access log: a path holds ids, and the counters tell the rest. A connection that says nothing for a
    minute is closed, and requests under way at the end get five seconds.
    """
    async with _running(app) as runner:
        await web.TCPSite(runner, address.host, address.port, reuse_port=share or None).start()
        host, port = runner.addresses[0][:2]
        yield Address(host, port)


@asynccontextmanager
async def listen_at(app: web.Application, path: Path) -> AsyncIterator[None]:
    """The same on a Unix socket, in the place of what an earlier process has left there."""
    async with _running(app) as runner:
        await web.UnixSite(runner, path).start()
        yield


@asynccontextmanager
async def _running(app: web.Application) -> AsyncIterator[web.AppRunner]:
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=60.0, shutdown_timeout=5.0)
    await runner.setup()
    try:
        yield runner
    finally:
        await runner.cleanup()


def _add_health(
    app: web.Application, ready: Callable[[], bool], unready: Callable[[], str | None], workers: Workers | None
) -> None:
    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(_: web.Request) -> web.Response:
        if ready():
            return web.json_response({"status": "ready"})
        reason = unready()
        return problem(503, "not ready for new calls" + (f": {reason}" if reason else ""))

    _add(app, web.get("/healthz", healthz))
    _add(app, web.get("/readyz", readyz if workers is None else workers.readyz))


def _add(app: web.Application, route: web.RouteDef) -> None:
    """Add a route, and problem details for its path with other methods."""
    resource = route.register(app.router)[0].resource
    assert isinstance(resource, web.Resource)
    resource.add_route("*", _other_method(route.method))


def _other_method(allowed: str) -> Handler:
    async def other_method(_: web.Request) -> web.Response:
        return problem(405, "Method Not Allowed", headers={"Allow": allowed})

    return other_method


async def _nowhere(_: web.Request) -> web.Response:
    return problem(404, "Not Found")


def _v1_scope(request: web.Request) -> Scope:
    resource = request.match_info.route.resource
    if request.method == "POST" and resource is not None and resource.canonical.endswith("/sinks"):
        return Scope.ADMIN  # a sink is named by a URL, which may be a file's, or a program's
    return Scope.READ if request.method in ("GET", "HEAD") else Scope.CONTROL


def _key_middleware(
    keys: ApiKeys, needs: Callable[[web.Request], Scope], refuse: Callable[[int, str], web.Response]
) -> Middleware:
    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        scope = keys.scope_of(request.headers.get("Authorization", ""))
        if scope is None:
            answer = refuse(401, "want the gateway's API key as bearer token")
            answer.headers["WWW-Authenticate"] = 'Bearer realm="gateway"'
            return answer
        needed = needs(request)
        if scope < needed:
            return refuse(403, f"want a key of scope {needed}; this one has {scope}")
        return await handler(request)

    return middleware


def _refuse_v1(status: int, detail: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return problem(status, detail, headers=headers)


def _refuse_v2(status: int, detail: str, headers: Mapping[str, str] | None = None) -> web.Response:
    code, title = _TELNYX_CODES.get(status, ("10007", "Unexpected error"))
    return telnyx_error(status, code, title, detail, headers=headers)
