"""Requests made of the OpenAPI document, right ones and wrong ones: what it does not say is never answered.

Nor is a 5xx, but for the 503 of what is not there in this gateway, such as a speech service.
"""

import asyncio
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import schemathesis
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from gateway.control.openapi import make_document
from tests.integration.phone import Phone
from tests.integration.test_api import KEY, running

CHECKS = (status_code_conformance, content_type_conformance, response_schema_conformance)
EXAMPLES = 1


async def agreeable(request: web.Request) -> web.Response:
    """Telnyx as it takes everything."""
    await request.read()
    return web.json_response({"data": {"result": "ok", "call_control_id": "v3:dialled"}})


async def test_nothing_is_answered_that_the_document_does_not_say(tmp_path: Path) -> None:
    telnyx = web.Application()
    telnyx.router.add_route("*", "/v2/{rest:.*}", agreeable)
    async with (
        TestServer(telnyx) as server,
        running(tmp_path, telnyx_base_url=str(server.make_url("/v2")), media_auth="none", timeout=120.0) as gateway,
        Phone(gateway.media_url, "live") as phone,
    ):
        await phone.begin()
        statuses = await asyncio.to_thread(ask_everything, gateway.http_url, phone.call_control_id)
    assert statuses["200"] > 15, statuses
    assert statuses["422"] > 3, statuses
    assert statuses["404"] > 5, statuses


def ask_everything(url: str, live: str) -> Counter[str]:
    """Ask every operation but the endless ones, about a call that runs and about others."""
    statuses: Counter[str] = Counter()
    document = {name: part for name, part in make_document().items() if name != "security"}  # else most lack a key
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=url)
    operations = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    commands = [operation for operation in operations if "/actions/" in operation.path]
    others = [operation for operation in operations if "/actions/" not in operation.path]
    # The commands all go one way: every eighth of them will do.
    for operation in (*others, *commands[::8]):
        if not operation.path.endswith("events"):
            ask(operation, live, statuses)
    return statuses


def ask(operation: Any, live: str, statuses: Counter[str]) -> None:
    """Right requests about the call that runs, wrong ones about any."""
    for mode in schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE:
        its_call = live if mode is schemathesis.GenerationMode.POSITIVE else None
        with suppress(Unsatisfiable):  # where there are no parameters, none of them can be wrong
            ask_some(operation, operation.as_strategy(generation_mode=mode), its_call, statuses)


def ask_some(operation: Any, cases: SearchStrategy[Any], its_call: str | None, statuses: Counter[str]) -> None:
    @seed(1)
    @settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def one(case: Any) -> None:
        if its_call is not None and "call_control_id" in case.path_parameters:
            case.path_parameters["call_control_id"] = its_call
        response = case.call(headers={"Authorization": f"Bearer {KEY}"}, timeout=10)
        statuses[str(response.status_code)] += 1
        if response.status_code >= 500:
            assert response.status_code == 503, (operation.label, response.text)
            assert "is not set" in response.text or "is not installed" in response.text, response.text
        case.validate_response(response, checks=CHECKS)

    one()
