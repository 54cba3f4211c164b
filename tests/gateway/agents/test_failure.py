"""What an agent's failure costs: nothing but itself; and what the caller hears of it."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from gateway.agents.failure import OnFailure
from gateway.call import Call
from gateway.errors import ConfigError, ControlError
from gateway.protocol.commands import Command, Hangup
from gateway.simulator.wav import write_wav
from tests.fakes import FakeLine, acting, noise, settle

Published = list[tuple[str, Mapping[str, Any]]]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


@pytest.fixture
def published() -> Published:
    return []


def publisher(published: Published) -> Callable[[str, str, Mapping[str, Any]], None]:
    def publish(call_control_id: str, event_type: str, data: Mapping[str, Any]) -> None:
        assert call_control_id == "v3:call"
        if event_type.startswith("agent."):
            published.append((event_type, data))

    return publish


async def fail(call: Call) -> None:
    raise LookupError("no such customer")


async def heard(line: FakeLine, seconds: float) -> None:
    """Let time pass in steps in which tasks may read what is played."""
    for _ in range(round(seconds / 0.02)):
        await asyncio.sleep(0.001)
        line.wait(0.02)


async def test_a_failure_is_told_to_whoever_follows_the_call(published: Published) -> None:
    async with FakeLine(agent=acting(fail), publish=publisher(published)).running():
        await settle()
    assert published == [("agent.failed", {"error": "LookupError: no such customer", "during_call": True})]


async def test_the_caller_hears_the_apology_in_place_of_what_the_agent_had_to_say(tmp_path: Path) -> None:
    sorry = tmp_path / "sorry.wav"
    sorry.write_bytes(write_wav(noise(800), sample_rate=8000))

    async def speak_and_fail(call: Call) -> None:
        call.send_audio(np.zeros(80_000, np.int16))
        raise LookupError

    line = FakeLine(agent=acting(speak_and_fail), agent_failure=OnFailure(str(sorry)))
    async with line.running():
        played: dict[str, Any] = {}
        while "apology" not in played:
            await heard(line, 0.1)
            played = {entry["name"]: entry for entry in line.call.report()["played"]["playbacks"]}
        assert "clear" in line.script()
        assert played["speech 1"]["interrupted"]
        assert played["apology"]["queued"] == 100
        assert line.ended == []  # not hung up, as nobody asked for that


async def test_the_call_is_hung_up_where_that_is_wanted_once_the_apology_was_heard(tmp_path: Path) -> None:
    sorry = tmp_path / "sorry.wav"
    sorry.write_bytes(write_wav(noise(800), sample_rate=8000))
    sent: list[Command] = []

    async def command(call_control_id: str, command: Command) -> Mapping[str, Any]:
        played = line.call.report()["played"]["playbacks"]
        assert [entry["heard"] for entry in played] == [100]
        sent.append(command)
        return {}

    line = FakeLine(agent=acting(fail), agent_failure=OnFailure(str(sorry), hang_up=True), command=command)
    async with line.running():
        while not sent:
            await heard(line, 0.1)
    assert sent == [Hangup()]


async def test_an_apology_that_cannot_be_said_and_a_hang_up_that_is_refused_end_nothing(tmp_path: Path) -> None:
    (tmp_path / "sorry.wav").write_bytes(b"no sound")
    refused = []

    async def command(call_control_id: str, command: Command) -> Mapping[str, Any]:
        refused.append(command)
        raise ControlError("hangup: refused")

    on_failure = OnFailure(str(tmp_path / "sorry.wav"), hang_up=True)
    line = FakeLine(agent=acting(fail), agent_failure=on_failure, command=command)
    async with line.running():
        while not refused:
            await heard(line, 0.1)
        assert line.ended == []
        assert line.call.report()["agent_error"] == "LookupError: no such customer"


async def test_an_agent_that_wants_to_end_the_program_ends_itself() -> None:
    async def leave(call: Call) -> None:
        raise SystemExit(3)

    line = FakeLine(agent=acting(leave))
    async with line.running():
        await settle()
        assert line.ended == []
    assert line.call.report()["agent_error"] == "AgentError: it raised SystemExit(3)"


async def test_an_agent_that_cancels_itself_is_reported() -> None:
    async def give_up(call: Call) -> None:
        raise asyncio.CancelledError

    line = FakeLine(agent=acting(give_up))
    async with line.running():
        await settle()
        assert line.call.report()["agent_error"] == "AgentError: it cancelled itself"


async def test_the_record_says_of_an_agent_that_never_returned_that_it_was_stopped(published: Published) -> None:
    async def stay(call: Call) -> None:
        await asyncio.Event().wait()

    line = FakeLine(agent=acting(stay), agent_grace=0.02, publish=publisher(published))
    async with line.running():
        pass
    error = "AgentError: it had not ended 0.02 s after the call, and was stopped"
    assert line.call.report()["agent_error"] == error
    assert published == [("agent.failed", {"error": error, "during_call": False})]


async def test_of_an_agent_that_floods_ten_minutes_wait_and_the_rest_is_counted_and_told(published: Published) -> None:
    minute = np.zeros(60 * 8000, np.int16)
    said = []

    async def flood(call: Call) -> None:
        for _ in range(15):
            call.send_audio(minute)
            said.append(60)
            await asyncio.sleep(0)

    line = FakeLine(agent=acting(flood), publish=publisher(published))
    other = FakeLine(agent=acting(lambda call: call.wait_for_playout()))
    async with line.running(), other.running():
        for _ in range(20):
            await asyncio.sleep(0)
        other.call.send_audio(noise(160))
        other.wait(0.04)
        assert len(other.payloads()) == 1
        played = line.call.report()["played"]
    assert len(said) == 15
    assert played["samples_queued"] + 160 * played["frames_sent"] <= 601 * 8000
    assert played["samples_dropped"] == 15 * len(minute) - played["samples_queued"] - 160 * played["frames_sent"]
    assert published == [("agent.sound_dropped", {"waiting_seconds": 600.0})]


def test_an_apology_that_is_a_file_must_be_there_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"GATEWAY_AGENT_APOLOGY: there is no file 'gone\.wav'"):
        OnFailure("gone.wav").check(speaks=True)


def test_an_apology_in_words_needs_somebody_to_speak_them() -> None:
    words = OnFailure("I am sorry, something went wrong. Please call again.")
    words.check(speaks=True)
    with pytest.raises(ConfigError, match="GATEWAY_AGENT_APOLOGY: words need a speech service"):
        words.check(speaks=False)
