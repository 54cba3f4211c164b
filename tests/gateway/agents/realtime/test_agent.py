"""A call answered by a speech-to-speech model, over a real WebSocket."""

import asyncio
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

import numpy as np
import pytest
import structlog
from structlog.testing import capture_logs

from audio_codecs import encode_ulaw, open_codec
from gateway.agents.options import AgentConfig
from gateway.agents.realtime import RealtimeAgent
from gateway.agents.realtime import session as session_module
from gateway.errors import ConfigError
from gateway.protocol.commands import Command, Hangup
from tests.fakes import FakeLine, noise, settle, until
from tests.gateway.agents.realtime.service import model_service

Published = list[tuple[str, Mapping[str, Any]]]

FRAME = encode_ulaw(noise(160))
SPEECH = encode_ulaw(noise(8000, seed=2))  # a second


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[Any]]:
    with capture_logs() as entries:
        yield entries


async def pass_time(line: FakeLine, seconds: float) -> None:
    """Let time pass in steps in which tasks come to their turn."""
    for _ in range(round(seconds / 0.02)):
        await settle()
        await asyncio.sleep(0)
        line.wait(0.02)


async def spoken(line: FakeLine, octets: int) -> bytes:
    async with asyncio.timeout(5):
        while sum(map(len, line.payloads())) < octets:
            await asyncio.sleep(0.002)
            line.wait(0.02)
    return b"".join(line.payloads())


async def failed(line: FakeLine) -> str:
    await until(lambda: line.call.report()["agent_error"] is not None)
    return str(line.call.report()["agent_error"])


# --- the usual run -------------------------------------------------------------------------------------------------


async def test_g711_is_passed_on_as_it_is_both_ways() -> None:
    async with model_service() as service:
        line = FakeLine(agent=service.agent(instructions="Be brief.", voice="marin", silence_duration_ms=300))
        line.say(FRAME)
        async with line.running():
            model = await service.connection()
            session = await model.begin()
            assert session["audio"] == {
                "input": {
                    "format": {"type": "audio/pcmu"},
                    "turn_detection": {
                        "type": "server_vad",
                        "create_response": True,
                        "interrupt_response": True,
                        "silence_duration_ms": 300,
                    },
                },
                "output": {"format": {"type": "audio/pcmu"}, "voice": "marin"},
            }
            assert session["instructions"] == "Be brief."
            line.say(FRAME)
            assert await model.hear(320) == 2 * FRAME
            await model.respond("resp_1", "item_1", SPEECH[:3000], SPEECH[3000:])
            assert await spoken(line, 8000) == SPEECH
            assert model.wrong == []
    request = service.requests[0]
    assert request.path == "/v1/realtime?model=gpt-realtime"
    assert request.headers["Authorization"] == "Bearer sk-secret"
    assert line.call.report()["agent_error"] is None


async def test_what_was_lost_on_the_way_is_sent_as_it_was_made_up() -> None:
    async with model_service() as service:
        line = FakeLine(agent=service.agent())
        async with line.running():
            model = await service.connection()
            await model.begin()
            line.say(FRAME)
            line.lose(FRAME)
            line.say(FRAME)
            line.wait(0.1)
            assert len(await model.hear(480)) == 480


async def test_any_other_codec_goes_as_pcm_of_24_khz() -> None:
    async with model_service() as service:
        line = FakeLine(agent=service.agent(), outbound=open_codec("L16", 16_000))
        async with line.running():
            model = await service.connection()
            session = await model.begin()
            assert session["audio"]["output"]["format"] == {"type": "audio/pcm", "rate": 24_000}
            assert session["audio"]["input"]["format"] == {"type": "audio/pcmu"}
            await model.respond("resp_1", "item_1", np.full(24_000, 800, "<i2").tobytes())
            heard = await spoken(line, 32_000)
            assert abs(len(heard) - 32_000) <= 640


async def test_the_model_greets_where_it_is_told_to() -> None:
    async with model_service() as service:
        line = FakeLine(agent=service.agent(greeting="Say hello."))
        async with line.running():
            model = await service.connection()
            await model.begin()
            assert (await model.told("response.create"))["response"] == {"instructions": "Say hello."}


