"""What Telnyx has no API for: people who call, numbers that are called, and everything seen from outside.

POST   /sim/calls                                    somebody calls
GET    /sim/calls                                    every call, in short
GET    /sim/calls/{call_control_id}                  all about one
GET    /sim/calls/{call_control_id}/timeline         what happened, in order
GET    /sim/calls/{call_control_id}/heard/{party}.wav   what the `person` or the `application` heard
POST   /sim/calls/{call_control_id}/person/{deed}    the person does something: `hangup`, or `answer`, `busy`, ...
GET    /sim/events                                   what happened in all calls; `?after=` a number, `?kind=`
GET    /sim/numbers                                  what happens when a number is called
PUT    /sim/numbers/{number}                         another rule, `default` for all other numbers
DELETE /sim/numbers/{number}                         the rule from the beginning
GET    /sim/limits                                   how many requests and dials may come
GET    /sim/faults                                   what goes wrong, for all calls and for single ones
POST   /sim/faults                                   let it go wrong; `?call_control_id=` in one call only
DELETE /sim/faults                                   let nothing go wrong any more; the same for one call
PUT    /sim/limits                                   other limits
"""

from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from audio_codecs import Samples
from gateway.protocol.commands import NameValue
from gateway.simulator.account import DEFAULT_CONNECTION
from gateway.simulator.casting import ScriptSource
from gateway.simulator.exchange import Exchange
from gateway.simulator.faults import Faults
from gateway.simulator.leg import LegState
from gateway.simulator.limits import RateLimit, RateLimiter
from gateway.simulator.numbers import ENDINGS, NumberRule
from gateway.simulator.refusal import Refusal, parse
from gateway.simulator.speech import SAMPLE_RATE, WavText, decode_speech
from gateway.simulator.telnyx_api import json_body
from gateway.simulator.timeline import CallTimeline, Timeline
from gateway.simulator.wav import write_wav

__all__ = ["PlaceCall", "SimApi"]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class PlaceCall(_Body):
    """The body of `POST /sim/calls`; see `Exchange.place_call`."""

    from_: str = Field(alias="from", min_length=1, max_length=200)
    to: str = Field(min_length=1, max_length=200)
    audio: WavText | None = Field(None, repr=False)  # the caller says nothing if None
    script: ScriptSource | None = Field(None, repr=False)  # what the caller does instead
    webhook_url: str | None = Field(None, pattern=r"^(?i:https?)://")
    silence_after: float | None = Field(0.5, ge=0, le=14_400)  # seconds; None stays
    gives_up_after: float | None = Field(None, ge=0, le=3600)  # seconds
    connection_id: str = DEFAULT_CONNECTION
    custom_headers: list[NameValue] = Field(default_factory=list, max_length=100)


class _Limit(_Body):
    requests: int = Field(ge=0, le=1_000_000)
    seconds: float = Field(gt=0, le=3600)


class _Limits(_Body):
    requests: _Limit | None = None
    dials: _Limit | None = None


