from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.control.client import CallControl
from gateway.control.policy import AnswerAndStream
from gateway.directory import CallDirectory, CallRecord, CallState
from gateway.protocol.commands import StreamingStart
from tests.gateway.control.conftest import Log, an_event


def stream(call_control_id: str) -> StreamingStart:
    return StreamingStart(stream_url="wss://example.test/media", stream_auth_token=f"token of {call_control_id}")


class World:
    """A policy with its directory, and a Telnyx that keeps the commands and answers with `refusals`, then with 200."""

    def __init__(self, control: CallControl | None, log: Log) -> None:
        self.commands: list[tuple[str, dict[str, Any]]] = []
        self.refusals: list[tuple[int, str]] = []
        self.directory = CallDirectory(clock=lambda: 1000.0)
        self.log = log
        self._policy = AnswerAndStream(control, self.directory, stream=stream, log=log.logger)

    async def telnyx(self, request: web.Request) -> web.Response:
        body = await request.json()
        del body["command_id"]
        self.commands.append((request.path, body))
        if self.refusals:
            status, code = self.refusals.pop(0)
            return web.json_response({"errors": [{"code": code, "title": "no", "detail": "really"}]}, status=status)
        return web.json_response({"data": {"result": "ok"}})

    async def tell(self, event_type: str, **payload: Any) -> CallRecord:
        """Tell the policy of an event of the one call, and look at its record."""
        await self._policy.handle(an_event(event_type, "v3:a", **payload))
        record = self.directory.get("v3:a")
        assert record is not None
        return record

    @property
    def actions(self) -> list[str]:
        return [path.rpartition("/")[2] for path, _ in self.commands]

    def warnings(self) -> list[dict[str, Any]]:
        return [dict(line) for line in self.log.lines if line["log_level"] == "warning"]


@pytest_asyncio.fixture
async def world(log: Log) -> AsyncIterator[World]:
    worlds: list[World] = []

    async def telnyx(request: web.Request) -> web.Response:
        return await worlds[0].telnyx(request)

    app = web.Application()
    app.router.add_post("/v2/{tail:.*}", telnyx)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        control = CallControl(session, str(server.make_url("/v2")), "KEY", attempts=1)
        worlds.append(World(control, log))
        yield worlds[0]


async def test_an_incoming_call_is_answered_then_streamed_and_its_life_recorded(world: World) -> None:
    record = await world.tell("call.initiated", direction="incoming")
    assert (record.state, record.direction) == (CallState.INITIATED, "incoming")
    record = await world.tell("call.answered")
    assert record.state is CallState.ANSWERED
    assert world.commands == [
        ("/v2/calls/v3:a/actions/answer", {}),
        (
            "/v2/calls/v3:a/actions/streaming_start",
            {"stream_url": "wss://example.test/media", "stream_auth_token": "token of v3:a"},
        ),
    ]
    assert (await world.tell("streaming.started")).state is CallState.STREAMING
    assert (await world.tell("streaming.stopped")).state is CallState.STOPPED
    record = await world.tell("call.hangup", hangup_cause="normal_clearing")
    assert (record.state, record.hangup_cause) == (CallState.ENDED, "normal_clearing")
    assert list(record.reached) == list(CallState)
    assert record.problems == []
    assert len(world.commands) == 2


@pytest.mark.parametrize("direction", ["outgoing", None, "sideways"])
async def test_a_call_that_is_not_incoming_is_only_recorded(world: World, direction: str | None) -> None:
    record = await world.tell("call.initiated", direction=direction)
    assert (record.state, record.direction) == (CallState.INITIATED, direction)
    assert world.commands == []


async def test_an_event_told_twice_under_two_ids_acts_once(world: World) -> None:
    for event_type in ("call.initiated", "call.initiated", "call.answered", "call.answered"):
        await world.tell(event_type, direction="incoming")
    assert world.actions == ["answer", "streaming_start"]


async def test_events_out_of_order_cause_no_step_back(world: World) -> None:
    await world.tell("call.answered")
    record = await world.tell("call.initiated", direction="incoming")
    assert (record.state, record.direction) == (CallState.ANSWERED, "incoming")
    assert world.actions == ["streaming_start"]


async def test_nothing_is_sent_for_a_call_that_is_over(world: World) -> None:
    await world.tell("call.hangup", hangup_cause="originator_cancel")
    await world.tell("call.initiated", direction="incoming")
    record = await world.tell("call.answered")
    assert record.state is CallState.ENDED
    assert world.commands == []


async def test_no_second_stream_is_asked_for_when_the_media_socket_was_first(world: World) -> None:
    world.directory.reach("v3:a", CallState.STREAMING)
    await world.tell("call.answered")
    assert world.commands == []


async def test_a_refused_command_is_a_problem_of_its_call_and_one_line_in_the_log(world: World) -> None:
    world.refusals = [(422, "90034")]
    record = await world.tell("call.answered")
    assert record.problems == ["streaming_start: HTTP 422 90034 no: really"]
    (line,) = world.warnings()
    assert (line["event"], line["action"], line["status"], line["code"]) == (
        "command failed",
        "streaming_start",
        422,
        "90034",
    )
    assert "token" not in str(world.log.lines)


async def test_a_call_that_ended_before_its_answer_is_no_problem(world: World) -> None:
    world.refusals = [(422, "90018")]
    record = await world.tell("call.initiated", direction="incoming")
    assert world.actions == ["answer"]
    assert record.problems == []
    assert world.warnings() == []


async def test_a_failed_stream_is_a_problem_of_its_call(world: World) -> None:
    await world.tell("call.answered")
    record = await world.tell("streaming.failed", failure_reason="connection_failed")
    record = await world.tell("streaming.failed")
    assert record.problems == ["streaming failed: connection_failed", "streaming failed: no reason given"]
    assert record.state is CallState.ANSWERED


async def test_a_failed_stream_of_an_unheard_of_call_makes_no_state_up(world: World) -> None:
    record = await world.tell("streaming.failed", failure_reason="x" * 10_000)
    assert record.problems == ["streaming failed: " + "x" * 200]


@pytest.mark.parametrize("call_control_id", ["v3:a", None])
async def test_an_unknown_event_or_one_of_no_call_changes_nothing(log: Log, call_control_id: str | None) -> None:
    directory = CallDirectory()
    policy = AnswerAndStream(None, directory, stream=stream, log=log.logger)
    await policy.handle(an_event("call.dtmf.received", call_control_id, digit="5"))
    if call_control_id is None:
        await policy.handle(an_event("call.initiated", None, direction="incoming"))
    assert list(directory) == []


async def test_without_a_client_events_are_recorded_only(log: Log) -> None:
    directory = CallDirectory()
    policy = AnswerAndStream(None, directory, stream=stream, log=log.logger)
    await policy.handle(an_event("call.initiated", direction="incoming"))
    await policy.handle(an_event("call.answered"))
    assert [record.state for record in directory] == [CallState.ANSWERED]
    assert [record.problems for record in directory] == [[]]
