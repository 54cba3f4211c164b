"""The client against a server that misbehaves: whatever happens on the way, each command acts once."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from gateway.control.breaker import CircuitBreaker
from gateway.control.client import CallControl, open_session
from gateway.control.limits import SlidingWindow
from gateway.control.retry import RetryPolicy
from gateway.errors import (
    AuthenticationError,
    CallEndedError,
    CircuitOpenError,
    ConfigError,
    ControlError,
    InvalidCommandError,
    RateLimitError,
    UnavailableError,
    UnknownCallError,
)
from gateway.protocol.commands import (
    Answer,
    ClientStateUpdate,
    Command,
    Dial,
    Hangup,
    SiprecStart,
    StreamingStart,
)
from gateway.store.records import CommandRecord

API_KEY = "KEY0123456789"
OK = {"data": {"result": "ok"}}
DIALLED = {"data": {"call_control_id": "v3:new", "is_alive": False}}
REMEMBERED = 60.0
Step = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FakeTelnyx:
    """Telnyx's REST side: answers the requests with `steps`, one each, then with 200.

    It acts on each request that comes in whole, but for those whose `command_id` came within the last 60 seconds.
    """

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.requests: list[tuple[str, str, dict[str, Any]]] = []
        self.headers: list[str | None] = []
        self.acted: list[str] = []
        self._ids: dict[tuple[str, str], float] = {}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.steps and self.steps[0] is reset_unread:
            return await self.steps.pop(0)(request)
        body = await request.json()
        self.requests.append((request.method, request.raw_path, body))
        self.headers.append(request.headers.get("Authorization"))
        if self.steps and getattr(self.steps[0], "refuses", False):
            return await self.steps.pop(0)(request)
        self._act(request.path, body.get("command_id"))
        return await self.steps.pop(0)(request) if self.steps else web.json_response(self._answer(request.path))

    def _act(self, path: str, command_id: str | None) -> None:
        now = asyncio.get_running_loop().time()
        if command_id is not None:
            at = self._ids.get((path, command_id))
            if at is not None and now - at <= REMEMBERED:
                return
            self._ids[path, command_id] = now
        self.acted.append(path)

    def _answer(self, path: str) -> dict[str, Any]:
        return DIALLED if path.endswith("/calls") else OK


def refuse(
    status: int, code: Any = "10007", *, retry_after: str | None = None, reset: str | None = None, **fields: Any
) -> Step:
    """Answer as Telnyx does when it says no; it has not acted then, but for 500, of which nobody knows."""
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    if reset is not None:
        headers |= {"x-ratelimit-limit": "150", "x-ratelimit-remaining": "0", "x-ratelimit-reset": reset}

    async def step(_: web.Request) -> web.StreamResponse:
        return web.json_response({"errors": [{"code": code, **fields}]}, status=status, headers=headers)

    step.refuses = status in (429, 503) or 400 <= status < 500  # type: ignore[attr-defined]
    return step


def say(status: int, body: bytes) -> Step:
    """Answer with any body."""

    async def step(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=body)

    return step


async def reset_unread(request: web.Request) -> web.StreamResponse:
    """Drop the connection before the request was taken."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


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


Make = Callable[..., CallControl]


@pytest_asyncio.fixture
async def make(telnyx: FakeTelnyx) -> AsyncIterator[Make]:
    """Makes clients of the fake, quick ones; what the retry policy has is given beside the rest."""
    app = web.Application()
    app.router.add_route("*", "/v2/{tail:.*}", telnyx.handle)
    async with TestServer(app, shutdown_timeout=0) as server, open_session() as session:

        def make(**options: Any) -> CallControl:
            retry: dict[str, Any] = {"first_pause": 0.001, "first_timeout": 5.0}
            retry |= {name: options.pop(name) for name in list(options) if name in RetryPolicy.__slots__}
            return CallControl(session, str(server.make_url("/v2/")), API_KEY, retry=RetryPolicy(**retry), **options)

        yield make


