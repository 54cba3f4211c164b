"""`/v2`: the paths and bodies of Telnyx's API, so that a Telnyx SDK works with the gateway as its base URL.

The caller shows the gateway's key, the gateway puts Telnyx's in its place. A command is checked by its model before it
leaves, gets a stream URL and a token where it asks for a stream and says none, and is sent as the gateway's own
commands are: with an id, again where no answer came, and within the limits. What the gateway does not know goes to
Telnyx as it is; this needs the scope `admin`, unless it is about a call.
"""

import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import unquote

from aiohttp import web

from gateway import lifecycle
from gateway.cluster.passing import PASSING
from gateway.control.bodies import BodyError, call_control_id_of, read_body
from gateway.control.client import CallControl
from gateway.control.problems import telnyx_error, telnyx_errors
from gateway.control.repeated import RETRY_COUNT, RepeatedRequests
from gateway.control.scopes import Scope
from gateway.control.stream_offers import StreamOffers, asks_for_stream
from gateway.directory import CallDirectory
from gateway.errors import AuthenticationError, CircuitOpenError, ControlError, RateLimitError
from gateway.protocol.commands import COMMANDS, Answer, Command, Dial, parse_command

__all__ = ["V2Api"]

_MAX_BODY_BYTES: Final = 4 * 2**20
"""Room for three minutes of base64 sound in a `playback_start`."""


