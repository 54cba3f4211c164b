import json
import re
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.control.openapi import browsing_routes, make_document
from gateway.control.v1_models import CallDetails, CallPage
from gateway.directory import CallDirectory
from gateway.lifecycle import Dialled, HungUp, Initiated, Parties
from gateway.protocol.commands import COMMANDS


def every(node: Any, key: str) -> list[Any]:
    """All values of a key, wherever it stands."""
    if isinstance(node, list):
        return [found for item in node for found in every(item, key)]
    if not isinstance(node, dict):
        return []
    here = [node[key]] if key in node else []
    return here + [found for value in node.values() for found in every(value, key)]


def test_every_command_is_in_the_document_with_its_method_and_its_body() -> None:
    document = make_document()
    for action, model in COMMANDS.items():
        path = "/v2/calls" if action == "dial" else f"/v2/calls/{{call_control_id}}/actions/{action}"
        operation = document["paths"][path][model.method.lower()]
        (schema,) = every(operation["requestBody"], "schema")
        fields = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["properties"]
        names = {field.alias or name for name, field in model.model_fields.items()}
        assert set(fields) == names


def test_every_reference_leads_somewhere_and_every_pattern_can_be_read() -> None:
    document = make_document()
    schemas = document["components"]["schemas"]
    assert {reference.rpartition("/")[2] for reference in every(document, "$ref")} <= set(schemas)
    patterns = [pattern for pattern in every(document, "pattern") if isinstance(pattern, str)]
    assert len(patterns) > 10
    for pattern in patterns:
        re.compile(pattern)
        assert "(?" not in pattern.replace("(?:", ""), "which JavaScript does not know"


def test_unknown_fields_are_allowed_as_they_are_passed_on() -> None:
    assert False not in every(make_document(), "additionalProperties")


def test_what_is_shown_of_calls_is_what_the_models_say() -> None:
    record = CallDirectory().tell("v3:a", Dialled(), Initiated("outgoing"), Parties("a", "b"), HungUp("timeout"))
    page: dict[str, Any] = {"calls": [record.describe()], "next_cursor": None, "counters": {}}
    assert CallPage.model_validate_json(json.dumps(page), strict=True).calls[0].from_ == "a"
    CallDetails.model_validate_json(json.dumps(record.describe() | {"commands": []}), strict=True)


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
async def test_the_document_and_its_page_need_no_key_and_nothing_from_elsewhere(path: str) -> None:
    app = web.Application()
    app.add_routes(browsing_routes())
    async with TestClient[web.Request, web.Application](TestServer(app)) as client, client.get(path) as answer:
        assert answer.status == 200
        text = await answer.text()
        if path == "/openapi.json":
            assert json.loads(text)["openapi"] == "3.1.0"
        else:
            assert not re.findall(r"(?:src|href|import)\s*[=(]\s*[\"']?(?:https?:)?//", text)
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
