"""The simulator's HTTP side: the routes of `telnyx_api` and `sim_api`, and what every request meets on its way.

A request under `/v2` needs a key and counts against the limit; every refusal leaves in Telnyx's error shape; each is
noted in the timeline. All requests under `/v2` pass through one `Around`: whoever wants answers late, wrong or cut
off puts a function of its own there.
"""

import hmac
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from aiohttp import hdrs, web

from gateway.simulator.exchange import Exchange
from gateway.simulator.refusal import Refusal
from gateway.simulator.sim_api import SimApi
from gateway.simulator.telnyx_api import NOTE, TelnyxApi

__all__ = ["Around", "Handler", "make_application"]

_MAX_BODY_BYTES: Final = 16 * 1024 * 1024  # about twelve minutes of base64 WAV

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
Around: TypeAlias = Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]
"""Answers a request by itself, or has the handler do it, before or after something else."""


async def _straight(request: web.Request, handler: Handler) -> web.StreamResponse:
    return await handler(request)


def make_application(exchange: Exchange, *, around: Around | None = None) -> web.Application:
    """Make the web application.

    Args:
        exchange: Where the calls are.
        around: What every request under `/v2` passes through; nothing if None.
    """
    gate = _Gate(exchange, around or _straight)
    application = web.Application(middlewares=[gate.pass_through], client_max_size=_MAX_BODY_BYTES)
    application.add_routes([*TelnyxApi(exchange).routes(), *SimApi(exchange).routes()])
    return application


class _Gate:
    def __init__(self, exchange: Exchange, around: Around) -> None:
        self._exchange = exchange
        self._around = around

    @web.middleware
    async def pass_through(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let a request in, or answer it at the door."""
        if not request.path.startswith("/v2"):
            try:
                return await _in_shape(request, handler)
            except Refusal as refusal:
                return _answer(refusal)

        async def let_in(request: web.Request) -> web.StreamResponse:
            return await self._let_in(request, handler)

        return await self._around(request, let_in)

    async def _let_in(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        request[NOTE] = {}
        came = self._exchange.clock.now()
        refusal: Refusal | None = None
        try:
            self._authenticate(request)
            self._count()
            response = await _in_shape(request, handler)
        except Refusal as error:
            refusal, response = error, _answer(error)
        now = self._exchange.clock.now()
        response.headers.update(self._exchange.requests.headers(now=now))
        self._note(request, response.status, refusal, took_ms=round(1000 * (now - came), 1))
        return response

    def _authenticate(self, request: web.Request) -> None:
        wanted = self._exchange.account.api_key
        scheme, _, key = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        known = bool(key) if wanted is None else hmac.compare_digest(key.encode(), wanted.encode())
        if scheme.lower() != "bearer" or not known:
            raise Refusal(401, "10009", "Could not find a usable API key: send Authorization: Bearer KEY.")

    def _count(self) -> None:
        now = self._exchange.clock.now()
        if not self._exchange.requests.take(now=now):
            retry = {"retry-after": self._exchange.requests.headers(now=now)["x-ratelimit-reset"]}
            raise Refusal(429, "10011", "You have exceeded the maximum number of allowed requests.", headers=retry)

    def _note(self, request: web.Request, status: int, refusal: Refusal | None, *, took_ms: float) -> None:
        fields: dict[str, Any] = {"method": request.method, "path": request.path[:300]}
        fields |= {name: value for name, value in request[NOTE].items() if value not in (None, False)}
        fields |= {"status": status, "took_ms": took_ms}
        if refusal is not None:
            fields |= {"code": refusal.code, "detail": str(refusal)}
        kind = "query" if request.method == hdrs.METH_GET else "command"
        call_control_id = fields.pop("call_control_id", None)
        if call_control_id is None:
            self._exchange.timeline.note(kind, **fields)
        else:
            self._exchange.look_up(call_control_id).timeline.note(kind, **fields)


async def _in_shape(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Have a request handled; what the web framework refuses is refused as Telnyx would."""
    try:
        return await handler(request)
    except web.HTTPRequestEntityTooLarge as error:
        raise Refusal(413, "10033", error.text or "The body is too large.") from error
    except web.HTTPMethodNotAllowed as error:
        raise Refusal(405, "10030", f"There is no {request.method} on this path.") from error
    except web.HTTPNotFound as error:
        raise Refusal(404, "10005", f"There is no {request.method} on this path.") from error


def _answer(refusal: Refusal) -> web.Response:
    return web.json_response(refusal.body(), status=refusal.status, headers=refusal.headers)
