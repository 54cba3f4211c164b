"""The OpenAPI document, made of the models that check what comes in, and a page to browse it.

A command under `/v2` takes fields that its model does not know, so the document allows them. Patterns are those of the
models, but for what other languages' regular expressions do not have.
"""

import functools
import re
from collections.abc import Iterator, Mapping
from importlib import metadata, resources
from typing import Any, Final, TypeAlias

import msgspec
from aiohttp import web
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gateway.control.media_api import MEDIA_OPERATIONS
from gateway.control.v1_models import CallDetails, CallPage, Errors, Problem, RecordingPage, Sidecar, TranscriptShown
from gateway.protocol.commands import COMMANDS, Command

__all__ = ["browsing_routes", "make_document"]

_Json: TypeAlias = dict[str, Any]
_References: TypeAlias = Mapping[Any, _Json]  # of each model
_Operations: TypeAlias = Iterator[tuple[str, str, _Json]]

_CALL: Final = {
    "name": "call_control_id",
    "in": "path",
    "required": True,
    "description": "Telnyx's id of the call",
    "schema": {"type": "string", "minLength": 1},
}
_RECORDING: Final = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}$"},
}
_PAGE: Final = [
    {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}},
    {
        "name": "cursor",
        "in": "query",
        "description": "the `next_cursor` of the page before",
        "schema": {"type": "string"},
    },
]
_LAST_EVENT_ID: Final = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "the `id` of the event that was read last",
    "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"},
}
_RANGE: Final = {"name": "Range", "in": "header", "schema": {"type": "string"}, "example": "bytes=0-1023"}
_STATES: Final = {"name": "live", "in": "query", "schema": {"enum": ["true", "false"]}}
_OF_CALL: Final = {"name": "call_control_id", "in": "query", "schema": {"type": "string"}}

_OURS: Final = (Problem, Errors, CallPage, CallDetails, TranscriptShown, RecordingPage, Sidecar)

_PATTERNS: Final = (
    (re.compile(r"\(\?i:https\?\)"), "[Hh][Tt][Tt][Pp][Ss]?"),
    (re.compile(r"\(\?i:wss\?\)"), "[Ww][Ss][Ss]?"),
    (re.compile(r"\\x\{10000\}-\\x\{10ffff\}"), ""),
)


@functools.cache
def make_document() -> _Json:
    """The document, as JSON-ready values: OpenAPI 3.1."""
    models: set[type[BaseModel]] = {*_OURS, *COMMANDS.values()}
    for operation in MEDIA_OPERATIONS:
        models |= {operation.response} | ({operation.request} if operation.request is not None else set())
    names, schemas = models_json_schema(
        [(model, "validation") for model in sorted(models, key=lambda model: model.__qualname__)],
        ref_template="#/components/schemas/{model}",
    )
    references: _References = {model: reference for (model, _), reference in names.items()}
    paths: dict[str, _Json] = {}
    for path, method, described in (*_v1(references), *_media(references), *_v2(references), *_plain()):
        paths.setdefault(path, {})[method] = described
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Telnyx media gateway",
            "version": metadata.version("telnyx-media-gateway"),
            "description": "See docs/api.md.",
        },
        "tags": [
            {"name": "calls", "description": "the calls that run and those that are over"},
            {"name": "media", "description": "what the gateway itself does on the stream of a running call"},
            {"name": "recordings"},
            {"name": "commands", "description": "Telnyx's own API, with the gateway's key"},
            {"name": "operations"},
        ],
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "schemas": _mended(schemas["$defs"]),
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "a key of scope read for GET, control for the rest, admin where it is said",
                }
            },
        },
    }


def browsing_routes() -> list[web.RouteDef]:
    """`/openapi.json`, and `/docs` to read it in a browser; neither needs a key."""
    document = msgspec.json.encode(make_document())
    page = resources.files("gateway.control").joinpath("docs_page.html").read_bytes()
    # The page loads nothing from elsewhere, and may not.
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
    headers = {
        "Content-Security-Policy": f"{policy}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
    }

    async def openapi(_: web.Request) -> web.Response:
        return web.Response(body=document, content_type="application/json")

    async def docs(_: web.Request) -> web.Response:
        return web.Response(body=page, content_type="text/html", charset="utf-8", headers=headers)

    return [web.get("/openapi.json", openapi), web.get("/docs", docs)]


# --- the parts of it --------------------------------------------------------------------------------------------------


