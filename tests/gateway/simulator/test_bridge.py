"""Two legs: bridged, transferred, parted. What is said on one is heard on the other, sample for sample."""

import asyncio
import base64
from typing import Any

import numpy as np
import pytest

from audio_codecs import Samples
from gateway.simulator import SimulatedCall, Simulator
from gateway.simulator.numbers import NumberRule
from gateway.simulator.wav import write_wav

from .application import Application, application, ignore, simulator, speech, timelapse, until

CALLER, CALLEE = speech(0.4, seed=1), speech(0.6, seed=2)
FIRST, SECOND = "+15550100011", "+15550100012"


def rules() -> dict[str, NumberRule]:
    def says(samples: Samples) -> NumberRule:
        return NumberRule(audio=base64.b64encode(write_wav(samples, sample_rate=8000)).decode(), ring_secs=0.5)

    return {FIRST: says(CALLER), SECOND: says(CALLEE)}


async def two_calls(app: Application) -> tuple[str, str]:
    """Two people that the application has called, and who have picked up."""
    first, second = await app.dial(to=FIRST), await app.dial(to=SECOND)
    for call in (first, second):
        await app.told("call.answered", call)
    return first, second


def heard(running: Simulator, call_control_id: str) -> Samples:
    """What the person on this leg heard, from the first to the last sound."""
    line = running.exchange.look_up(call_control_id).journal.heard.samples()
    loud = np.flatnonzero(line)
    return line[loud[0] : loud[-1] + 1] if len(loud) else line[:0]


@timelapse
async def test_each_hears_the_other_whole() -> None:
    async with application(ignore, acts=False) as app, simulator(app, numbers=rules()) as running:
        first, second = await two_calls(app)
        assert (await app.command(first, "bridge", {"call_control_id": second}))[0] == 200
        for call in (first, second):
            bridged = await app.told("call.bridged", call)
            assert set(bridged) == {*app.payload("call.answered", call)} - {"state", "start_time"}
        described = running.exchange.look_up(first).describe()
        assert described["bridged_with"] == second
        await asyncio.sleep(1.0)
        np.testing.assert_array_equal(heard(running, first), CALLEE)
        np.testing.assert_array_equal(heard(running, second), CALLER)


@timelapse
async def test_when_one_goes_the_other_is_hung_up() -> None:
    async with application(ignore, acts=False) as app, simulator(app, numbers=rules()) as running:
        first, second = await two_calls(app)
        await app.command(first, "bridge", {"call_control_id": second})
        running.exchange.look_up(second).person_hangs_up()
        assert (await app.told("call.hangup", second))["hangup_source"] == "callee"
        hangup = await app.told("call.hangup", first)
        assert (hangup["hangup_cause"], hangup["hangup_source"]) == ("normal_clearing", "caller")


@pytest.mark.parametrize("fields", [{"park_after_unbridge": "self"}, {"hold_after_unbridge": True}])
@timelapse
async def test_a_leg_that_is_parked_after_the_bridge_stays_and_may_be_bridged_again(fields: dict[str, Any]) -> None:
    async with application(ignore, acts=False) as app, simulator(app, numbers=rules()) as running:
        first, second = await two_calls(app)
        await app.command(first, "bridge", {"call_control_id": second, **fields})
        running.exchange.look_up(second).person_hangs_up()
        await app.told("call.hangup", second)
        await asyncio.sleep(1.0)
        assert running.exchange.look_up(first).describe()["bridged_with"] is None
        third = await app.dial(to=SECOND)
        await app.told("call.answered", third)
        assert (await app.command(first, "bridge", {"call_control_id": third}))[0] == 200
        await app.told("call.bridged", third)
        assert app.events(first).count("call.bridged") == 2


@timelapse
async def test_a_bridge_with_a_leg_that_still_rings_waits_for_its_answer() -> None:
    async with application(ignore, acts=False) as app, simulator(app, numbers=rules()):
        first = await app.dial(to=FIRST)
        await app.told("call.answered", first)
        second = await app.dial(to=SECOND)
        assert (await app.command(first, "bridge", {"call_control_id": second}))[0] == 200
        assert "call.bridged" not in app.events()
        await app.told("call.bridged", second)
        assert app.events(second) == ["call.initiated", "call.answered", "call.bridged"]


def call_in(running: Simulator) -> SimulatedCall:
    return running.place_call(from_="+15550100021", to="+15550100002", speech=CALLER, silence_after=None)


@timelapse
async def test_an_incoming_call_that_is_bridged_is_answered_by_it() -> None:
    async with application(ignore, acts=False) as app, simulator(app, numbers=rules()) as running:
        call = call_in(running)
        second = await app.dial(to=SECOND, link_to=call.leg.call_control_id, bridge_on_answer=True)
        await app.told("call.bridged", second)
        assert app.events(call.leg.call_control_id) == ["call.initiated", "call.answered", "call.bridged"]
        await asyncio.sleep(1.0)
        np.testing.assert_array_equal(heard(running, second), CALLER)