async def test_a_command_is_posted_to_its_path_with_the_key(make: Make, telnyx: FakeTelnyx) -> None:
    command = StreamingStart(stream_url="wss://example.test", stream_bidirectional_sampling_rate=16_000)
    assert await make().command("v3:a/b c?\u00fc", command) == {"result": "ok"}
    method, path, body = telnyx.requests[0]
    assert (method, path) == ("POST", "/v2/calls/v3:a%2Fb%20c%3F%C3%BC/actions/streaming_start")
    assert len(body.pop("command_id")) == 36
    assert body == {"stream_url": "wss://example.test", "stream_bidirectional_sampling_rate": 16_000}
    assert telnyx.headers == [f"Bearer {API_KEY}"]


async def test_a_dial_names_no_call_and_answers_with_one(make: Make, telnyx: FakeTelnyx) -> None:
    dial = Dial(connection_id="7", from_="+15550100001", to="+15550100002")
    assert (await make().command("", dial))["call_control_id"] == "v3:new"
    method, path, body = telnyx.requests[0]
    assert (method, path, body["to"]) == ("POST", "/v2/calls", "+15550100002")
    assert len(body["command_id"]) == 36


async def test_a_command_that_takes_no_id_gets_none(make: Make, telnyx: FakeTelnyx) -> None:
    await make().command("v3:a", ClientStateUpdate(client_state="c3RhdGU="))
    assert telnyx.requests == [
        ("PUT", "/v2/calls/v3:a/actions/client_state_update", {"client_state": "c3RhdGU="}),
    ]


async def test_each_command_gets_an_id_of_its_own_and_a_given_one_is_kept(make: Make, telnyx: FakeTelnyx) -> None:
    control = make()
    command = Answer()
    await control.command("v3:a", command)
    await control.command("v3:a", command)
    await control.command("v3:a", Answer(command_id="mine"))
    ids = [body["command_id"] for _, _, body in telnyx.requests]
    assert len(set(ids)) == 3
    assert ids[2] == "mine"
    assert command.command_id is None


# --- what may pass --------------------------------------------------------------------------------------------------

FAULTS: dict[str, Step] = {
    "reset before the request was taken": reset_unread,
    "reset after it was taken": reset,
    "500": refuse(500),
    "502 of a proxy": say(502, b"<html>"),
    "503": refuse(503),
    "503 with Retry-After": refuse(503, retry_after="0"),
    "429 without Retry-After": refuse(429, "10011"),
    "429 with Retry-After": refuse(429, "10011", retry_after="0"),
    "429 with a date": refuse(429, "10011", retry_after="Fri, 20 Nov 2015 10:00:00 GMT"),
    "429 with the limit's reset": refuse(429, "10011", reset="0"),
    "408": refuse(408),
}


@pytest.mark.parametrize("command", [Answer(), Dial(connection_id="7", from_="+15550100001", to="+15550100002")])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_a_fault_that_may_pass_is_tried_again_and_the_command_acts_once(
    make: Make, telnyx: FakeTelnyx, fault: Step, command: Command
) -> None:
    telnyx.steps = [fault, fault]
    call = "" if command.action == "dial" else "v3:a"
    control = make()
    assert await control.command(call, command) in (OK["data"], DIALLED["data"])
    assert telnyx.steps == []
    assert len({body["command_id"] for _, _, body in telnyx.requests}) == 1
    assert len(telnyx.acted) == 1
    assert control.counters() == {
        "commands_accepted": 1,
        "commands_failed": 0,
        "commands_repeated": 2,
        "commands_circuit_opened": 0,
    }


async def test_all_faults_in_one_command(make: Make, telnyx: FakeTelnyx) -> None:
    telnyx.steps = list(FAULTS.values())
    await make(attempts=20, longest_pause=0.001, breaker=CircuitBreaker(threshold=100)).command("v3:a", Answer())
    assert telnyx.acted == ["/v2/calls/v3:a/actions/answer"]


async def test_a_slow_body_is_given_up_and_the_command_acts_once(make: Make, telnyx: FakeTelnyx) -> None:
    telnyx.steps = [dawdle, dawdle]
    assert await make(first_timeout=0.05).command("v3:a", Answer()) == {"result": "ok"}
    assert len(telnyx.requests) == 3
    assert len(telnyx.acted) == 1


