"""Errors as the HTTP side tells them: problem details, RFC 9457."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import TypeAlias

from aiohttp import web
from aiohttp.typedefs import Middleware
from structlog.typing import FilteringBoundLogger

__all__ = ["problem", "problem_middleware"]

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


def problem(status: int, detail: str, *, headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer that says what went wrong; the title is the status in words, as `about:blank` asks for."""
    return web.json_response(
        {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail},
        status=status,
        headers=headers,
        content_type="application/problem+json",
    )


def problem_middleware(log: FilteringBoundLogger) -> Middleware:
    """Makes problem details of aiohttp's own errors, and of exceptions, which are logged."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            allow = error.headers.get("Allow")
            return problem(error.status, error.reason, headers={"Allow": allow} if allow else None)
        except Exception:
            log.exception("request failed", method=request.method, route=_route(request))
            return problem(500, "the gateway failed; see its log")

    return middleware


def _route(request: web.Request) -> str | None:
    """The pattern, not the path: a path holds ids."""
    resource = request.match_info.route.resource
    return None if resource is None else resource.canonical
