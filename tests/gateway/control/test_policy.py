import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.control.client import CallControl
from gateway.control.decider import Decider
from gateway.control.policy import CallPolicy
from gateway.control.retry import RetryPolicy
from gateway.control.routes import load_routes
from gateway.decision import Decision
from gateway.directory import CallDirectory, CallRecord
from gateway.errors import AdmissionError
from gateway.lifecycle import CallState, HungUp, Initiated, MediaSocket, SocketStage, StreamRequested
from gateway.protocol.commands import ForkStart, StreamingStart
from gateway.protocol.events import Event
from tests.gateway.control.conftest import Log, an_event

SOCKET = MediaSocket("one", SocketStage.STARTED, "S")


def stream(call_control_id: str) -> StreamingStart:
    return StreamingStart(stream_url="wss://example.test/media", stream_auth_token=f"token of {call_control_id}")


class World:
    """A policy with its directory, and a Telnyx that keeps the commands and answers with `refusals`, then with 200."""

    def __init__(self, control: CallControl | None, log: Log, **options: Any) -> None:
        self.commands: list[tuple[str, dict[str, Any]]] = []
        self.command_ids: list[str] = []
        self.refusals: list[tuple[int, str]] = []
        self.answer = asyncio.Event()  # while it is not set, Telnyx takes its time
        self.answer.set()
        self.directory = CallDirectory(clock=lambda: 1000.0)
        self.log = log
        self.forked: list[str] = []
        options = {"decider": Decider(log=log.logger), "fork": self.fork, "first_pause": 0.01, **options}
        self.policy = CallPolicy(control, self.directory, stream=stream, log=log.logger, **options)
        self._number = 0

    async def fork(self, call_control_id: str) -> ForkStart:
        if self.forked:
            raise AdmissionError("no_port", 503, "no UDP port is free")
        self.forked.append(call_control_id)
        return ForkStart(rx="udp:192.0.2.1:4000", tx="udp:192.0.2.1:4002")

    async def telnyx(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.command_ids.append(body.pop("command_id"))
        self.commands.append((request.path, body))
        await self.answer.wait()
        if self.refusals:
            status, code = self.refusals.pop(0)
            return web.json_response({"errors": [{"code": code, "title": "no", "detail": "really"}]}, status=status)
        return web.json_response({"data": {"result": "ok"}})

    async def handle(self, event: Event) -> None:
        following = self.policy.handle(event)
        if following is not None:
            await following

    async def tell(self, event_type: str, **payload: Any) -> CallRecord:
        """Tell the policy of an event of the one call, and look at its record."""
        self._number += 1
        await self.handle(an_event(event_type, "v3:a", str(self._number), **payload))
        return self.record

    @property
    def record(self) -> CallRecord:
        record = self.directory.get("v3:a")
        assert record is not None
        return record

    @property
    def actions(self) -> list[str]:
        return [path.rpartition("/")[2] for path, _ in self.commands]

    async def until_asked(self, *actions: str) -> None:
        async with asyncio.timeout(5):
            while len(self.commands) < len(actions):  # noqa: ASYNC110 - the other side has no event
                await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
        assert self.actions == list(actions)

    def warnings(self) -> list[dict[str, Any]]:
        return [dict(line) for line in self.log.lines if line["log_level"] == "warning"]


@asynccontextmanager
async def a_world(log: Log, **options: Any) -> AsyncIterator[World]:
    worlds: list[World] = []

    async def telnyx(request: web.Request) -> web.Response:
        return await worlds[0].telnyx(request)

    app = web.Application()
    app.router.add_post("/v2/{tail:.*}", telnyx)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        retry = RetryPolicy(attempts=1, first_timeout=5.0)
        worlds.append(World(CallControl(session, str(server.make_url("/v2")), "KEY", retry=retry), log, **options))
        async with worlds[0].policy:
            yield worlds[0]


@pytest_asyncio.fixture
async def world(log: Log) -> AsyncIterator[World]:
    async with a_world(log) as world:
        yield world


async def test_an_incoming_call_is_answered_then_streamed_and_its_life_recorded(world: World) -> None:
    record = await world.tell("call.initiated", direction="incoming", **{"from": "+15550100001"})
    assert (record.state, record.life.direction, record.life.from_) == (CallState.RINGING, "incoming", "+15550100001")
    record = await world.tell("call.answered")
    assert record.state is CallState.STREAM_REQUESTED
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
    assert (record.state, record.life.hangup_cause) == (CallState.ENDED, "normal_clearing")
    assert record.problems == []
    assert len(world.commands) == 2


@pytest.mark.parametrize("direction", ["outgoing", None, "sideways"])
async def test_a_call_that_is_not_incoming_is_only_recorded(world: World, direction: str | None) -> None:
    record = await world.tell("call.initiated", direction=direction)
    assert (record.state, record.life.direction) == (CallState.RINGING, direction)
    assert world.commands == []


async def test_an_event_told_twice_under_two_ids_acts_once(world: World) -> None:
    for event_type in ("call.initiated", "call.initiated", "call.answered", "call.answered"):
        await world.tell(event_type, direction="incoming")
    assert world.actions == ["answer", "streaming_start"]


async def test_two_events_at_once_that_lead_to_the_same_act_once(world: World) -> None:
    world.answer.clear()
    first = asyncio.create_task(world.tell("call.answered"))
    await world.until_asked("streaming_start")
    await world.tell("call.answered")
    world.answer.set()
    await first
    assert world.actions == ["streaming_start"]


async def test_events_out_of_order_cause_no_step_back(world: World) -> None:
    await world.tell("call.answered")
    record = await world.tell("call.initiated", direction="incoming")
    assert (record.state, record.life.direction) == (CallState.STREAM_REQUESTED, "incoming")
    assert world.actions == ["streaming_start"]


async def test_nothing_is_sent_for_a_call_that_is_over(world: World) -> None:
    await world.tell("call.hangup", hangup_cause="originator_cancel")
    await world.tell("call.initiated", direction="incoming")
    record = await world.tell("call.answered")
    assert record.state is CallState.ENDED
    assert world.commands == []


async def test_no_second_stream_is_asked_for_when_the_media_socket_was_first(world: World) -> None:
    world.directory.tell("v3:a", SOCKET)
    await world.tell("call.answered")
    assert world.commands == []


async def test_the_socket_may_open_before_streaming_start_has_answered(world: World) -> None:
    world.answer.clear()
    answered = asyncio.create_task(world.tell("call.answered"))
    await world.until_asked("streaming_start")
    world.directory.tell("v3:a", SOCKET)
    assert world.record.state is CallState.STREAMING
    world.answer.set()
    assert (await answered).state is CallState.STREAMING
    assert CallState.STREAM_REQUESTED in world.record.life.reached()


async def test_the_same_step_has_the_same_command_id_in_every_process_and_each_step_its_own(log: Log) -> None:
    ids = []
    for _ in range(2):
        async with a_world(log) as world:
            await world.tell("call.initiated", direction="incoming")
            await world.tell("call.answered")
            ids.append(world.command_ids)
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 2


# --- refusals -------------------------------------------------------------------------------------------------------


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
    await world.tell("call.answered")
    assert world.actions == ["streaming_start"]


async def test_an_answer_that_was_refused_is_not_tried_again_with_the_next_event(world: World) -> None:
    world.refusals = [(422, "90015")]
    await world.tell("call.initiated", direction="incoming")
    await world.tell("call.initiated", direction="incoming")
    assert world.actions == ["answer"]


async def test_a_call_that_ended_before_its_answer_is_no_problem(world: World) -> None:
    world.refusals = [(422, "90018")]
    record = await world.tell("call.initiated", direction="incoming")
    assert world.actions == ["answer"]
    assert record.problems == []
    assert world.warnings() == []


# --- streams that fail ----------------------------------------------------------------------------------------------


async def test_a_stream_that_failed_is_reported_and_asked_for_again_until_too_many_have(world: World) -> None:
    await world.tell("call.answered")
    await world.tell("streaming.failed", failure_reason="connection_failed", stream_id="S1")
    await world.until_asked("streaming_start", "streaming_start")
    assert world.record.state is CallState.STREAM_REQUESTED
    await world.tell("streaming.failed", stream_id="S2")
    await world.until_asked(*["streaming_start"] * 3)
    record = await world.tell("streaming.failed", failure_reason="x" * 10_000, stream_id="S3")
    await world.until_asked(*["streaming_start"] * 3)
    assert world.record.problems == [
        "streaming failed: connection_failed",
        "streaming failed: no reason given",
        "streaming failed: " + "x" * 200,
    ]
    assert record.state is CallState.ANSWERED
    assert len(set(world.command_ids)) == 3
    assert [line["event"] for line in world.warnings()] == ["streaming failed"] * 3


async def test_the_same_failure_told_twice_counts_once(world: World) -> None:
    await world.tell("call.answered")
    for _ in range(3):
        await world.tell("streaming.failed", stream_id="S1")
    await world.until_asked("streaming_start", "streaming_start")


async def test_a_stream_that_fails_before_its_request_has_answered_is_asked_for_again(world: World) -> None:
    await world.tell("call.answered")
    world.answer.clear()
    await world.tell("streaming.failed", stream_id="S1")
    await world.until_asked("streaming_start", "streaming_start")
    await world.tell("streaming.failed", stream_id="S2")
    world.answer.set()
    await world.until_asked(*["streaming_start"] * 3)


async def test_the_calls_next_events_do_not_wait_for_the_pause(log: Log) -> None:
    async with a_world(log, first_pause=60.0) as world:
        await world.tell("call.answered")
        await world.tell("streaming.failed", stream_id="S1")
        assert (await world.tell("call.hangup")).state is CallState.ENDED
        assert world.actions == ["streaming_start"]


async def test_a_call_that_ends_in_the_pause_gets_no_stream(world: World) -> None:
    await world.tell("call.answered")
    await world.tell("streaming.failed", stream_id="S1")
    await world.tell("call.hangup")
    await asyncio.sleep(0.05)
    assert world.actions == ["streaming_start"]


async def test_a_failed_stream_of_an_unheard_of_call_makes_no_state_up(world: World) -> None:
    record = await world.tell("streaming.failed", failure_reason="connection_failed")
    assert record.problems == ["streaming failed: connection_failed"]
    assert record.state is CallState.DIALLED
    assert world.commands == []


# --- after a restart ------------------------------------------------------------------------------------------------


async def test_what_an_earlier_process_did_not_come_to_is_done(world: World) -> None:
    world.directory.tell("v3:a", Initiated("incoming"))
    world.directory.tell("v3:over", Initiated("incoming"), HungUp())
    world.directory.tell("v3:asked", Initiated("outgoing"), StreamRequested("r"))
    world.policy.resume()
    await world.until_asked("answer")
    await world.tell("call.initiated", direction="incoming")
    assert world.actions == ["answer"]


# --- what is not acted on -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call_control_id", ["v3:a", None])
async def test_an_event_that_is_not_of_a_calls_life_or_of_no_call_changes_nothing(
    log: Log, call_control_id: str | None
) -> None:
    world = World(None, log)
    await world.handle(an_event("call.dtmf.received", call_control_id, digit="5"))
    await world.handle(an_event("call.something.new", call_control_id))
    if call_control_id is None:
        await world.handle(an_event("call.initiated", None, direction="incoming"))
    assert list(world.directory) == []


async def test_without_a_client_events_are_recorded_by_a_plain_call(log: Log) -> None:
    world = World(None, log)
    assert world.policy.handle(an_event("call.initiated", "v3:a", direction="incoming")) is None
    assert world.policy.handle(an_event("call.answered", "v3:a")) is None
    world.policy.resume()
    assert [record.state for record in world.directory] == [CallState.ANSWERED]
    assert [record.problems for record in world.directory] == [[]]


# --- decisions ------------------------------------------------------------------------------------------------------


def ruled(log: Log, *tables: dict[str, Any]) -> Decider:
    return Decider(load_routes(tables), log=log.logger)


async def test_a_call_that_is_to_be_rejected_is_rejected_once(log: Log) -> None:
    async with a_world(log, decider=ruled(log, {"to": "+1555*", "action": "reject", "cause": "USER_BUSY"})) as world:
        for _ in range(2):
            record = await world.tell("call.initiated", direction="incoming", to="+15550100002")
        assert world.commands == [("/v2/calls/v3:a/actions/reject", {"cause": "USER_BUSY"})]
        assert record.problems == []
        assert (await world.tell("call.hangup", hangup_cause="call_rejected")).state is CallState.ENDED


async def test_a_rejection_that_was_refused_is_a_problem_and_not_tried_again(log: Log) -> None:
    async with a_world(log, decider=ruled(log, {"action": "reject"})) as world:
        world.refusals = [(422, "90015")]
        for _ in range(2):
            record = await world.tell("call.initiated", direction="incoming")
        assert world.actions == ["reject"]
        assert record.problems == ["reject: HTTP 422 90015 no: really"]


@pytest.mark.parametrize("event_type", ["call.initiated", "call.answered"])
async def test_a_call_that_is_to_be_ignored_is_only_recorded(log: Log, event_type: str) -> None:
    async with a_world(log, decider=ruled(log, {"action": "ignore"})) as world:
        await world.tell(event_type, direction="incoming")
        assert world.commands == []


async def test_a_call_without_media_is_answered_and_no_more(log: Log) -> None:
    async with a_world(log, decider=ruled(log, {"media": "none"})) as world:
        await world.tell("call.initiated", direction="incoming")
        await world.tell("call.answered")
        assert world.actions == ["answer"]


async def test_a_call_that_is_to_be_forked_is_forked_into_ports_opened_for_it(log: Log) -> None:
    async with a_world(log, decider=ruled(log, {"media": "fork"})) as world:
        await world.tell("call.initiated", direction="incoming")
        record = await world.tell("call.answered")
        fork = {"rx": "udp:192.0.2.1:4000", "tx": "udp:192.0.2.1:4002"}
        assert world.commands[1:] == [("/v2/calls/v3:a/actions/fork_start", fork)]
        assert (record.state, world.forked) == (CallState.STREAM_REQUESTED, ["v3:a"])


async def test_a_fork_for_which_there_is_no_room_is_a_problem_of_its_call(log: Log) -> None:
    async with a_world(log, decider=ruled(log, {"media": "fork"})) as world:
        world.forked = ["another"]
        for _ in range(2):
            record = await world.tell("call.answered")
        assert world.actions == []
        assert record.problems == ["fork_start: no UDP port is free"]
        assert [line["event"] for line in world.warnings()] == ["fork not opened"]


async def test_a_call_answered_before_it_was_announced_was_dialled(log: Log) -> None:
    rules = ({"direction": "incoming", "action": "ignore"}, {"direction": "outgoing", "name": "dialled"})
    async with a_world(log, decider=ruled(log, *rules)) as world:
        record = await world.tell("call.answered")
        await world.tell("call.initiated", direction="outgoing")
        assert record.life.decision == Decision(rule="dialled")
        assert world.actions == ["streaming_start"]


async def test_a_policy_is_asked_once_and_its_answer_outlives_the_process(log: Log) -> None:
    asked: list[str | None] = []

    async def policy(event: Any) -> Decision:
        asked.append(event.payload.to)
        await asyncio.sleep(0)
        return Decision(codec="L16", agent="echo")

    decider = Decider(policy=policy, log=log.logger)
    async with a_world(log, decider=decider) as world:
        for event_type in ("call.initiated", "call.initiated"):
            record = await world.tell(event_type, direction="incoming", to="+15550100002")
        assert world.actions == ["answer"]
        frozen = record.freeze()
    async with a_world(log, decider=decider) as world:
        world.directory.restore(CallRecord.thaw("v3:a", frozen), longest_call=1e9)
        record = await world.tell("call.answered")
        assert record.life.decision == Decision(codec="L16", agent="echo", rule="policy")
        assert world.actions == ["streaming_start"]
    assert asked == ["+15550100002"]


async def test_a_call_that_an_earlier_process_did_not_decide_over_waits_for_its_event(log: Log) -> None:
    async with a_world(log, decider=ruled(log, {"to": "+1*", "action": "ignore"})) as world:
        world.directory.tell("v3:a", Initiated("incoming"))
        world.policy.resume()
        await asyncio.sleep(0.02)
        assert world.commands == []
        await world.tell("call.initiated", direction="incoming", to="+44")
        assert world.actions == ["answer"]


async def test_what_was_decided_is_logged_by_its_rule_without_numbers(log: Log) -> None:
    async with a_world(log, decider=ruled(log, {"name": "sales", "to": "+1555*"})) as world:
        await world.tell("call.initiated", direction="incoming", to="+15550100002")
    (line,) = [line for line in log.lines if line["event"] == "call decided"]
    assert (line["rule"], line["action"], line["media"]) == ("sales", "answer", "stream")
    assert "+1555" not in str(log.lines)