def _v1(references: _References) -> _Operations:
    problems = _problems(references)

    def get(tag: str, summary: str, answer: _Json, parameters: list[Any], *errors: int, also: Any = None) -> _Json:
        return {
            "tags": [tag],
            "summary": summary,
            "parameters": parameters,
            "responses": {"200": answer} | (also or {}) | problems(401, 403, *errors),
        }

    stream = {"description": "server-sent events", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
    sound = {"description": "the file", "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}
    parts = {"206": sound | {"description": "a part of it"}, "416": {"description": "there is no such part"}}
    page = [*_PAGE, _STATES]
    yield (
        "/v1/calls",
        "get",
        get("calls", "The calls, newest first", _json(references[CallPage]), page, 400, 503),
    )
    yield (
        "/v1/calls/{call_control_id}",
        "get",
        get("calls", "One call, with its commands", _json(references[CallDetails]), [_CALL], 404, 503),
    )
    yield (
        "/v1/calls/{call_control_id}/transcript",
        "get",
        get("calls", "What was said in one call", _json(references[TranscriptShown]), [_CALL], 404, 503),
    )
    yield (
        "/v1/calls/{call_control_id}/events",
        "get",
        get("calls", "What happens in one call", stream, [_CALL, _LAST_EVENT_ID], 400, 404, 503),
    )
    yield "/v1/events", "get", get("calls", "What happens in all calls", stream, [_LAST_EVENT_ID], 400, 503)
    yield (
        "/v1/recordings",
        "get",
        get("recordings", "Recordings, newest first", _json(references[RecordingPage]), [*_PAGE, _OF_CALL], 400),
    )
    yield (
        "/v1/recordings/{id}",
        "get",
        get("recordings", "The sound of a recording", sound, [_RECORDING, _RANGE], 404, also=parts),
    )
    yield (
        "/v1/recordings/{id}/sidecar",
        "get",
        get("recordings", "All that is known of a recording", _json(references[Sidecar]), [_RECORDING], 404),
    )


def _media(references: _References) -> _Operations:
    problems = _problems(references)
    for operation in MEDIA_OPERATIONS:
        names = re.findall(r"\{(\w+)\}", operation.path)
        others = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]
        described: _Json = {
            "tags": ["media"],
            "summary": operation.summary,
            "parameters": [_CALL, *others],
            "responses": {"200": _json(references[operation.response])}
            | problems(400, 401, 403, 404, 408, 409, 413, 422, 503),
        }
        if operation.path == "/sinks" and operation.method == "POST":
            described["description"] = "Needs a key of scope admin."
        if operation.request is not None:
            described["requestBody"] = {"content": {"application/json": {"schema": references[operation.request]}}}
        yield f"/v1/calls/{{call_control_id}}{operation.path}", operation.method.lower(), described


def _v2(references: _References) -> _Operations:
    errors: _Json = {
        str(status): {"description": what, "content": {"application/json": {"schema": references[Errors]}}}
        for status, what in (
            (400, "Telnyx finds it wrong"),
            (401, "no key of the gateway; or Telnyx does not take the gateway's"),
            (403, "the key may not do this; or the account may not"),
            (404, "no such call"),
            (405, "another method is wanted"),
            (408, "the body did not come in"),
            (413, "the body is larger than 4 MiB"),
            (415, "the body is no JSON"),
            (422, "a field is wrong, or the command comes at the wrong moment"),
            (429, "too many, by Telnyx's limits or the gateway's own"),
            (500, "Telnyx failed"),
            (501, "a simulator does not do this"),
            (502, "Telnyx did not answer"),
            (503, "Telnyx fails again and again, or the gateway has no key of Telnyx"),
        )
    }
    done = {"description": "Telnyx took it", "content": {"application/json": {"schema": {"type": "object"}}}}
    for action, model in COMMANDS.items():
        path = "/v2/calls" if action == "dial" else f"/v2/calls/{{call_control_id}}/actions/{action}"
        yield (
            path,
            model.method.lower(),
            {
                "tags": ["commands"],
                "summary": _first_sentence(model),
                "parameters": [] if action == "dial" else [_CALL],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": references[model]}},
                },
                "responses": {"200": done} | errors,
            },
        )
    yield (
        "/v2/calls/{call_control_id}",
        "get",
        {
            "tags": ["commands"],
            "summary": "How Telnyx says it is with a call",
            "parameters": [_CALL],
            "responses": {"200": done} | errors,
        },
    )


def _plain() -> _Operations:
    """What needs no key."""
    answer = {"description": "yes", "content": {"application/json": {"schema": {"type": "object"}}}}
    for path, summary in (("/healthz", "Whether the process works"), ("/readyz", "Whether new calls may come")):
        no = {"503": {"description": "no"}} if path == "/readyz" else {}
        yield (
            path,
            "get",
            {"tags": ["operations"], "summary": summary, "security": [], "responses": {"200": answer} | no},
        )


def _json(schema: Any) -> _Json:
    return {"description": "the answer", "content": {"application/json": {"schema": schema}}}


def _problems(references: _References) -> Any:
    def of(*statuses: int) -> _Json:
        content = {"application/problem+json": {"schema": references[Problem]}}
        return {str(status): {"description": _WORDS[status], "content": content} for status in statuses}

    return of


_WORDS: Final = {
    400: "the query or the body is wrong",
    401: "no key of the gateway",
    403: "the key may not do this",
    404: "there is no such thing, or no such call that runs",
    408: "the body did not come in",
    409: "not now",
    413: "the body is too large",
    422: "a field is wrong",
    503: "not possible now",
}


def _first_sentence(model: type[Command]) -> str:
    return (model.__doc__ or model.action).partition(".")[0].strip()


def _mended(schema: Any) -> Any:
    """The same for readers who have other regular expressions than pydantic, and with room for unknown fields."""
    if isinstance(schema, list):
        return [_mended(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    mended = {key: _mended(value) for key, value in schema.items()}
    if mended.get("additionalProperties") is False:
        del mended["additionalProperties"]
    if isinstance(pattern := mended.get("pattern"), str):
        for there, plain in _PATTERNS:
            pattern = there.sub(plain, pattern)
        mended["pattern"] = pattern
    return mended
