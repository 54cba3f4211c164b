"""A caller who is recorded, and hears no more than a greeting."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog
from structlog.testing import capture_logs

from audio_codecs import encode_ulaw
from gateway.agents.options import AgentConfig
from gateway.agents.record_only import RecordOnly
from gateway.call import EndReason
from gateway.errors import ConfigError
from gateway.protocol.commands import Command, Hangup
from gateway.simulator.wav import write_wav
from tests.fakes import FakeLine, ListSink, noise, until

SILENCE = encode_ulaw(np.zeros(160, np.int16))


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


class Caller:
    """A line whose agent only records; `recorder` is the one that the settings give it."""

    def __init__(self, *, recorder: bool = True, **options: Any) -> None:
        self.sent: list[Command] = []
        self.events: list[tuple[str, Mapping[str, Any]]] = []
        config = AgentConfig(options=options, log=structlog.get_logger())
        self.line = FakeLine(
            agent=RecordOnly.configure(config),
            sinks={"recorder": ListSink().factory} if recorder else {},
            command=self.command,
            publish=self.publish,
        )

    def publish(self, call_control_id: str, event_type: str, data: Mapping[str, Any]) -> None:
        if event_type.startswith("agent."):
            self.events.append((event_type, data))

    async def command(self, call_control_id: str, command: Command) -> Mapping[str, Any]:
        self.sent.append(command)
        self.line.call.end(EndReason.STOP)
        return {}


async def test_nothing_is_said_and_the_limit_ends_the_call() -> None:
    caller = Caller(seconds=0.1)
    async with caller.line.running():
        caller.line.say(*[SILENCE] * 5)
        await until(lambda: caller.sent == [Hangup()])
    assert caller.line.payloads() == []
    assert caller.events == [("agent.recorded", {"reason": "limit"})]


async def test_silence_ends_the_call_and_speech_does_not() -> None:
    caller = Caller(silence=0.5)
    rng = np.random.default_rng(3)
    async with caller.line.running():
        await asyncio.sleep(0.01)
        for _ in range(25):  # loud, so that every detector takes it for speech
            caller.line.say(encode_ulaw(rng.integers(-20_000, 20_000, 160, dtype=np.int16)))
        caller.line.say(*[SILENCE] * 50)
        await until(lambda: caller.sent == [Hangup()], timeout=4)
    assert caller.events == [("agent.recorded", {"reason": "silence"})]


async def test_a_greeting_is_heard_and_then_the_call_goes_on_where_nobody_is_to_hang_up(tmp_path: Path) -> None:
    (tmp_path / "hello.wav").write_bytes(write_wav(noise(800), sample_rate=8000))
    caller = Caller(greeting=str(tmp_path / "hello.wav"), beep=True, seconds=0.05, hangup=False)
    async with caller.line.running():
        async with asyncio.timeout(4):
            while not caller.events:
                await asyncio.sleep(0.002)
                caller.line.wait(0.02)
        assert caller.line.ended == []
    names = [entry["name"] for entry in caller.line.call.report()["played"]["playbacks"]]
    assert names == ["greeting", "beep"]
    assert caller.sent == []


async def test_a_call_that_nobody_records_is_recorded_by_the_agent() -> None:
    caller = Caller(recorder=False, seconds=0.05)
    recorded: list[str] = []

    async def record_start(options: Any = None) -> str:
        recorded.append("start")
        return "recording"

    def record_stop(recording_id: str | None = None) -> list[str]:
        recorded.append(f"stop {recording_id}")
        return []

    caller.line.call.record_start = record_start  # type: ignore[method-assign]
    caller.line.call.record_stop = record_stop  # type: ignore[method-assign]
    async with caller.line.running():
        await until(lambda: caller.sent == [Hangup()])
    assert recorded == ["start", "stop recording"]


async def test_a_caller_who_hangs_up_ends_it() -> None:
    caller = Caller()
    async with caller.line.running():
        await asyncio.sleep(0.01)
        caller.line.call.end(EndReason.STOP)
    assert caller.events == [("agent.recorded", {"reason": "hangup"})]
    assert caller.sent == []


def test_a_greeting_that_is_not_there_is_refused_at_the_start() -> None:
    with pytest.raises(ConfigError, match=r"greeting: there is no file 'none\.wav'"):
        Caller(greeting="none.wav")
