"""The simulator's HTTP side: Telnyx's API under `/v2`, and under `/sim` what Telnyx has no API for.

    POST /v2/calls/{call_control_id}/actions/{action}    answer, hangup, streaming_start, streaming_stop
    GET  /v2/calls/{call_control_id}                     is it alive?
    POST /sim/calls                                      somebody calls
    GET  /sim/calls                                      every call, in short
    GET  /sim/calls/{call_control_id}                    all about one
    GET  /sim/calls/{call_control_id}/heard.wav          what the caller heard
    GET  /sim/calls/{call_control_id}/said.wav           what the application was sent

Bodies must say that they are JSON: a web page somewhere cannot send such a request without asking first.
"""

import base64
import binascii
import hmac
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import hdrs, web
from pydantic import BaseModel, ConfigDict, Field

from audio_codecs import Samples
from gateway.protocol.commands import COMMANDS
from gateway.simulator.exchange import Exchange
from gateway.simulator.refusal import Refusal, parse
from gateway.simulator.streaming import SAMPLE_RATE
from gateway.simulator.wav import read_wav, write_wav

__all__ = ["make_application"]

_MAX_BODY_BYTES: Final = 16 * 1024 * 1024  # about twelve minutes of base64 WAV

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class PlaceCall(BaseModel):
    """The body of `POST /sim/calls`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    from_: str = Field(alias="from", min_length=1, max_length=200)
    to: str = Field(min_length=1, max_length=200)
    audio: str = Field(repr=False)  # base64 of a WAV file, 8000 Hz, mono, 16 bit
    webhook_url: str | None = Field(None, pattern=r"^(?i:https?)://")
    silence_after: float = Field(0.5, ge=0, le=3600)  # seconds


def make_application(exchange: Exchange, *, api_key: str | None) -> web.Application:
    """Make the web application.

    Args:
        exchange: Where the calls are.
        api_key: The key that `/v2` wants; None takes any.
    """
    rest = _Rest(exchange, api_key)
    application = web.Application(middlewares=[rest.answer_in_shape], client_max_size=_MAX_BODY_BYTES)
    call = "/calls/{call_control_id}"
    application.add_routes(
        [
            web.post(f"/v2{call}/actions/{{action}}", rest.command),
            web.get(f"/v2{call}", rest.status),
            web.post("/sim/calls", rest.place_call),
            web.get("/sim/calls", rest.list_calls),
            web.get(f"/sim{call}", rest.describe_call),
            web.get(f"/sim{call}/heard.wav", rest.heard),
            web.get(f"/sim{call}/said.wav", rest.said),
        ]
    )
    return application


class _Rest:
    def __init__(self, exchange: Exchange, api_key: str | None) -> None:
        self._exchange = exchange
        self._api_key = api_key

    @web.middleware
    async def answer_in_shape(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Every refusal leaves in Telnyx's error shape."""
        try:
            if request.path.startswith("/v2"):
                self._authenticate(request)
            return await handler(request)
        except Refusal as refusal:
            return web.json_response(refusal.body(), status=refusal.status)
        except web.HTTPRequestEntityTooLarge as error:
            return web.json_response(Refusal(413, "10033", error.text or "too large").body(), status=413)
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed) as error:
            absent = Refusal(error.status, "10005", f"There is no {request.method} on this path.")
            return web.json_response(absent.body(), status=error.status)

    def _authenticate(self, request: web.Request) -> None:
        scheme, _, key = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        known = bool(key) if self._api_key is None else hmac.compare_digest(key.encode(), self._api_key.encode())
        if scheme.lower() != "bearer" or not known:
            raise Refusal(401, "10009", "Could not find a usable API key: send Authorization: Bearer KEY.")

    async def command(self, request: web.Request) -> web.Response:
        call = self._exchange.find(request.match_info["call_control_id"])
        model = COMMANDS.get(request.match_info["action"])
        if model is None:
            raise Refusal(404, "10005", "The simulator has no such command.")
        call.receive_command(parse(model, await _body(request)))
        return web.json_response({"data": {"result": "ok"}})

    async def status(self, request: web.Request) -> web.Response:
        call = self._exchange.find(request.match_info["call_control_id"])
        return web.json_response({"data": call.leg.status(now=time.time())})

    async def place_call(self, request: web.Request) -> web.Response:
        wanted = parse(PlaceCall, await _body(request))
        call = self._exchange.place_call(
            from_=wanted.from_,
            to=wanted.to,
            speech=_speech(wanted.audio),
            webhook_url=wanted.webhook_url,
            silence_after=wanted.silence_after,
        )
        return web.json_response({"data": call.describe()})

    async def list_calls(self, _: web.Request) -> web.Response:
        return web.json_response({"data": [call.describe() for call in self._exchange.calls()]})

    async def describe_call(self, request: web.Request) -> web.Response:
        call = self._exchange.find(request.match_info["call_control_id"])
        media: dict[str, Any] = {
            "media_sent": call.journal.media_sent.pairs(),
            "media_received": call.journal.media_received.pairs(),
        }
        return web.json_response({"data": call.describe() | media})

    async def heard(self, request: web.Request) -> web.Response:
        return _wav(self._exchange.find(request.match_info["call_control_id"]).journal.heard.samples())

    async def said(self, request: web.Request) -> web.Response:
        return _wav(self._exchange.find(request.match_info["call_control_id"]).journal.said.samples())


async def _body(request: web.Request) -> bytes:
    body = await request.read()
    if body and request.content_type != "application/json":
        raise Refusal(422, "10029", f"The body is {request.content_type[:80]}, want application/json.")
    return body


def _speech(audio: str) -> Samples:
    try:
        return read_wav(base64.b64decode(audio, validate=True), sample_rate=SAMPLE_RATE)
    except (binascii.Error, ValueError) as error:
        raise Refusal(422, "10027", f"audio: {error}", pointer="/audio") from error


def _wav(samples: Samples) -> web.Response:
    return web.Response(body=write_wav(samples, sample_rate=SAMPLE_RATE), content_type="audio/wav")
