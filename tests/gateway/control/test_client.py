import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from gateway.control.client import CallControl
from gateway.errors import ConfigError, ControlError
from gateway.protocol.commands import Answer, Hangup, StreamingStart

API_KEY = "KEY0123456789"
OK = {"data": {"result": "ok"}}
Step = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FakeTelnyx:
    """Telnyx's REST side: answers the requests with `steps`, one each, then with 200; acts once for each command_id."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.headers: list[str | None] = []
        self.acted: list[str] = []
        self._ids: set[str] = set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append((request.raw_path, body))
        self.headers.append(request.headers.get("Authorization"))
        if body["command_id"] not in self._ids:
            self._ids.add(body["command_id"])
            self.acted.append(request.path)
        return await self.steps.pop(0)(request) if self.steps else web.json_response(OK)


def refuse(status: int, code: Any = "10007", *, retry_after: str | None = None, **fields: Any) -> Step:
    """Answer as Telnyx does when it says no."""

    async def step(_: web.Request) -> web.StreamResponse:
        headers = {} if retry_after is None else {"Retry-After": retry_after}
        return web.json_response({"errors": [{"code": code, **fields}]}, status=status, headers=headers)

    return step


def say(status: int, body: bytes) -> Step:
    """Answer with any body."""

    async def step(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=body)

    return step


async def reset(request: web.Request) -> web.StreamResponse:
    """Drop the connection: the command was acted on, its answer is lost."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def dawdle(request: web.Request) -> web.StreamResponse:
    """Begin a good answer and never end it."""
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b'{"data": ')
    await asyncio.Event().wait()
    return response


async def redirect(request: web.Request) -> web.StreamResponse:
    """Send the client somewhere else."""
    raise web.HTTPTemporaryRedirect(request.path + "/elsewhere")


@pytest.fixture
def telnyx() -> FakeTelnyx:
    return FakeTelnyx()


@pytest_asyncio.fixture
async def make(telnyx: FakeTelnyx) -> AsyncIterator[Callable[..., CallControl]]:
    """Makes clients of the fake, quick ones."""
    app = web.Application()
    app.router.add_route("*", "/v2/{tail:.*}", telnyx.handle)
    async with TestServer(app, shutdown_timeout=0) as server, aiohttp.ClientSession() as session:

        def make(**options: Any) -> CallControl:
            options = {"first_pause": 0.001, "attempt_timeout": 5.0, **options}
            return CallControl(session, str(server.make_url("/v2/")), API_KEY, **options)

        yield make


Make = Callable[..., CallControl]


async def test_a_command_is_posted_to_its_path_with_the_key(make: Make, telnyx: FakeTelnyx) -> None:
    command = StreamingStart(stream_url="wss://example.test", stream_bidirectional_sampling_rate=16_000)
    assert await make().command("v3:a/b c?\u00fc", command) == {"result": "ok"}
    path, body = telnyx.requests[0]
    assert path == "/v2/calls/v3%3Aa%2Fb%20c%3F%C3%BC/actions/streaming_start"
    assert len(body.pop("command_id")) == 36
    assert body == {"stream_url": "wss://example.test", "stream_bidirectional_sampling_rate": 16_000}
    assert telnyx.headers == [f"Bearer {API_KEY}"]


async def test_each_command_gets_an_id_of_its_own_and_a_given_one_is_kept(make: Make, telnyx: FakeTelnyx) -> None:
    control = make()
    command = Answer()
    await control.command("v3:a", command)
    await control.command("v3:a", command)
    await control.command("v3:a", Answer(command_id="mine"))
    ids = [body["command_id"] for _, body in telnyx.requests]
    assert len(set(ids)) == 3
    assert ids[2] == "mine"
    assert command.command_id is None


@pytest.mark.parametrize(
    "step",
    [
        reset,
        refuse(500),
        refuse(503),
        refuse(429, "10011"),
        refuse(429, retry_after="0"),
        refuse(408),
        say(502, b"<html>"),
    ],
)
async def test_a_failure_that_may_pass_is_tried_again_and_acts_once(make: Make, telnyx: FakeTelnyx, step: Step) -> None:
    telnyx.steps = [step, step]
    assert await make().command("v3:a", Answer()) == {"result": "ok"}
    assert len(telnyx.requests) == 3
    assert len({body["command_id"] for _, body in telnyx.requests}) == 1
    assert telnyx.acted == ["/v2/calls/v3:a/actions/answer"]


async def test_an_answer_that_does_not_end_is_given_up_and_asked_for_again(make: Make, telnyx: FakeTelnyx) -> None:
    telnyx.steps = [dawdle]
    assert await make(attempt_timeout=0.25).command("v3:a", Answer()) == {"result": "ok"}
    assert len(telnyx.requests) == 2
    assert len(telnyx.acted) == 1


async def test_attempts_are_bounded_and_the_last_answer_is_told(make: Make, telnyx: FakeTelnyx) -> None:
    telnyx.steps = [refuse(500)] * 2 + [refuse(429, "10011", title="Too many requests", detail="slow down")]
    with pytest.raises(ControlError) as caught:
        await make(attempts=3).command("v3:a", Answer())
    assert str(caught.value) == "answer: HTTP 429 10011 Too many requests: slow down"
    assert (caught.value.status, caught.value.code, caught.value.retryable) == (429, "10011", True)
    assert len(telnyx.requests) == 3


