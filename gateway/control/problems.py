"""Errors as the HTTP side tells them: problem details, RFC 9457; under `/v2` in Telnyx's shape."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, TypeAlias

from aiohttp import web
from aiohttp.typedefs import Middleware
from structlog.typing import FilteringBoundLogger

__all__ = ["Handler", "problem", "problem_middleware", "telnyx_error", "telnyx_errors", "telnyx_middleware"]

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


def telnyx_error(
    status: int, code: str, title: str, detail: str, *, headers: Mapping[str, str] | None = None
) -> web.Response:
    """An error of the gateway's own in the shape of Telnyx's; the code is Telnyx's for the like."""
    return telnyx_errors(status, [{"code": code, "title": title, "detail": detail}], headers=headers)


def telnyx_errors(
    status: int, errors: Sequence[Mapping[str, Any]], *, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Errors in the shape of Telnyx's."""
    return web.json_response({"errors": list(errors)}, status=status, headers=headers)


def telnyx_middleware(log: FilteringBoundLogger) -> Middleware:
    """As `problem_middleware`, in Telnyx's shape."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            code, title = ("10005", "Resource not found") if error.status == 404 else ("10015", "Bad Request")
            return telnyx_error(error.status, code, title, error.reason)
        except Exception:
            log.exception("request failed", method=request.method, route=_route(request))
            return telnyx_error(500, "10007", "Unexpected error", "the gateway failed; see its log")

    return middleware


def _route(request: web.Request) -> str | None:
    """The pattern, not the path: a path holds ids."""
    resource = request.match_info.route.resource
    return None if resource is None else resource.canonical