async def test_an_interruption_silences_and_tells_the_model_what_was_heard() -> None:
    published: Published = []
    async with model_service() as service:
        line = FakeLine(agent=service.agent(), publish=lambda call, event, data: published.append((event, data)))
        async with line.running():
            model = await service.connection()
            await model.begin()
            await model.respond("resp_1", "item_1", SPEECH, done=False)
            await spoken(line, 1600)
            await pass_time(line, 0.4)
            await model.caller_speaks()
            truncated = await model.told("conversation.item.truncate")
            assert truncated["item_id"] == "item_1"
            heard = line.call.report()["played"]["playbacks"][0]["heard"]
            assert truncated["audio_end_ms"] == heard
            assert 300 <= heard < 1000
            assert line.script()[-1] == "clear"
            before = len(line.payloads())
            await model.respond("resp_1", "item_1", SPEECH)  # it was on its way already
            await pass_time(line, 0.2)
            assert len(line.payloads()) == before
            await model.respond("resp_2", "item_2", SPEECH)
            await spoken(line, sum(map(len, line.payloads())) + 160)
    assert ("agent.interrupted", {"heard_ms": heard, "of_ms": 1000}) in published


async def test_a_caller_who_speaks_while_nothing_is_said_interrupts_nothing() -> None:
    async with model_service() as service:
        line = FakeLine(agent=service.agent())
        async with line.running():
            model = await service.connection()
            await model.begin()
            await model.caller_speaks()
            line.press("5")
            line.wait(0.07)
            pressed = await model.told("conversation.item.create")
            assert pressed["item"]["content"] == [{"type": "input_text", "text": "[pressed the key 5]"}]
            assert line.script() == []


async def test_a_function_of_the_model_becomes_a_command_and_a_response_follows() -> None:
    async with model_service() as service:
        line = FakeLine(agent=service.agent(tools=["send_dtmf", "hangup"]))
        async with line.running():
            model = await service.connection()
            session = await model.begin()
            assert [tool["name"] for tool in session["tools"]] == ["send_dtmf", "hangup"]
            await model.send("response.created", response={"id": "resp_1"})
            call = {"type": "function_call", "id": "item_1", "status": "completed", "call_id": "call_1"}
            output = [
                call | {"name": "send_dtmf", "arguments": '{"digits": "12"}'},
                call | {"name": "fly", "arguments": "{}", "call_id": "call_2"},
            ]
            await model.send("response.done", response={"id": "resp_1", "status": "completed", "output": output})
            outputs = [(await model.told("conversation.item.create"))["item"] for _ in range(2)]
            assert {item["call_id"] for item in outputs} == {"call_1", "call_2"}
            await model.told("response.create")  # one, when both have answered
            await model.send("response.created", response={"id": "resp_2"})
            await spoken(line, 1600)


async def test_the_functions_of_an_interrupted_response_are_not_called() -> None:
    sent: list[Command] = []

    async def command(call_control_id: str, command: Command) -> Mapping[str, Any]:
        sent.append(command)
        return {}

    async with model_service() as service:
        line = FakeLine(agent=service.agent(), command=command)
        async with line.running():
            model = await service.connection()
            await model.begin()
            hangup = {"type": "function_call", "name": "hangup", "call_id": "call_1", "arguments": "{}"}
            cut = {"id": "resp_1", "status": "cancelled", "output": [hangup | {"status": "incomplete"}]}
            await model.send("response.done", response=cut)
            line.press("1")
            line.wait(0.07)
            await model.told("conversation.item.create")  # of the key, behind it
            assert sent == []
            done = {"id": "resp_2", "status": "completed", "output": [hangup | {"status": "completed"}]}
            await model.send("response.done", response=done)
            await until(lambda: sent == [Hangup()])
            await model.socket.wait_closed()  # the agent has done its work
    assert line.call.report()["agent_error"] is None


# --- what may go wrong ---------------------------------------------------------------------------------------------


async def test_a_drop_in_the_middle_of_an_utterance_loses_no_word_of_it(logs: list[Any]) -> None:
    async with model_service() as service:
        line = FakeLine(agent=service.agent(transcription="gpt-4o-transcribe", greeting="Say hello."))
        async with line.running():
            model = await service.connection()
            await model.begin()
            await model.told("response.create")
            await model.respond("resp_1", "item_1", SPEECH[:160], text="Hello, how can I help?")
            line.say(*[FRAME] * 3)
            await model.hear(480)
            await model.send("input_audio_buffer.speech_stopped", audio_end_ms=60, item_id="item_2")
            transcribed = "conversation.item.input_audio_transcription.completed"
            await model.send(transcribed, item_id="item_2", content_index=0, transcript="A room for tonight.")
            await model.respond("resp_2", "item_3", SPEECH[:160], text="Surely.")
            second = encode_ulaw(noise(160, seed=3))
            line.say(*[second] * 4)
            await model.hear(640)
            await settle()
            model.socket.transport.abort()
            await until(lambda: any(entry["event"] == "connection of the agent failed" for entry in logs))
            line.say(FRAME)  # while there is no connection
            again = await service.connection()
            await again.begin()
            told = [(await again.told("conversation.item.create"))["item"] for _ in range(3)]
            assert [(item["role"], item["content"][0]["text"]) for item in told] == [
                ("assistant", "Hello, how can I help?"),
                ("user", "A room for tonight."),
                ("assistant", "Surely."),
            ]
            assert await again.hear(800) == 4 * second + FRAME
            assert again.appends == 5  # nothing twice
    assert line.call.report()["agent_error"] is None