async def test_many_commands_at_once_act_once_each_whatever_happens_to_them(make: Make, telnyx: FakeTelnyx) -> None:
    telnyx.steps = list(FAULTS.values()) * 3
    control = make(attempts=50, longest_pause=0.01, breaker=CircuitBreaker(threshold=1000))
    await asyncio.gather(*(control.command(f"v3:{number}", Answer()) for number in range(20)))
    assert sorted(telnyx.acted) == sorted(f"/v2/calls/v3:{number}/actions/answer" for number in range(20))


async def test_a_command_that_would_act_twice_is_not_sent_again_once_it_may_have_arrived(
    make: Make, telnyx: FakeTelnyx
) -> None:
    for fault in (reset, refuse(500), dawdle):
        telnyx.steps = [fault]
        telnyx.requests.clear()
        with pytest.raises(UnavailableError):
            await make(first_timeout=0.2).command("v3:a", SiprecStart(connector_name="one"))
        assert len(telnyx.requests) == 1
    telnyx.steps = [refuse(429, "10011")]
    telnyx.acted.clear()
    await make().command("v3:a", SiprecStart(connector_name="one"))
    assert len(telnyx.acted) == 1


async def test_attempts_are_bounded_and_the_last_answer_is_told(make: Make, telnyx: FakeTelnyx) -> None:
    telnyx.steps = [refuse(500)] * 2 + [refuse(429, "10011", title="Too many requests", detail="slow down")]
    control = make(attempts=3)
    with pytest.raises(RateLimitError) as caught:
        await control.command("v3:a", Answer())
    error = caught.value
    assert str(error) == "answer: HTTP 429 10011 Too many requests: slow down"
    assert (error.status, error.code, error.title, error.detail) == (429, "10011", "Too many requests", "slow down")
    assert error.retryable
    assert len(telnyx.requests) == 3
    assert control.counters()["commands_failed"] == 1


async def test_the_whole_time_is_bounded(make: Make, telnyx: FakeTelnyx) -> None:
    telnyx.steps = [dawdle] * 100
    began = asyncio.get_running_loop().time()
    with pytest.raises(UnavailableError, match="answer: no answer within") as caught:
        await make(timeout=0.2, first_timeout=0.03, attempts=100).command("v3:a", Answer())
    assert asyncio.get_running_loop().time() - began < 3.0
    assert 1 < len(telnyx.requests) <= 5
    assert (caught.value.status, caught.value.retryable) == (0, True)


@pytest.mark.parametrize("seconds", ["1", "3600", "999999999"])
async def test_retry_after_is_obeyed_so_what_it_puts_past_the_deadline_is_not_tried(
    make: Make, telnyx: FakeTelnyx, seconds: str
) -> None:
    telnyx.steps = [refuse(429, "10011", retry_after=seconds)]
    with pytest.raises(RateLimitError, match="429"):
        await make(timeout=0.9).command("v3:a", Answer())
    assert len(telnyx.requests) == 1


async def test_retry_after_is_waited_for(make: Make, telnyx: FakeTelnyx) -> None:
    telnyx.steps = [refuse(429, "10011", retry_after="1")]
    began = asyncio.get_running_loop().time()
    await make().command("v3:a", Answer())
    assert 0.99 <= asyncio.get_running_loop().time() - began < 2.0


@pytest.mark.parametrize(("chance", "seconds"), [(0.0, 0.06), (1.0, 0.18)])
async def test_the_pauses_double_and_chance_moves_them_by_a_half(
    make: Make, telnyx: FakeTelnyx, chance: float, seconds: float
) -> None:
    telnyx.steps = [refuse(500)] * 2
    began = asyncio.get_running_loop().time()
    await make(first_pause=0.04, chance=lambda: chance).command("v3:a", Answer())
    assert asyncio.get_running_loop().time() - began >= seconds - 0.01
    assert len(telnyx.requests) == 3


# --- limits ---------------------------------------------------------------------------------------------------------