@timelapse
async def test_a_transfer_calls_somebody_and_bridges() -> None:
    async with application(ignore, acts=False) as app, simulator(app, numbers=rules()) as running:
        call = call_in(running)
        first = call.leg.call_control_id
        await app.told("call.initiated")
        body = {"to": SECOND, "client_state": "YQ==", "target_leg_client_state": "Yg=="}
        assert (await app.command(first, "answer"))[0] == 200
        assert (await app.command(first, "transfer", body))[0] == 200
        bridged = await app.told("call.bridged", first)
        (second,) = {data["payload"]["call_control_id"] for data in app.data()} - {first}
        new = app.payload("call.initiated", second)
        assert (new["direction"], new["from"], new["to"]) == ("outgoing", call.leg.to, SECOND)
        assert new["call_session_id"] == bridged["call_session_id"] == call.leg.call_session_id
        assert (bridged["client_state"], new["client_state"]) == ("YQ==", "Yg==")
        await asyncio.sleep(1.0)
        np.testing.assert_array_equal(heard(running, first), CALLEE)
        assert (await app.command(first, "hangup"))[0] == 200
        await app.told("call.hangup", second)


@timelapse
async def test_a_transfer_that_fails_leaves_the_call_as_it_was() -> None:
    async with application(ignore, acts=False) as app, simulator(app, numbers=rules()) as running:
        first = await app.dial(to=FIRST)
        await app.told("call.answered", first)
        session = app.payload("call.initiated", first)["call_session_id"]
        for number, cause in (("+15550100486", "user_busy"), ("+15550100408", "timeout")):
            body = {"to": number, "from": "+15550100002", "timeout_secs": 5}
            assert (await app.command(first, "transfer", body))[0] == 200
            await until(lambda number=number: session_leg(app, session, number) is not None)  # type: ignore[misc]
            failed = session_leg(app, session, number)
            assert (await app.told("call.hangup", failed))["hangup_cause"] == cause
        assert running.exchange.look_up(first).describe()["state"] == "answered"
        assert (await app.command(first, "transfer", {"to": SECOND}))[0] == 200
        await app.told("call.bridged", first)


def session_leg(app: Application, session: str, to: str) -> str | None:
    for data in app.data():
        if (data["payload"]["call_session_id"], data["payload"].get("to")) == (session, to):
            return str(data["payload"]["call_control_id"])
    return None


@timelapse
async def test_who_hangs_up_while_the_transfer_rings_ends_that_call_too() -> None:
    async with application(ignore, acts=False) as app, simulator(app, numbers=rules()) as running:
        first = await app.dial(to=FIRST)
        await app.told("call.answered", first)
        await app.command(first, "transfer", {"to": "+15550100408"})
        running.exchange.look_up(first).person_hangs_up()
        await app.told("call.hangup", first)
        (second,) = {data["payload"]["call_control_id"] for data in app.data()} - {first}
        assert (await app.told("call.hangup", second))["hangup_cause"] == "originator_cancel"


@timelapse
async def test_a_transfer_out_of_a_bridge_lets_the_other_leg_go() -> None:
    async with application(ignore, acts=False) as app, simulator(app, numbers=rules()):
        first, second = await two_calls(app)
        await app.command(first, "bridge", {"call_control_id": second})
        await app.told("call.bridged", first)
        await app.command(first, "transfer", {"to": "+15550100013"})
        await app.told("call.hangup", second)
        assert "call.hangup" not in app.events(first)


@timelapse
async def test_the_wishes_for_a_bridge_that_cannot_be() -> None:
    async with application(ignore, acts=False) as app, simulator(app, numbers=rules()) as running:
        first, second = await two_calls(app)
        third = await app.dial(to=FIRST)
        await app.told("call.answered", third)
        gone = await app.dial(to="+15550100486")
        await app.told("call.hangup", gone)
        await app.command(first, "bridge", {"call_control_id": second})
        for body, code in (
            ({"call_control_id": "v3:nobody"}, "90015"),
            ({"call_control_id": gone}, "90018"),
            ({"call_control_id": third}, "10027"),
            ({"call_control_id": first, "prevent_double_bridge": True}, "10027"),
            ({"queue": "waiting"}, "10007"),
            ({}, "10004"),
        ):
            _, answer = await app.command(third, "bridge", body)
            assert answer["errors"][0]["code"] == code, body
        assert running.exchange.look_up(first).describe()["bridged_with"] == second
        for _ in range(2):  # the same bridge again changes nothing
            assert (await app.command(first, "bridge", {"call_control_id": second}))[0] == 200
        assert app.events(first).count("call.bridged") == 1


@timelapse
async def test_a_dial_that_prevents_a_double_bridge_hangs_up_instead() -> None:
    async with application(ignore, acts=False) as app, simulator(app, numbers=rules()):
        first, second = await two_calls(app)
        await app.command(first, "bridge", {"call_control_id": second})
        fields = {"link_to": first, "bridge_on_answer": True, "prevent_double_bridge": True}
        third = await app.dial(to="+15550100013", **fields)
        await app.told("call.hangup", third)
        assert app.events(first) == ["call.initiated", "call.answered", "call.bridged"]
