"""Agents that misbehave, in one process with others: each in a whole call, from the webhook to the record."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway import Agent, Call
from gateway.agents.base import CallSetup
from gateway.agents.echo import Echo
from gateway.simulator.wav import write_wav
from tests.fakes import noise
from tests.gateway.test_gateway import account, make, place_call, stored, telnyx


class Raises(Agent):
    """Wants nothing to do with the call."""

    async def run(self, call: Call) -> None:
        async for _ in call:
            raise LookupError("no such customer")


class Floods(Agent):
    """Says eleven minutes at once."""

    async def run(self, call: Call) -> None:
        for _ in range(11):
            call.send_audio(np.full(60 * 8000, 500, np.int16))
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("agent", "error", "dropped"),
    [
        (Raises, "LookupError: no such customer", False),
        (Floods, None, True),
    ],
    ids=["raises", "floods"],
)
async def test_others_are_undisturbed_and_the_record_says_what_happened(
    tmp_path: Path, agent: type[Agent], error: str | None, dropped: bool
) -> None:
    made: list[str] = []

    def make_agent() -> Agent:
        made.append("agent")
        return agent() if len(made) == 1 else Echo()

    async with telnyx() as simulator, make(tmp_path, answer_with=make_agent, **account(simulator)) as gateway:
        bad = place_call(simulator, gateway, 0.4)
        await asyncio.sleep(0.05)
        good = place_call(simulator, gateway, 0.4)
        for call in (good, bad):
            await call.wait_finished()
        records = [await stored(gateway, call) for call in (bad, good)]
    wrong, right = (record["media"] for record in records)
    assert wrong["agent_error"] == error
    assert (wrong["played"]["samples_dropped"] > 0) is dropped
    assert wrong["end_reason"] == right["end_reason"] == "stop"
    assert right["agent_error"] is None
    assert right["played"]["frames_sent"] >= 20  # its whole echo


async def test_a_caller_whose_agent_fails_hears_the_apology_and_is_hung_up(tmp_path: Path) -> None:
    sorry = tmp_path / "sorry.wav"
    sorry.write_bytes(write_wav(noise(2400, seed=9), sample_rate=8000))
    settings: dict[str, Any] = {"agent_apology": str(sorry), "agent_failed": "hangup"}
    async with telnyx() as simulator, make(tmp_path, answer_with=Raises, **account(simulator), **settings) as gateway:
        call = place_call(simulator, gateway, 10.0)
        await call.wait_finished()
        record = await stored(gateway, call)
    (apology,) = record["media"]["played"]["playbacks"]
    assert (apology["name"], apology["heard"]) == ("apology", 300)
    assert record["media"]["duration_seconds"] < 8  # the caller had more to say


async def test_an_agent_is_ready_before_the_call_is_answered_and_knows_who_calls(tmp_path: Path) -> None:
    prepared: list[CallSetup] = []
    seen: list[int] = []

    class Prepared(Agent):
        async def prepare(self, setup: CallSetup) -> None:
            prepared.append(setup)

        async def run(self, call: Call) -> None:
            seen.append(len(prepared))

    async with telnyx() as simulator, make(tmp_path, answer_with=Prepared, **account(simulator)) as gateway:
        call = place_call(simulator, gateway, 0.1)
        await call.wait_finished()
        await stored(gateway, call)
    (setup,) = prepared
    assert seen == [1]
    assert setup.call_control_id == call.leg.call_control_id
    assert setup.direction == "incoming"
    assert (setup.caller, setup.callee) == (call.leg.from_, call.leg.to)