class V2Api:
    """The routes under `/v2`.

    Args:
        control: Sends the commands; None where the gateway has no key of Telnyx.
        directory: Told of what Telnyx took.
        offers: Fills in where a stream goes.
        bind: Told the token and the id of a dialled call, as soon as there is one.
        announced: Waits until all workers know of a call that was dialled here; None where there is one only.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        control: CallControl | None,
        directory: CallDirectory,
        *,
        offers: StreamOffers | None,
        bind: Callable[[str, str], None] | None,
        announced: Callable[[str], Awaitable[None]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._control = control
        self._directory = directory
        self._offers = offers
        self._bind = bind
        self._announced = announced
        self._repeated = RepeatedRequests(clock)

    def routes(self) -> list[web.RouteDef]:
        """For a router whose paths begin behind `/v2`."""
        action = "/calls/{call_control_id:[^/]+}/actions/{action:[^/]+}"
        return [
            web.post("/calls", self.dial),
            web.post(action, self.command),
            web.put(action, self.command),
            web.get("/calls/{call_control_id:[^/]+}", self.status),
            web.route("*", "/{rest:.*}", self.anything),
        ]

    @staticmethod
    def scope(request: web.Request) -> Scope:
        """What a request needs."""
        if "rest" in request.match_info:
            return Scope.ADMIN
        return Scope.READ if request.method in ("GET", "HEAD") else Scope.CONTROL

    async def dial(self, request: web.Request) -> web.StreamResponse:
        """`POST /v2/calls`."""
        return await self._send(request, "dial", "")

    async def command(self, request: web.Request) -> web.StreamResponse:
        """`POST /v2/calls/{call_control_id}/actions/{action}`, or PUT where the command is one."""
        call_control_id = call_control_id_of(request)
        if call_control_id is None:
            return telnyx_error(422, "90015", "Invalid Call Control ID", "The id is none of Telnyx's.")
        action = request.match_info["action"]
        model = COMMANDS.get(action)
        if model is None or model is Dial:
            return await self._forward(request)
        if request.method != model.method:
            detail = f"{action} is a {model.method}, not a {request.method}."
            return telnyx_error(405, "10030", "Method not allowed", detail, headers={"Allow": model.method})
        return await self._send(request, action, call_control_id)

    async def status(self, request: web.Request) -> web.Response:
        """`GET /v2/calls/{call_control_id}`."""
        return await self._forward(request)

    async def anything(self, request: web.Request) -> web.Response:
        """Everything else that Telnyx may have."""
        return await self._forward(request)

    # --- commands -------------------------------------------------------------------------------------------------

    async def _send(self, request: web.Request, action: str, call_control_id: str) -> web.StreamResponse:
        try:
            body = await self._json(request)
            passing = request.app.get(PASSING)
            # A dial that is sent again must come where the first one did: nobody else knows that one.
            if passing is not None and action == "dial" and RETRY_COUNT in request.headers:
                elsewhere = await passing.by_body(request, body)
                if elsewhere is not None:
                    return elsewhere
            command = parse_command(action, body)
            command_id = self._repeated.command_id(request.headers.get(RETRY_COUNT), request.path, body)
            if command_id is not None:
                command = command.with_command_id(command_id)
            return web.json_response({"data": await self._carry_out(command, call_control_id)})
        except BodyError as error:
            return _refused_body(error)
        except ControlError as error:
            return _refused(error)

    async def _carry_out(self, command: Command, call_control_id: str) -> Mapping[str, Any]:
        if self._control is None:
            raise AuthenticationError("the gateway cannot send it: TELNYX_API_KEY is not set", status=503)
        token = None
        command = command.with_command_id(str(uuid.uuid4()))
        if self._offers is not None:
            command, token = self._offers.fill_in(command, call_control_id or None)
        data = await self._control.command(call_control_id, command, strict=True)
        if isinstance(command, Dial):
            call_control_id = str(data.get("call_control_id") or "")
        if call_control_id:
            self._took(command, call_control_id, token)
            if isinstance(command, Dial) and self._announced is not None:
                await self._announced(call_control_id)
        return data

    def _took(self, command: Command, call_control_id: str, token: str | None) -> None:
        """Note what Telnyx took, so that the gateway does not ask for it as well."""
        facts: list[lifecycle.Fact] = []
        if isinstance(command, Dial):
            to = command.to if isinstance(command.to, str) else command.to[0]
            facts += [lifecycle.Dialled(), lifecycle.Parties(command.from_[:128], to[:128])]
        if isinstance(command, Answer):
            facts.append(lifecycle.AnswerAccepted())
        if asks_for_stream(command):
            facts.append(lifecycle.StreamRequested(str(command.command_id)))
        if facts:
            self._directory.tell(call_control_id, *facts)
        if isinstance(command, Dial) and token is not None and self._bind is not None:
            self._bind(token, call_control_id)

    async def _json(self, request: web.Request) -> bytes:
        body = await read_body(request, max_bytes=_MAX_BODY_BYTES)
        if body and request.content_type != "application/json":
            raise BodyError(415, f"The body is {request.content_type[:80]}, want application/json.")
        return body

    # --- what is passed on ----------------------------------------------------------------------------------------

    async def _forward(self, request: web.Request) -> web.Response:
        if self._control is None:
            return _refused(AuthenticationError("the gateway cannot send it: TELNYX_API_KEY is not set", status=503))
        target = request.raw_path.removeprefix("/v2")
        if not request.raw_path.startswith("/v2/") or _leads_astray(target):
            return telnyx_error(404, "10005", "Resource not found", "There is no such path.")
        try:
            body = await read_body(request, max_bytes=_MAX_BODY_BYTES)
            answer = await self._control.forward(
                request.method, target, body, request.headers.get("Content-Type", "application/octet-stream")
            )
        except BodyError as error:
            return _refused_body(error)
        except ControlError as error:
            return _refused(error)
        return web.Response(status=answer.status, body=answer.body, content_type=answer.content_type)


def _leads_astray(target: str) -> bool:
    """Whether a path could be read as another one by somebody on its way."""
    path = target.partition("?")[0]
    for text in (path, unquote(path), unquote(unquote(path))):
        if "\\" in text or any(part in (".", "..") for part in text.split("/")) or not text.isprintable():
            return True
    return "//" in path


def _refused_body(error: BodyError) -> web.Response:
    code, title = {
        413: ("10033", "Value outside of range"),
        415: ("10029", "Expected JSON Content-Type"),
    }.get(error.status, ("10015", "Bad Request"))
    return telnyx_error(error.status, code, title, str(error))


def _refused(error: ControlError) -> web.Response:
    """Telnyx's errors as they came; what the gateway found itself in the same shape."""
    if error.errors:
        return telnyx_errors(error.status, error.errors)
    if isinstance(error, RateLimitError):
        return telnyx_error(429, "10011", "Too many requests", str(error), headers={"Retry-After": "1"})
    status = error.status
    if status == 0:
        status = 503 if isinstance(error, CircuitOpenError) else 502
    return telnyx_error(status, error.code or "10007", error.title or "Unexpected error", error.detail or str(error))
