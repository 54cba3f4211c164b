"""Faults of the API: what every request under `/v2` passes through."""

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Any, Final

from aiohttp import hdrs, web

from gateway.simulator.exchange import Exchange
from gateway.simulator.refusal import Refusal
from gateway.simulator.rest import Handler

__all__ = ["FaultyRest"]

_SOCKET_TIMEOUT: Final = 10.0
_RESET: Final = struct.pack("ii", 1, 0)  # linger for no time: what closes then is a RST


class FaultyRest:
    """An `Around` that does to requests what the faults in force say.

    Args:
        exchange: Where the calls and the faults are.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def __call__(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a request, or do something else with it; see `Around`."""
        call_control_id, action = request.match_info.get("call_control_id"), _action(request)
        faults = self._exchange.faults.of(call_control_id).rest
        if faults.only and action not in faults.only:
            return await handler(request)

        def happens(name: str, chance: float, **fields: Any) -> bool:
            thrown = self._exchange.faults.throw("rest", chance, call_control_id)
            if thrown:
                self._exchange.note_fault(call_control_id, "rest", name, action=action, **fields)
            return thrown

        await request.read()  # as long as it is there: who waits too long for an answer goes away
        if happens("slow", faults.slow, seconds=faults.slow_by):
            await self._exchange.clock.sleep(faults.slow_by)
        if happens("reset", faults.reset):
            return _reset(request)
        if happens("status_429", faults.status_429):
            return _refuse(Refusal(429, "10011", "Too many requests.", headers={"retry-after": "1"}))
        if happens("status_500", faults.status_500):
            return _refuse(Refusal(500, "10007", "An unexpected error occurred."))
        response = await handler(request)
        if happens("reset_after", faults.reset_after):
            return _reset(request)
        if call_control_id is not None and action in ("answer", "streaming_start") and response.status == 200:
            streaming = self._exchange.look_up(call_control_id).streaming
            if streaming is not None and happens("after_socket", faults.after_socket):
                with suppress(TimeoutError):
                    async with asyncio.timeout(_SOCKET_TIMEOUT):
                        await streaming.opened.wait()
        return response


def _action(request: web.Request) -> str:
    if request.method == hdrs.METH_GET:
        return "query"
    return request.match_info.get("action", "dial")


def _refuse(refusal: Refusal) -> web.Response:
    return web.json_response(refusal.body(), status=refusal.status, headers=refusal.headers)


def _reset(request: web.Request) -> web.Response:
    """Cut the connection; the response that is returned goes nowhere."""
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        transport.abort()
    return web.Response(status=499)