async def test_a_used_up_limit_holds_the_next_command_of_its_kind_and_no_other(make: Make, telnyx: FakeTelnyx) -> None:
    async def last_one(_: web.Request) -> web.StreamResponse:
        return web.json_response(OK, headers={"x-ratelimit-remaining": "0", "x-ratelimit-reset": "5"})

    telnyx.steps = [last_one]
    control = make(timeout=1.0)
    await control.command("v3:a", Answer())
    with pytest.raises(
        RateLimitError, match="answer: not sent: the rate limit leaves no room within its time"
    ) as caught:
        await control.command("v3:b", Answer())
    assert (caught.value.status, caught.value.retryable) == (0, True)
    await control.command("v3:a", Hangup())
    assert [path.rpartition("/")[2] for _, path, _ in telnyx.requests] == ["answer", "hangup"]


async def test_dials_leave_at_their_rate_and_other_commands_do_not_wait(make: Make, telnyx: FakeTelnyx) -> None:
    control = make(dials=SlidingWindow(2, 0.2))
    dial = Dial(connection_id="7", from_="+15550100001", to="+15550100002")
    loop = asyncio.get_running_loop()
    times: list[float] = []

    async def one() -> None:
        await control.command("", dial)
        times.append(loop.time() - began)

    began = loop.time()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(5):
            tasks.create_task(one())
        await control.command("v3:a", Hangup())
        assert loop.time() - began < 0.19
    assert times[1] < 0.19 <= times[2] < 0.39 <= times[4]
    assert len(telnyx.acted) == 6


async def test_a_dial_for_which_there_is_no_room_in_time_is_not_sent(make: Make, telnyx: FakeTelnyx) -> None:
    control = make(timeout=0.5, dials=SlidingWindow(1, 5.0))
    dial = Dial(connection_id="7", from_="+15550100001", to="+15550100002")
    await control.command("", dial)
    with pytest.raises(RateLimitError, match="dial: not sent"):
        await control.command("", dial)
    assert len(telnyx.requests) == 1


async def test_while_the_api_is_down_commands_fail_at_once(make: Make, telnyx: FakeTelnyx) -> None:
    telnyx.steps = [refuse(500)] * 4
    control = make(attempts=1, breaker=CircuitBreaker(threshold=4, cool_down=0.1))
    for _ in range(4):
        with pytest.raises(UnavailableError, match="500"):
            await control.command("v3:a", Answer())
    with pytest.raises(CircuitOpenError, match=r"answer: not sent: .* the next attempt is in 0\.") as caught:
        await control.command("v3:a", Answer())
    assert caught.value.retryable
    assert len(telnyx.requests) == 4
    await asyncio.sleep(0.11)
    await control.command("v3:a", Answer())
    await control.command("v3:a", Answer())
    assert control.counters()["commands_circuit_opened"] == 1


async def test_refusals_do_not_open_the_circuit(make: Make, telnyx: FakeTelnyx) -> None:
    telnyx.steps = [refuse(422, "90034"), refuse(404, "10005"), refuse(429, "10011")] * 5
    control = make(attempts=1, breaker=CircuitBreaker(threshold=2, cool_down=60))
    for _ in range(15):
        with pytest.raises(ControlError, match="HTTP"):
            await control.command("v3:a", Answer())
    await control.command("v3:a", Answer())


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "kind", "message", "code"),
    [
        (
            refuse(422, "90018", title="Call has already ended", detail="This call is no longer active"),
            CallEndedError,
            "answer: HTTP 422 90018 Call has already ended: This call is no longer active",
            "90018",
        ),
        (
            refuse(422, 90034, title="Call not answered yet"),
            InvalidCommandError,
            "answer: HTTP 422 90034 Call not answered yet",
            "90034",
        ),
        (refuse(401, "10009", title=None), AuthenticationError, "answer: HTTP 401 10009", "10009"),
        (refuse(403, "1" * 100), AuthenticationError, f"answer: HTTP 403 {'1' * 20}", "1" * 20),
        (say(404, b"<html>"), UnknownCallError, "answer: HTTP 404", ""),
        (say(400, b"[]"), InvalidCommandError, "answer: HTTP 400", ""),
        (say(400, b'{"errors": {}}'), InvalidCommandError, "answer: HTTP 400", ""),
        (say(400, b'{"errors": [7]}'), InvalidCommandError, "answer: HTTP 400", ""),
        (say(400, b"[" * 100_000), InvalidCommandError, "answer: HTTP 400", ""),
        (say(409, b""), ControlError, "answer: HTTP 409", ""),
        (redirect, ControlError, "answer: HTTP 307", ""),
    ],
)
async def test_a_refusal_is_told_by_its_kind_and_not_tried_again(
    make: Make, telnyx: FakeTelnyx, step: Step, kind: type[ControlError], message: str, code: str
) -> None:
    telnyx.steps = [step]
    with pytest.raises(ControlError) as caught:
        await make().command("v3:a", Answer())
    assert type(caught.value) is kind
    assert str(caught.value) == message
    assert (caught.value.code, caught.value.retryable) == (code, False)
    assert len(telnyx.requests) == 1


