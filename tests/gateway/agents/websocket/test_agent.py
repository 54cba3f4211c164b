"""A call in the hands of a user's program, over a real WebSocket."""

import asyncio
import base64
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from audio_codecs import decode_ulaw, encode_ulaw
from gateway.agents.base import CallSetup
from gateway.agents.options import AgentConfig
from gateway.agents.warm import WarmAgents
from gateway.agents.websocket import WebSocketAgent
from gateway.call import Call, EndReason
from gateway.errors import ConfigError, ControlError
from gateway.protocol.commands import Command, Hangup, Transfer
from gateway.simulator.wav import write_wav
from tests.fakes import FakeLine, acting, noise, settle, until
from tests.gateway.agents.websocket.program import program

PCMU_NOISE = encode_ulaw(noise(160))
HEARD = decode_ulaw(PCMU_NOISE).astype("<i2").tobytes()


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[Any]]:
    with capture_logs() as entries:
        yield entries


# --- the usual run -------------------------------------------------------------------------------------------------


async def test_a_program_is_told_of_the_call_hears_it_and_speaks() -> None:
    async with program() as served:
        line = FakeLine(agent=served.agent(token="s3cret"))
        line.say(PCMU_NOISE)
        async with line.running():
            connection = await served.connection()
            start = await connection.told("start")
            assert start["version"] == 1
            assert start["reconnects"] == 0
            assert start["media"] == {"sample_rate": 8000, "audio": "binary", "encoding": "pcm_s16le"}
            assert start["call"]["call_control_id"] == "v3:call"
            assert start["call"]["stream_id"] == "STREAM"
            line.say(PCMU_NOISE)
            assert await connection.hear(640) == 2 * HEARD
            await connection.send(noise(320).astype("<i2").tobytes())
            await spoken(line, 2)
            line.call.end(EndReason.STOP)
            assert await connection.told("stop") == {"type": "stop", "reason": "stop"}
            await connection.socket.wait_closed()
    assert b"".join(line.payloads()) == encode_ulaw(noise(320))
    assert served.requests[0].headers["Authorization"] == "Bearer s3cret"
    assert line.call.report()["agent_error"] is None


async def test_sound_may_be_base64_at_another_rate() -> None:
    async with program() as served:
        line = FakeLine(agent=served.agent(sample_rate=16_000, audio="base64"))
        async with line.running():
            connection = await served.connection()
            assert (await connection.told("start"))["media"]["sample_rate"] == 16_000
            line.say(*[PCMU_NOISE] * 2)
            messages = [await connection.told("audio") for _ in range(2)]
            assert [message["timestamp_ms"] for message in messages] == [0, 20]
            assert {len(base64.b64decode(message["audio"])) for message in messages} == {640}
            sound = base64.b64encode(np.full(640, 1000, "<i2").tobytes()).decode()
            await connection.send({"type": "audio", "audio": sound})
            await spoken(line, 2)
            assert {len(payload) for payload in line.payloads()} == {160}


async def test_a_program_chooses_rate_and_carriage_itself() -> None:
    async with program() as served:
        line = FakeLine(agent=served.agent())
        async with line.running():
            connection = await served.connection()
            await connection.told("start")
            configured = await connection.ask({"type": "configure", "sample_rate": 24_000, "audio": "base64"})
            assert configured == {"type": "result", "id": "asked", "ok": True}
            line.say(PCMU_NOISE)
            assert len(base64.b64decode((await connection.told("audio"))["audio"])) == 960


async def test_keys_marks_and_playbacks_are_told_and_clear_silences() -> None:
    async with program() as served:
        line = FakeLine(agent=served.agent())
        async with line.running():
            connection = await served.connection()
            line.press("7")
            line.wait(0.07)
            assert await connection.told("dtmf") == {"type": "dtmf", "digit": "7"}
            await connection.send(np.full(16_000, 500, "<i2").tobytes())
            assert (await connection.ask({"type": "mark", "name": "greeting"}))["ok"]
            assert (await connection.ask({"type": "clear"}))["ok"]
            assert "clear" in line.script()
            ended = await connection.told("playback")
            assert ended["interrupted"]
            assert ended["queued"] == 2000
            line.tell(line.carrier.send_mark("greeting"))
            assert await connection.told("mark") == {"type": "mark", "name": "greeting"}


