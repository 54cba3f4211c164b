"""The HTTP side as aiohttp applications: which path leads where, and what a request must show on its way."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.typedefs import Middleware
from structlog.typing import FilteringBoundLogger

from gateway.config import Address
from gateway.control.problems import Handler, problem, problem_middleware, telnyx_error, telnyx_middleware
from gateway.control.scopes import ApiKeys, Scope
from gateway.control.v2_api import V2Api
from gateway.control.webhooks import MAX_WEBHOOK_BYTES, WebhookReceiver

__all__ = ["listen", "make_app", "make_webhook_app"]

_WEBHOOKS = "/webhooks/telnyx"


def make_app(
    *,
    webhooks: WebhookReceiver | None,
    v1: Sequence[web.RouteDef],
    v2: V2Api | None = None,
    public: Sequence[web.RouteDef] = (),
    keys: ApiKeys,
    ready: Callable[[], bool],
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
        log: Gets the exceptions of handlers.
    """
    app = web.Application(client_max_size=MAX_WEBHOOK_BYTES)  # a middleware here would cost each webhook a twentieth
    _add_health(app, ready)
    if webhooks is not None:
        _add(app, web.post(_WEBHOOKS, webhooks.handle))
    for route in public:
        _add(app, route)
    v1_app = web.Application(middlewares=[problem_middleware(log), _key_middleware(keys, _v1_scope, _refuse_v1)])
    v1_app.add_routes(v1)
    app.add_subapp("/v1", v1_app)
    if v2 is not None:
        v2_app = web.Application(middlewares=[telnyx_middleware(log), _key_middleware(keys, v2.scope, _refuse_v2)])
        v2_app.add_routes(v2.routes())
        app.add_subapp("/v2", v2_app)
    app.router.add_route("*", "/{path:.*}", _nowhere)
    return app


def make_webhook_app(webhooks: WebhookReceiver, *, ready: Callable[[], bool]) -> web.Application:
    """What may be public: the route of webhooks, and health."""
    app = web.Application(client_max_size=MAX_WEBHOOK_BYTES)
    _add_health(app, ready)
    _add(app, web.post(_WEBHOOKS, webhooks.handle))
    app.router.add_route("*", "/{path:.*}", _nowhere)
    return app


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


def _add_health(app: web.Application, ready: Callable[[], bool]) -> None:
    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ready"}) if ready() else problem(503, "not ready for new calls")

    _add(app, web.get("/healthz", healthz))
    _add(app, web.get("/readyz", readyz))


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


def _refuse_v1(status: int, detail: str) -> web.Response:
    return problem(status, detail)


def _refuse_v2(status: int, detail: str) -> web.Response:
    code, title = ("10009", "Authentication failed") if status == 401 else ("10010", "Authorization failed")
    return telnyx_error(status, code, title, detail)