async def test_hanging_up_a_call_that_is_over_is_a_success(make: Make, telnyx: FakeTelnyx) -> None:
    telnyx.steps = [refuse(422, "90018", title="Call has already ended")]
    control = make()
    assert await control.command("v3:a", Hangup()) == {}
    assert control.counters()["commands_accepted"] == 1


@pytest.mark.parametrize("body", [b"", b"ok", b"[]", b'{"data": null}', json.dumps(OK).encode() + b" " * 10**6])
async def test_a_success_counts_whatever_its_body_is(make: Make, telnyx: FakeTelnyx, body: bytes) -> None:
    telnyx.steps = [say(200, body)]
    assert await make().command("v3:a", Answer()) in ({}, {"result": "ok"})
    assert len(telnyx.requests) == 1


async def test_nobody_at_the_address_is_an_error_that_says_so() -> None:
    async with open_session() as session:
        retry = RetryPolicy(first_pause=0.001)
        control = CallControl(session, f"http://127.0.0.1:{unused_port()}/v2", API_KEY, retry=retry)
        with pytest.raises(UnavailableError, match="siprec_start: no answer: ClientConnectorError: Cannot") as caught:
            await control.command("v3:a", SiprecStart(connector_name="one"))
        assert control.counters()["commands_repeated"] == 3  # it surely did not arrive
    assert caught.value.status == 0


async def test_the_key_is_in_no_error_even_if_the_answer_repeats_it(make: Make, telnyx: FakeTelnyx) -> None:
    telnyx.steps = [refuse(401, "10009", title="No such key", detail=f"Bearer {API_KEY} is not known")]
    with pytest.raises(AuthenticationError, match=r"Bearer \*\*\* is not known") as caught:
        await make().command("v3:a", Answer())
    assert API_KEY not in repr(caught.value) + caught.value.detail


@pytest.mark.parametrize("key", ["", "with space", "with\nline", "schl\u00fcssel"])
async def test_a_key_that_fits_no_header_is_refused_without_showing_it(key: str) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(ConfigError, match="TELNYX_API_KEY") as caught:
            CallControl(session, "http://127.0.0.1:1/v2", key)
    assert not key or key not in str(caught.value)


# --- the record -----------------------------------------------------------------------------------------------------


async def test_what_became_of_each_command_is_reported(make: Make, telnyx: FakeTelnyx) -> None:
    reports: list[CommandRecord] = []
    times = iter(range(100))
    control = make(report=reports.append, clock=lambda: float(next(times)))
    telnyx.steps = [refuse(500), refuse(422, "90018"), refuse(422, "90018")]
    with pytest.raises(CallEndedError):
        await control.command("v3:a", Answer(command_id="id-1"))
    await control.command("v3:a", Hangup(command_id="id-2"))
    await control.command("", Dial(connection_id="7", from_="+15550100001", to="+15550100002", command_id="id-3"))
    await control.command("v3:a", ClientStateUpdate(client_state="c3RhdGU="))
    assert [
        (one.command_id, one.call_control_id, one.action, one.attempts, one.status, one.code) for one in reports
    ] == [
        ("id-1", "v3:a", "answer", 2, 422, "90018"),
        ("id-2", "v3:a", "hangup", 1, 422, "90018"),
        ("id-3", "v3:new", "dial", 1, 200, ""),
        (None, "v3:a", "client_state_update", 1, 200, ""),
    ]
    assert all(0 < one.seconds < 10 for one in reports)
    assert reports[0].sent_at == 0.0
    assert "+1555" not in str(reports)
