"""What every request meets on its way in: the key, the limits, the shape of refusals, the seam for faults."""

import asyncio
import io
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from gateway.simulator.limits import RateLimit
from gateway.simulator.rest import Handler

from .application import KEY, application, ignore, simulator

UNKNOWN = "v3:" + "x" * 54


@pytest.mark.parametrize("authorization", [None, "Bearer", "Bearer ", "Basic a2V5", "key", "Bearer other"])
async def test_telnyx_side_wants_a_key(authorization: str | None) -> None:
    async with application(ignore) as app, simulator(app, api_key="key") as running:
        headers = {} if authorization is None else {"Authorization": authorization}
        url = f"{running.rest_url}/calls/{UNKNOWN}/actions/answer"
        async with app.session.post(url, json={}, headers=headers) as answer:
            assert (answer.status, (await answer.json())["errors"][0]["code"]) == (401, "10009")
        assert (await app.command(UNKNOWN, "answer"))[0] == 404
        (refused, _) = running.exchange.timeline.entries()
        assert (refused["kind"], refused["status"], refused["code"]) == ("command", 401, "10009")


async def test_any_key_is_taken_where_none_is_set_but_an_empty_one() -> None:
    async with application(ignore) as app, simulator(app) as running:
        assert (await app.command(UNKNOWN, "answer"))[0] == 404
        url = f"{running.rest_url}/calls/{UNKNOWN}"
        async with app.session.get(url, headers={"Authorization": "Bearer "}) as answer:
            assert answer.status == 401


async def test_what_is_not_there_is_a_404_in_telnyx_shape() -> None:
    async with application(ignore) as app, simulator(app) as running:
        for url in (f"{running.rest_url}/calls/{UNKNOWN}", f"{running.rest_url}/elsewhere", f"{running.sim_url}/x"):
            status, body = await app.request("GET", url)
            assert (status, body["errors"][0]["code"]) == (404, "10005")
        status, body = await app.request("DELETE", f"{running.rest_url}/calls")
        assert (status, body["errors"][0]["code"]) == (405, "10030")


async def test_a_body_that_does_not_say_it_is_json_is_refused() -> None:
    async with application(ignore) as app, simulator(app) as running:
        for url in (f"{running.sim_url}/calls", f"{running.rest_url}/calls"):
            async with app.session.post(url, data=b'{"from": "x"}', headers=KEY) as answer:
                assert (answer.status, (await answer.json())["errors"][0]["code"]) == (422, "10029")


async def test_a_body_that_is_too_large_is_refused() -> None:
    async with application(ignore) as app, simulator(app) as running:
        body = io.BytesIO(b'"' + b"x" * (16 * 1024 * 1024) + b'"')
        headers = {"Content-Type": "application/json"}
        async with app.session.post(f"{running.sim_url}/calls", data=body, headers=headers) as answer:
            assert answer.status == 413
            assert (await answer.json())["errors"][0]["code"] == "10033"


async def test_every_answer_tells_of_the_limit_and_beyond_it_there_is_none() -> None:
    async with application(ignore) as app, simulator(app, requests=RateLimit(2, 60.0)) as running:
        url = f"{running.rest_url}/calls/{UNKNOWN}"
        told = []
        for _ in range(3):
            async with app.session.get(url, headers=KEY) as answer:
                told.append((answer.status, answer.headers["x-ratelimit-remaining"]))
                limit, reset = answer.headers["x-ratelimit-limit"], answer.headers["x-ratelimit-reset"]
                body = await answer.json()
        assert told == [(404, "1"), (404, "0"), (429, "0")]
        assert (body["errors"][0]["code"], body["errors"][0]["title"]) == ("10011", "Too many requests")
        assert (limit, answer.headers["retry-after"]) == ("2", reset)
        assert 58 <= int(reset) <= 60

        limits = {"requests": {"requests": 5, "seconds": 1}}
        assert (await app.request("PUT", f"{running.sim_url}/limits", limits))[1]["data"]["requests"]["requests"] == 5
        assert (await app.request("GET", url))[0] == 404


async def test_whoever_stands_around_decides_what_is_answered() -> None:
    """The seam for faults: an answer that comes late, one that is wrong, and a connection that is cut."""
    seen: list[str] = []

    async def meddle(request: web.Request, handler: Handler) -> web.StreamResponse:
        seen.append(request.path)
        if request.path.endswith("/hangup"):
            return web.json_response({"errors": []}, status=500)
        if request.path.endswith("/answer"):
            assert request.transport is not None
            request.transport.close()
        response = await handler(request)
        await asyncio.sleep(0.05)
        return response

    async with application(ignore) as app, simulator(app, around=meddle) as running:
        assert (await app.command(UNKNOWN, "hangup")) == (500, {"errors": []})
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await app.command(UNKNOWN, "answer")
        loop = asyncio.get_running_loop()
        before = loop.time()
        status: tuple[int, Any] = await app.request("GET", f"{running.rest_url}/calls/{UNKNOWN}")
        assert status[0] == 404
        assert loop.time() - before >= 0.05
        await app.request("GET", f"{running.sim_url}/calls")
        assert [path.rpartition("/")[2] for path in seen] == ["hangup", "answer", UNKNOWN]