async def test_the_whole_time_is_bounded(make: Make, telnyx: FakeTelnyx) -> None:
    telnyx.steps = [dawdle] * 100
    began = asyncio.get_running_loop().time()
    with pytest.raises(ControlError, match="answer: no answer within") as caught:
        await make(timeout=0.2, attempt_timeout=0.05, attempts=100).command("v3:a", Answer())
    assert asyncio.get_running_loop().time() - began < 3.0
    assert 1 < len(telnyx.requests) <= 5
    assert (caught.value.status, caught.value.retryable) == (0, True)


@pytest.mark.parametrize("seconds", ["1", "3600", "999999999"])
async def test_retry_after_is_obeyed_so_what_it_puts_past_the_deadline_is_not_tried(
    make: Make, telnyx: FakeTelnyx, seconds: str
) -> None:
    telnyx.steps = [refuse(429, "10011", retry_after=seconds)]
    with pytest.raises(ControlError, match="429"):
        await make(timeout=0.9).command("v3:a", Answer())
    assert len(telnyx.requests) == 1


@pytest.mark.parametrize("text", ["Fri, 20 Nov 2026 10:00:00 GMT", "-1", "soon", "9" * 5000])
async def test_a_retry_after_that_is_no_number_of_seconds_leaves_the_usual_pause(
    make: Make, telnyx: FakeTelnyx, text: str
) -> None:
    telnyx.steps = [refuse(429, retry_after=text)]
    assert await make().command("v3:a", Answer()) == {"result": "ok"}


@pytest.mark.parametrize(("jitter", "seconds"), [(0.0, 0.06), (1.0, 0.18)])
async def test_the_pauses_double_and_jitter_moves_them_by_a_half(
    make: Make, telnyx: FakeTelnyx, jitter: float, seconds: float
) -> None:
    telnyx.steps = [refuse(500)] * 2
    began = asyncio.get_running_loop().time()
    await make(first_pause=0.04, jitter=lambda: jitter).command("v3:a", Answer())
    assert asyncio.get_running_loop().time() - began >= seconds - 0.01
    assert len(telnyx.requests) == 3


@pytest.mark.parametrize(
    ("step", "message", "code"),
    [
        (
            refuse(422, "90018", title="Call has already ended", detail="This call is no longer active"),
            "answer: HTTP 422 90018 Call has already ended: This call is no longer active",
            "90018",
        ),
        (refuse(422, 90034, title="Call not answered yet"), "answer: HTTP 422 90034 Call not answered yet", "90034"),
        (refuse(401, "10009", title=None), "answer: HTTP 401 10009", "10009"),
        (refuse(403, "1" * 100), f"answer: HTTP 403 {'1' * 20}", "1" * 20),
        (say(404, b"<html>"), "answer: HTTP 404", ""),
        (say(400, b"[]"), "answer: HTTP 400", ""),
        (say(400, b'{"errors": {}}'), "answer: HTTP 400", ""),
        (say(400, b'{"errors": [7]}'), "answer: HTTP 400", ""),
        (say(400, b"[" * 100_000), "answer: HTTP 400", ""),
        (redirect, "answer: HTTP 307", ""),
    ],
)
async def test_a_refusal_is_told_and_not_tried_again(
    make: Make, telnyx: FakeTelnyx, step: Step, message: str, code: str
) -> None:
    telnyx.steps = [step]
    with pytest.raises(ControlError) as caught:
        await make().command("v3:a", Answer())
    assert str(caught.value) == message
    assert (caught.value.code, caught.value.retryable) == (code, False)
    assert len(telnyx.requests) == 1


async def test_hanging_up_a_call_that_is_over_is_a_success(make: Make, telnyx: FakeTelnyx) -> None:
    telnyx.steps = [refuse(422, "90018", title="Call has already ended")]
    assert await make().command("v3:a", Hangup()) == {}


@pytest.mark.parametrize("body", [b"", b"ok", b"[]", b'{"data": null}', json.dumps(OK).encode() + b" " * 10**6])
async def test_a_success_counts_whatever_its_body_is(make: Make, telnyx: FakeTelnyx, body: bytes) -> None:
    telnyx.steps = [say(200, body)]
    assert await make().command("v3:a", Answer()) in ({}, {"result": "ok"})
    assert len(telnyx.requests) == 1


async def test_nobody_at_the_address_is_an_error_that_says_so() -> None:
    async with aiohttp.ClientSession() as session:
        control = CallControl(session, f"http://127.0.0.1:{unused_port()}/v2", API_KEY, first_pause=0.001)
        with pytest.raises(ControlError, match="answer: no answer: ClientConnectorError: Cannot connect") as caught:
            await control.command("v3:a", Answer())
    assert caught.value.status == 0


async def test_the_key_is_in_no_error_even_if_the_answer_repeats_it(make: Make, telnyx: FakeTelnyx) -> None:
    telnyx.steps = [refuse(401, "10009", title="No such key", detail=f"Bearer {API_KEY} is not known")]
    with pytest.raises(ControlError, match=r"Bearer \*\*\* is not known") as caught:
        await make().command("v3:a", Answer())
    assert API_KEY not in repr(caught.value)


@pytest.mark.parametrize("key", ["", "with space", "with\nline", "schl\u00fcssel"])
async def test_a_key_that_fits_no_header_is_refused_without_showing_it(key: str) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(ConfigError, match="TELNYX_API_KEY") as caught:
            CallControl(session, "http://127.0.0.1:1/v2", key)
    assert not key or key not in str(caught.value)