async def test_an_expired_session_is_followed_by_another() -> None:
    async with model_service() as service:
        line = FakeLine(agent=service.agent())
        async with line.running():
            model = await service.connection()
            await model.begin()
            await model.send("error", error={"type": "invalid_request_error", "code": "session_expired", "message": ""})
            again = await service.connection()
            await again.begin()
            line.say(FRAME)
            await again.hear(160)
    assert line.call.report()["agent_error"] is None


async def test_a_refused_key_is_told_clearly_and_once(logs: list[Any]) -> None:
    async with model_service() as service:
        service.refuse = HTTPStatus.UNAUTHORIZED
        line = FakeLine(agent=service.agent())
        async with line.running():
            assert (await failed(line)).endswith("/v1/realtime refuses the connection with status 401")
            assert line.ended == []
    assert len(service.requests) == 1
    assert "sk-secret" not in str(logs)


async def test_a_key_that_is_refused_after_the_upgrade_is_not_tried_again() -> None:
    async with model_service() as service:
        line = FakeLine(agent=service.agent())
        async with line.running():
            model = await service.connection()
            error = {"type": "invalid_request_error", "code": "invalid_api_key", "message": "Incorrect API key"}
            await model.send("error", error=error)
            assert "refuses: invalid_api_key: Incorrect API key" in await failed(line)
    assert len(service.requests) == 1


async def test_a_service_that_stalls_is_left_and_the_call_stays_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "_UPDATE_TIMEOUT", 0.1)
    async with model_service() as service:
        line = FakeLine(agent=service.agent(reconnect_seconds=0.2))
        async with line.running():
            await service.connection()  # and never a word
            line.say(*[FRAME] * 5)
            assert line.call.report()["received"]["packets_received"] == 5
            assert "cannot be reached" in await failed(line)
            assert line.ended == []


async def test_a_response_that_fails_is_asked_for_again_and_given_up_in_the_end() -> None:
    async with model_service() as service:
        line = FakeLine(agent=service.agent())
        async with line.running():
            model = await service.connection()
            await model.begin()
            limits = [{"name": "tokens", "limit": 10, "remaining": 0, "reset_seconds": 0.01}]
            await model.send("rate_limits.updated", rate_limits=limits)
            details = {"type": "failed", "error": {"type": "tokens", "code": "rate_limit_exceeded", "message": "slow"}}
            for number in range(3):
                response = {"id": f"resp_{number}", "status": "failed", "status_details": details, "output": []}
                await model.send("response.done", response=response)
                if number < 2:
                    await model.told("response.create")
            assert "does not answer: rate_limit_exceeded" in await failed(line)


async def test_errors_are_borne_until_they_are_too_many() -> None:
    async with model_service() as service:
        line = FakeLine(agent=service.agent())
        async with line.running():
            model = await service.connection()
            await model.begin()
            for _ in range(9):
                await model.send("error", error={"type": "server_error", "message": "oops"})
            line.say(FRAME)
            await model.hear(160)
            assert line.call.report()["agent_error"] is None
            await model.socket.send("no JSON")
            assert "too many errors" in await failed(line)


@pytest.mark.parametrize(
    ("options", "environment", "problem"),
    [
        ({}, {}, "OPENAI_API_KEY: the agent realtime needs a key"),
        ({"api_key_variable": "OTHER"}, {"OPENAI_API_KEY": "x"}, "OTHER: the agent"),
        ({"url": "https://api.openai.com"}, {"OPENAI_API_KEY": "x"}, "url: want ws://"),
        ({"tools": ["transfer"]}, {"OPENAI_API_KEY": "x"}, "tools: the tool transfer needs transfer_to"),
        ({"threshold": 2}, {"OPENAI_API_KEY": "x"}, "threshold"),
    ],
)
def test_wrong_options_are_refused_at_the_start(
    options: dict[str, Any], environment: dict[str, str], problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        RealtimeAgent.configure(AgentConfig(options=options, environment=environment, log=structlog.get_logger()))