async def test_a_play_is_done_when_it_was_heard_and_can_be_cancelled() -> None:
    file = base64.b64encode(write_wav(noise(800), sample_rate=8000)).decode()
    async with program() as served:
        line = FakeLine(agent=served.agent())
        async with line.running():
            connection = await served.connection()
            await connection.send({"type": "play", "audio": file, "name": "menu", "id": 1})
            await connection.send({"type": "play", "audio": file, "id": 2})
            await connection.send({"type": "cancel", "of": 2, "id": 3})
            passing = asyncio.ensure_future(_pass_time(line))
            results: dict[int, dict[str, Any]] = {}
            while len(results) < 3:
                result = await connection.told("result")
                results[result["id"]] = result
            passing.cancel()
    assert results[1]["result"]["heard"] == 100
    assert results[1]["result"]["name"] == "menu"
    assert results[2]["result"]["interrupted"]
    assert results[3]["ok"]


async def spoken(line: FakeLine, messages: int) -> None:
    """Let time pass until so many messages of sound have left."""
    async with asyncio.timeout(5):
        while len(line.payloads()) < messages:
            await asyncio.sleep(0.002)
            line.wait(0.02)


async def _pass_time(line: FakeLine) -> None:
    while True:
        await asyncio.sleep(0.002)
        line.wait(0.02)


async def test_commands_go_to_telnyx_and_refusals_come_back() -> None:
    sent: list[Command] = []

    async def command(call_control_id: str, command: Command) -> Mapping[str, Any]:
        sent.append(command)
        if isinstance(command, Hangup):
            raise ControlError("hangup: Call has already ended", status=422, code="90018")
        return {"result": "ok"}

    async with program() as served:
        line = FakeLine(agent=served.agent(), command=command)
        async with line.running():
            connection = await served.connection()
            transferred = await connection.ask(
                {"type": "transfer", "to": "+15550100009", "options": {"timeout_secs": 20}}
            )
            assert transferred == {"type": "result", "id": "asked", "ok": True, "result": {"result": "ok"}}
            refused = await connection.ask({"type": "hangup"})
            assert refused["error"] == {"message": "hangup: Call has already ended", "code": "90018"}
            wrong = await connection.ask({"type": "command", "action": "send_dtmf", "fields": {}})
            assert not wrong["ok"]
            assert "digits" in wrong["error"]["message"]
            await connection.send({"type": "command", "action": "explode", "fields": {}})
            assert "no command 'explode'" in (await connection.told("error"))["error"]["message"]
    assert sent == [Transfer(to="+15550100009", timeout_secs=20), Hangup()]


async def test_keys_are_gathered() -> None:
    async with program() as served:
        line = FakeLine(agent=served.agent())
        async with line.running():
            connection = await served.connection()
            await connection.send({"type": "gather", "options": {"max_digits": 2}, "id": "pin"})
            await connection.send({"type": "mark", "name": "x", "id": "after"})
            assert (await connection.told("result"))["id"] == "after"
            for digit in "42":
                line.press(digit)
                line.wait(0.07)
            gathered = await connection.told("result")
            assert gathered["result"] == {"digits": "42", "status": "valid"}
            wrong = await connection.ask({"type": "gather", "options": {"digits": 2}})
            assert "digits" in wrong["error"]["message"]


# --- what may go wrong ---------------------------------------------------------------------------------------------


async def test_wrong_messages_are_answered_and_too_many_end_the_agent() -> None:
    async with program() as served:
        line = FakeLine(agent=served.agent())
        async with line.running():
            connection = await served.connection()
            wrong: list[str | bytes] = [
                "no JSON",
                '{"type": "dance"}',
                '{"type": "mark"}',
                '{"type": "clear", "hard": true}',
                b"odd",
                '{"type": "play"}',
                '{"type": "configure", "sample_rate": 1}',
                '{"type": "cancel", "of": "nothing"}',
                '{"type": "audio", "audio": "*"}',
            ]
            for message in wrong:
                await connection.send(message)
                assert (await connection.told("error"))["error"]["message"]
            await connection.send('{"type": "mark", "id": 5}')
            assert not (await connection.told("result"))["ok"]
            await connection.socket.wait_closed()
            assert connection.socket.close_code == 1008
            await until(lambda: line.call.report()["agent_error"] is not None)
            assert "sends wrong messages" in line.call.report()["agent_error"]
            assert line.ended == []