class SimApi:
    """The routes under `/sim`."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def routes(self) -> list[web.RouteDef]:
        """For the application's router."""
        call = "/sim/calls/{call_control_id}"
        return [
            web.post("/sim/calls", self._place_call),
            web.get("/sim/calls", self._list_calls),
            web.get(call, self._describe_call),
            web.get(f"{call}/timeline", self._timeline),
            web.get(f"{call}/heard/{{party}}.wav", self._heard),
            web.get(f"{call}/heard.wav", self._heard),
            web.get(f"{call}/said.wav", self._said),
            web.post(f"{call}/person/{{deed}}", self._person),
            web.get("/sim/events", self._events),
            web.get("/sim/numbers", self._list_numbers),
            web.put("/sim/numbers/{number}", self._set_number),
            web.delete("/sim/numbers/{number}", self._reset_number),
            web.get("/sim/faults", self._list_faults),
            web.post("/sim/faults", self._set_faults),
            web.delete("/sim/faults", self._clear_faults),
            web.get("/sim/limits", self._list_limits),
            web.put("/sim/limits", self._set_limits),
        ]

    async def _place_call(self, request: web.Request) -> web.Response:
        wanted = parse(PlaceCall, await json_body(request))
        call = self._exchange.place_call(
            from_=wanted.from_,
            to=wanted.to,
            speech=None if wanted.audio is None else decode_speech(wanted.audio),
            script=wanted.script,
            webhook_url=wanted.webhook_url,
            silence_after=wanted.silence_after,
            gives_up_after=wanted.gives_up_after,
            connection_id=wanted.connection_id,
            custom_headers=[header.model_dump() for header in wanted.custom_headers],
        )
        return web.json_response({"data": call.describe()})

    async def _list_calls(self, _: web.Request) -> web.Response:
        return web.json_response({"data": [call.describe() for call in self._exchange.calls()]})

    async def _describe_call(self, request: web.Request) -> web.Response:
        call = self._exchange.look_up(request.match_info["call_control_id"])
        media: dict[str, Any] = {
            "media_sent": call.journal.media_sent.pairs(),
            "media_received": call.journal.media_received.pairs(),
        }
        return web.json_response({"data": call.describe() | media})

    async def _timeline(self, request: web.Request) -> web.Response:
        return _entries(self._exchange.look_up(request.match_info["call_control_id"]).timeline, request)

    async def _events(self, request: web.Request) -> web.Response:
        return _entries(self._exchange.timeline, request)

    async def _heard(self, request: web.Request) -> web.Response:
        journal = self._exchange.look_up(request.match_info["call_control_id"]).journal
        match request.match_info.get("party", "person"):
            case "person":
                return _wav(journal.heard.samples())
            case "application":
                return _wav(journal.said.samples())
            case party:
                raise Refusal(404, "10005", f"There is no {party[:40]!r} on a call: it is person or application.")

    async def _said(self, request: web.Request) -> web.Response:
        return _wav(self._exchange.look_up(request.match_info["call_control_id"]).journal.said.samples())

    async def _person(self, request: web.Request) -> web.Response:
        call, deed = self._exchange.look_up(request.match_info["call_control_id"]), request.match_info["deed"]
        await json_body(request)
        if deed not in ("hangup", "answer", *ENDINGS):
            raise Refusal(404, "10005", f"A person cannot {deed[:40]!r}; it is hangup, answer, {', '.join(ENDINGS)}.")
        if call.leg.state is LegState.ENDED:
            raise Refusal(422, "90018", "The call has ended.")
        if deed == "hangup":
            call.person_hangs_up()
        elif call.leg.state is not LegState.DIALING:
            raise Refusal(422, "10027", f"Only a person who is called, and has not answered yet, can {deed}.")
        else:
            call.timeline.note("person", deed=deed)
            if deed == "answer":
                call.answer()
            else:
                call.hang_up(ENDINGS[deed])
        return web.json_response({"data": call.describe()})

    async def _list_numbers(self, _: web.Request) -> web.Response:
        return web.json_response({"data": {n: _rule(rule) for n, rule in self._exchange.numbers.rules().items()}})

    async def _set_number(self, request: web.Request) -> web.Response:
        rule = parse(NumberRule, await json_body(request))
        self._exchange.numbers.set(request.match_info["number"], rule)
        return web.json_response({"data": _rule(rule)})

    async def _reset_number(self, request: web.Request) -> web.Response:
        number = request.match_info["number"]
        self._exchange.numbers.reset(number)
        return web.json_response({"data": _rule(self._exchange.numbers.rule(number))})

    async def _list_faults(self, _: web.Request) -> web.Response:
        book = self._exchange.faults
        calls = {call_control_id: faults.model_dump() for call_control_id, faults in book.calls().items()}
        return web.json_response({"data": {"all": book.of().model_dump(), "calls": calls}})

    async def _set_faults(self, request: web.Request) -> web.Response:
        faults = parse(Faults, await json_body(request))
        self._exchange.faults.set(faults, self._which(request))
        return web.json_response({"data": faults.model_dump()})

    async def _clear_faults(self, request: web.Request) -> web.Response:
        self._exchange.faults.clear(self._which(request))
        return await self._list_faults(request)

    def _which(self, request: web.Request) -> str | None:
        """The call that a request is about; None for all."""
        call_control_id = request.query.get("call_control_id")
        return None if call_control_id is None else self._exchange.look_up(call_control_id).leg.call_control_id

    async def _list_limits(self, _: web.Request) -> web.Response:
        limits = {"requests": self._exchange.requests.limit, "dials": self._exchange.dials.limit}
        data = {name: {"requests": limit.requests, "seconds": limit.seconds} for name, limit in limits.items()}
        return web.json_response({"data": data})

    async def _set_limits(self, request: web.Request) -> web.Response:
        wanted = parse(_Limits, await json_body(request))
        if wanted.requests is not None:
            self._exchange.requests = _limiter(wanted.requests)
        if wanted.dials is not None:
            self._exchange.dials = _limiter(wanted.dials)
        return await self._list_limits(request)


def _limiter(limit: _Limit) -> RateLimiter:
    return RateLimiter(RateLimit(limit.requests, limit.seconds))


def _rule(rule: NumberRule) -> dict[str, Any]:
    """A rule without its sound."""
    shown = rule.model_dump(exclude={"audio", "script"})
    return shown | {"has_audio": rule.audio is not None, "has_script": rule.script is not None}


def _entries(log: Timeline | CallTimeline, request: web.Request) -> web.Response:
    after = request.query.get("after", "0")
    if not (after.isascii() and after.isdigit() and len(after) < 16):
        raise Refusal(422, "10033", "The value must be a whole number.", parameter="after")
    entries = log.entries(after=int(after), kind=request.query.get("kind"))
    return web.json_response({"data": entries, "meta": {"dropped": log.dropped}})


def _wav(samples: Samples) -> web.Response:
    return web.Response(body=write_wav(samples, sample_rate=SAMPLE_RATE), content_type="audio/wav")
