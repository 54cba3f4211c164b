"""Telnyx's API, as far as calls go.

    POST /v2/calls                                       dial
    POST /v2/calls/{call_control_id}/actions/{action}    every command, each with the method that its model names
    PUT  /v2/calls/{call_control_id}/actions/client_state_update
    GET  /v2/balance                                     that the key is good, as Telnyx recommends to check it
    GET  /v2/calls/{call_control_id}                     how it is with one; ten minutes beyond its end
    GET  /v2/connections/{connection_id}/active_calls    those that live, in pages

A request leaves in `request[NOTE]` what the timeline should say of it.
"""

from typing import Any, Final

from aiohttp import web

from gateway.protocol.commands import COMMANDS, Dial
from gateway.simulator.actions import dial, execute
from gateway.simulator.exchange import Exchange
from gateway.simulator.refusal import Refusal, read_command

__all__ = ["NOTE", "TelnyxApi", "json_body"]

NOTE: Final[web.RequestKey[dict[str, Any]]] = web.RequestKey("note", dict)

_PAGE_SIZE: Final = 20
_MAX_NOTED: Final = 100
_MAX_PAGE_SIZE: Final = 250


class TelnyxApi:
    """The routes under `/v2`."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def routes(self) -> list[web.RouteDef]:
        """For the application's router."""
        action = "/v2/calls/{call_control_id}/actions/{action}"
        return [
            web.post("/v2/calls", self._dial),
            web.post(action, self._command),
            web.put(action, self._command),
            web.get("/v2/balance", self._balance),
            web.get("/v2/calls/{call_control_id}", self._status),
            web.get("/v2/connections/{connection_id}/active_calls", self._active_calls),
        ]

    async def _dial(self, request: web.Request) -> web.Response:
        note = request[NOTE]
        note["action"] = "dial"
        command = read_command("dial", await json_body(request))
        assert isinstance(command, Dial)
        note["command_id"] = command.command_id and command.command_id[:_MAX_NOTED]
        result, note["repeated"] = dial(self._exchange, command)
        note["call_control_id"] = result["call_control_id"]
        return web.json_response({"data": result})

    async def _command(self, request: web.Request) -> web.Response:
        note, action = request[NOTE], request.match_info["action"]
        note["action"] = action
        call = self._exchange.find(request.match_info["call_control_id"])
        note["call_control_id"] = call.leg.call_control_id
        model = COMMANDS.get(action)
        if model is None or model is Dial:
            raise Refusal(404, "10005", f"There is no command {action[:60]!r}.")
        if request.method != model.method:
            raise Refusal(405, "10030", f"{action} is a {model.method}, not a {request.method}.")
        command = read_command(action, await json_body(request))
        note["command_id"] = command.command_id and command.command_id[:_MAX_NOTED]
        result, note["repeated"] = execute(self._exchange, call, command)
        return web.json_response({"data": result})

    async def _balance(self, _: web.Request) -> web.Response:
        amounts = dict.fromkeys(("balance", "pending", "credit_limit", "available_credit"), "0.00")
        return web.json_response({"data": {"record_type": "balance", "currency": "USD", **amounts}})

    async def _status(self, request: web.Request) -> web.Response:
        call = self._exchange.find(request.match_info["call_control_id"])
        return web.json_response({"data": call.leg.status(now=self._exchange.clock.unix())})

    async def _active_calls(self, request: web.Request) -> web.Response:
        connection_id = request.match_info["connection_id"]
        if not self._exchange.account.has_connection(connection_id):
            raise Refusal(404, "10005", "There is no such connection.")
        now = self._exchange.clock.unix()
        calls = [call.leg.active(now=now) for call in self._exchange.active(connection_id)]
        return web.json_response(_page(calls, request))


async def json_body(request: web.Request) -> bytes:
    """The body, which must say that it is JSON: a web page somewhere cannot send such a request without asking first.

    Raises:
        Refusal: 422, it is something else.
    """
    body = await request.read()
    if body and request.content_type != "application/json":
        raise Refusal(422, "10029", f"The body is {request.content_type[:80]}, want application/json.")
    return body


def _page(items: list[dict[str, Any]], request: web.Request) -> dict[str, Any]:
    """One page of a list, by number or by the cursor of the page before or after it.

    Telnyx's text says that these lists go by cursors, its package goes by page numbers: both work. A cursor is the id
    of a call, so that calls which end in between do not shift what follows.
    """
    query = request.query
    size = _positive(query, "page[size]", _positive(query, "page[limit]", _PAGE_SIZE))
    if size > _MAX_PAGE_SIZE:
        raise Refusal(422, "10033", f"The value must be 1 to {_MAX_PAGE_SIZE}.", parameter="page[size]")
    ids = [item["call_control_id"] for item in items]
    if (after := query.get("page[after]")) is not None:
        start = _index(ids, after, "page[after]") + 1
    elif (before := query.get("page[before]")) is not None:
        start = max(0, _index(ids, before, "page[before]") - size)
    else:
        start = size * (_positive(query, "page[number]", 1) - 1)
    page, path = items[start : start + size], request.path
    more = start + size < len(items)
    meta: dict[str, Any] = {
        "total_items": len(items),
        "page_number": start // size + 1,
        "page_size": size,
        "total_pages": max(1, -(-len(items) // size)),
        "cursors": {"after": page[-1]["call_control_id"], "before": page[0]["call_control_id"]} if page else {},
        "next": f"{path}?page[after]={ids[start + size - 1]}&page[size]={size}" if more else None,
        "previous": f"{path}?page[before]={ids[start]}&page[size]={size}" if page and start else None,
    }
    return {"data": page, "meta": meta}


def _positive(query: Any, name: str, default: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 7 and int(text)):
        raise Refusal(422, "10033", "The value must be a whole number from 1.", parameter=name)
    return int(text)


def _index(ids: list[str], wanted: str, parameter: str) -> int:
    if wanted not in ids:
        raise Refusal(422, "10027", "No call that lives has this cursor.", parameter=parameter)
    return ids.index(wanted)