async def test_a_program_that_is_restarted_goes_on_with_the_call_and_hears_what_came_meanwhile(logs: list[Any]) -> None:
    async with program() as served:
        line = FakeLine(agent=served.agent())
        async with line.running():
            first = await served.connection()
            await first.told("start")
            line.say(PCMU_NOISE)
            assert await first.hear(320) == HEARD
            first.socket.transport.abort()
            await until(lambda: any(entry["event"] == "connection of the agent failed" for entry in logs))
            line.say(*[PCMU_NOISE] * 10)
            second = await served.connection()
            assert (await second.told("start"))["reconnects"] == 1
            assert await second.hear(3200) == 10 * HEARD
    assert line.call.report()["agent_error"] is None


async def test_a_program_that_has_done_its_work_leaves_the_call_alone() -> None:
    async with program() as served:
        line = FakeLine(agent=served.agent())
        async with line.running():
            connection = await served.connection()
            await connection.socket.close(1000)
            await settle()
            line.say(PCMU_NOISE)
            assert line.ended == []
        assert served.requests[1:] == []
    assert line.call.report()["agent_error"] is None


async def test_a_refused_key_is_told_clearly_and_once(logs: list[Any]) -> None:
    async with program() as served:
        served.refuse = HTTPStatus.UNAUTHORIZED
        line = FakeLine(agent=served.agent(token="wrong"))
        async with line.running():
            await until(lambda: line.call.report()["agent_error"] is not None)
    assert len(served.requests) == 1
    error = line.call.report()["agent_error"]
    assert error.startswith("AgentError: ws://127.0.0.1:")
    assert error.endswith("/calls refuses the connection with status 401")
    assert "wrong" not in str(logs)
    assert "secret" not in str(logs)


async def test_a_program_that_is_not_there_is_tried_for_a_while() -> None:
    async with program() as served:
        factory = served.agent(reconnect_seconds=0.3)
    line = FakeLine(agent=factory)
    async with line.running():
        line.say(PCMU_NOISE)
        await until(lambda: line.call.report()["agent_error"] is not None)
        assert "cannot be reached" in line.call.report()["agent_error"]
        assert line.ended == []


async def test_a_program_that_does_not_read_costs_its_own_sound_only() -> None:
    listened: list[None] = []

    async def listen(call: Call) -> None:
        async for _ in call:
            listened.append(None)  # noqa: PERF401 - counted as they come

    async with program(max_queue=1) as served:
        line, other = FakeLine(agent=served.agent(sample_rate=48_000)), FakeLine(agent=acting(listen))
        async with line.running(), other.running():
            connection = await served.connection()
            rounds = 0
            while line.call.report()["agent_items_dropped"] == 0:
                line.say(*[PCMU_NOISE] * 50)
                other.say(*[PCMU_NOISE] * 10)
                await settle()
                rounds += 1
            assert len(listened) == 10 * rounds
            assert line.ended == []
            connection.socket.transport.abort()


async def test_a_program_is_connected_to_while_the_telephone_rings_and_knows_who_calls() -> None:
    import structlog

    setup = CallSetup(call_control_id="v3:call", direction="incoming", caller="+15550100001", callee="+15550100002")
    async with program() as served, WarmAgents(log=structlog.get_logger()) as warm:
        factory = served.agent()
        warm.expect(setup, factory)
        connection = await served.connection()
        line = FakeLine(agent=factory, warm_agents=warm)
        async with line.running():
            call = (await connection.told("start"))["call"]
            assert (call["direction"], call["caller"], call["callee"]) == ("incoming", "+15550100001", "+15550100002")
        assert len(served.requests) == 1
        warm.expect(setup, factory)
        unneeded = await served.connection()
        warm.call_over("v3:call")
        await unneeded.socket.wait_closed()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "url: Field required"),
        ({"url": "http://127.0.0.1/"}, "url: want ws://"),
        ({"url": "ws://127.0.0.1:99999/"}, "url: Port out of range"),
        ({"url": "ws://127.0.0.1/", "sample_rate": 100}, "sample_rate"),
        ({"url": "ws://127.0.0.1/", "speed": 2}, "speed: there is no such option"),
        ({"url": "ws://127.0.0.1/", "token": "a\nb"}, "token: want printable ASCII"),
    ],
)
def test_wrong_options_are_refused_at_the_start(options: dict[str, Any], problem: str) -> None:
    import structlog

    with pytest.raises(ConfigError, match=problem):
        WebSocketAgent.configure(AgentConfig(options=options, log=structlog.get_logger()))
