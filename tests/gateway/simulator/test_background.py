"""The simulator that tests of other people's applications run on: how it is started, and what a call's result says."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.simulator.background import BackgroundSimulator
from gateway.simulator.refusal import Refusal
from gateway.simulator.script import ScriptError
from gateway.simulator.wav import write_wav
from tests.gateway.simulator.application import Application, application, echo, ignore, speech

WAITS = "[[step]]\nwait = 60.0\n"
SAYS = '[[step]]\nsay = "booking.wav"\n'


@asynccontextmanager
async def called(media: Any = ignore, *, acts: bool = True) -> AsyncIterator[tuple[BackgroundSimulator, Application]]:
    async with asyncio.timeout(20), application(media, acts=acts) as app:
        with BackgroundSimulator(webhook_url=app.webhook_url, retry_delays=()) as simulator:
            app.rest_url = simulator.rest_url
            yield simulator, app


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_an_application_that_is_not_there_is_the_failure() -> None:
    url = f"http://127.0.0.1:{unused_port()}/webhooks"
    with BackgroundSimulator(retry_delays=()) as simulator:
        call = simulator.call(webhook_url=url, gives_up_after=0.1)
        with pytest.raises(TimeoutError, match=url):
            simulator.wait_for(url, timeout=0.1)
    assert call.failure is not None
    assert call.failure.startswith(
        f"the application did not answer the call; call.initiated was not delivered to {url}: "
    )
    with pytest.raises(AssertionError, match="call     state=hangup hangup_cause=originator_cancel"):
        call.check()


async def test_a_call_that_does_not_end_is_given_up() -> None:
    async with called() as (simulator, app):
        call = await simulator.call_async(WAITS, timeout=0.4)
        assert app.events()[-1] == "call.hangup"
    assert call.failure == "the call did not end within 0.4 s: it did not get past step 1 (wait)"
    assert call.hangup_source == "caller"


async def test_a_call_that_ends_too_early_is_a_failure() -> None:
    async with called() as (simulator, app):
        app.plan["streaming.started"] = [("hangup", {})]
        said = await simulator.call_async(SAYS)
        waited = await simulator.call_async(WAITS)
    assert said.failure == "the call ended (normal_clearing, by callee) before step 1 (say) was done"
    assert waited.failure is None  # nothing was to be said or heard any more


async def test_a_call_without_a_stream_is_a_failure() -> None:
    async with called(acts=False) as (simulator, app):
        app.plan = {"call.initiated": [("answer", {})], "call.answered": [("hangup", {})]}
        call = await simulator.call_async(wav=speech(0.1))
    assert call.failure == "the application opened no media stream: nobody heard the caller"


async def test_a_simulator_that_ends_before_its_call_says_so() -> None:
    async with called() as (simulator, _):
        call = asyncio.create_task(simulator.call_async(WAITS))
        await asyncio.sleep(0.1)
        await asyncio.to_thread(simulator.__exit__, None, None, None)
        result = await call
    assert result.failure is not None
    assert result.failure.startswith("the simulator failed, or ended before the call did")


async def test_a_test_that_is_cancelled_hangs_up() -> None:
    async with called() as (simulator, app):
        call = asyncio.create_task(simulator.call_async(WAITS))
        await app.told("streaming.started")
        call.cancel()
        await app.told("call.hangup")


async def test_a_script_is_a_name_a_file_or_toml_with_its_sounds(tmp_path: Path) -> None:
    wav, many = (write_wav(sound, sample_rate=8000) for sound in (speech(0.06), np.tile(speech(0.06), 8)))
    script = '[[step]]\nsay = "many.wav"\n\n[[step]]\nlisten = "audio"\nfile = "a.wav"\nwithin = 1.0\n'
    (tmp_path / "a.wav").write_bytes(wav)
    (tmp_path / "many.wav").write_bytes(many)
    (tmp_path / "script.toml").write_text(script)
    async with called(echo) as (simulator, _):
        by_file = simulator.call_async(tmp_path / "script.toml")
        by_path = simulator.call_async(str(tmp_path / "script.toml"))
        by_toml = [
            simulator.call_async(script, sounds={"a.wav": sound, "many.wav": many})
            for sound in (wav, tmp_path / "a.wav", speech(0.06))
        ]
        for call in await asyncio.gather(by_file, by_path, *by_toml):
            call.check()
            assert [step["verb"] for step in call.steps] == ["say", "listen"]
        with pytest.raises(ScriptError, match="hears_an_echo"):
            await simulator.call_async("nobody")
        with pytest.raises(ScriptError, match=r"a\.wav"):
            await simulator.call_async(script, sounds={"many.wav": many})
        with pytest.raises(ScriptError, match="sounds"):
            await simulator.call_async("hears_an_echo", sounds={"a.wav": wav})
        with pytest.raises(ValueError, match="not a WAV file"):
            await simulator.call_async(wav=b"RIFF")


def test_a_call_with_nowhere_to_report_to_is_refused() -> None:
    with BackgroundSimulator() as simulator, pytest.raises(Refusal, match="webhook URL"):
        simulator.call("hears_an_echo")


def test_a_simulator_that_cannot_start_raises_where_it_is_entered() -> None:
    with (
        BackgroundSimulator() as first,
        pytest.raises(OSError, match="address already in use"),
        BackgroundSimulator(listen=first.rest_url.removeprefix("http://").removesuffix("/v2")),
    ):
        pass


def test_a_simulator_that_does_not_run_takes_no_call() -> None:
    simulator = BackgroundSimulator()
    with pytest.raises(RuntimeError, match="enter its context"):
        simulator.call("hears_an_echo", webhook_url="http://127.0.0.1:9")
    with simulator:
        assert simulator.environment["TELNYX_BASE_URL"] == simulator.rest_url
        assert simulator.environment["TELNYX_PUBLIC_KEY"] == simulator.public_key
    with pytest.raises(RuntimeError, match="enter its context"):
        simulator.call("hears_an_echo", webhook_url="http://127.0.0.1:9")


async def test_what_repeats_in_the_story_is_told_once() -> None:
    async def repeats(media: Any) -> None:
        async for text in media:
            if json.loads(text)["event"] == "media":
                await media.send('{"event": "play"}')

    async with called(repeats) as (simulator, _):
        call = await simulator.call_async(wav=speech(0.3), silence_after=0.3)
    assert call.errors[0] == {"code": 100003, "detail": "there is no event 'play'"}
    told = [line for line in call.story().splitlines() if "there is no event" in line]
    assert len(told) < 5 < len(call.errors)
    assert f"({len(call.errors)} times, until " in told[0] or len(told) > 1
