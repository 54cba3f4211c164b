"""Calls that the application places: what the called number does, and how each of them ends."""

import asyncio
import json
from datetime import datetime
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from gateway.protocol.events import (
    CallAnswered,
    CallBridged,
    CallHangup,
    CallInitiated,
    CallMachineDetectionEnded,
    CallMachinePremiumCallScreeningDetected,
    CallMachinePremiumDetectionEnded,
    StreamingFailed,
    StreamingStarted,
    StreamingStopped,
    parse_event,
)
from gateway.simulator.limits import RateLimit
from gateway.simulator.numbers import NumberRule

from .application import DIAL, application, ignore, simulator, timelapse, until


def seconds_between(events: list[dict[str, Any]], first: str, second: str) -> float:
    """How long after one event another occurred."""
    times = {data["event_type"]: datetime.fromisoformat(data["occurred_at"]) for data in events}
    return (times[second] - times[first]).total_seconds()


async def test_somebody_picks_up_and_is_hung_up_on() -> None:
    async with (
        application(ignore, acts=False) as app,
        simulator(app, numbers={"default": NumberRule(ring_secs=0.05)}) as running,
    ):
        fields = DIAL | {"client_state": "c3RhdGU=", "from_display_name": "Reception"}
        status, body = await app.request("POST", f"{running.rest_url}/calls", fields)
        assert status == 200
        data = body["data"]
        assert (data["record_type"], data["is_alive"], data["client_state"]) == ("call", False, "c3RhdGU=")
        assert data["call_control_id"].startswith("v3:")
        call_control_id = data["call_control_id"]

        await app.told("call.answered")
        status, body = await app.request("GET", f"{running.rest_url}/calls/{call_control_id}")
        assert (status, body["data"]["is_alive"]) == (200, True)
        assert (await app.command(call_control_id, "hangup")) == (200, {"data": {"result": "ok"}})
        hangup = await app.told("call.hangup")

        assert app.events() == ["call.initiated", "call.answered", "call.hangup"]
        initiated = app.payload("call.initiated")
        assert (initiated["direction"], initiated["state"]) == ("outgoing", "bridging")
        assert (initiated["from"], initiated["to"]) == (DIAL["from"], DIAL["to"])
        assert (initiated["connection_id"], initiated["caller_id_name"]) == (DIAL["connection_id"], "Reception")
        for data in app.data():
            assert data["payload"]["client_state"] == "c3RhdGU="
            assert data["payload"]["call_session_id"] == initiated["call_session_id"]
        assert app.payload("call.answered")["state"] == "answered"
        assert (hangup["hangup_cause"], hangup["hangup_source"]) == ("normal_clearing", "caller")


@pytest.mark.parametrize(
    ("number", "cause", "source", "sip"),
    [
        ("+15550100404", "not_found", "callee", "404"),
        ("+15550100480", "no_answer", "callee", "480"),
        ("+15550100486", "user_busy", "callee", "486"),
        ("+15550100603", "call_rejected", "callee", "603"),
    ],
)
@timelapse
async def test_a_number_that_does_not_answer_says_why(number: str, cause: str, source: str, sip: str) -> None:
    async with application(ignore, acts=False) as app, simulator(app):
        call_control_id = await app.dial(to=number)
        hangup = await app.told("call.hangup")
        assert (hangup["hangup_cause"], hangup["hangup_source"], hangup["sip_hangup_cause"]) == (cause, source, sip)
        assert app.events() == ["call.initiated", "call.hangup"]
        assert (await app.command(call_control_id, "hangup"))[1]["errors"][0]["code"] == "90018"


@pytest.mark.parametrize(("fields", "cause"), [({}, "timeout"), ({"retry_on_timeout": False}, "no_answer")])
@timelapse
async def test_ringing_ends_when_its_time_is_over(fields: dict[str, Any], cause: str) -> None:
    async with application(ignore, acts=False) as app, simulator(app, within=60):
        await app.dial(to="+15550100408", timeout_secs=7, **fields)
        assert (await app.told("call.hangup"))["hangup_cause"] == cause
        assert seconds_between(app.data(), "call.initiated", "call.hangup") == pytest.approx(7, abs=0.1)


@timelapse
async def test_a_call_ends_when_its_time_is_over() -> None:
    async with application(ignore, acts=False) as app, simulator(app, within=60):
        await app.dial(time_limit_secs=30)
        assert (await app.told("call.hangup"))["hangup_cause"] == "time_limit"
        assert seconds_between(app.data(), "call.initiated", "call.answered") == pytest.approx(1, abs=0.1)
        assert seconds_between(app.data(), "call.answered", "call.hangup") == pytest.approx(30, abs=0.1)


@timelapse
async def test_the_application_may_give_up_while_it_rings() -> None:
    async with application(ignore, acts=False) as app, simulator(app):
        call_control_id = await app.dial(to="+15550100408")
        await app.told("call.initiated")
        assert (await app.command(call_control_id, "answer"))[1]["errors"][0]["code"] == "90102"
        assert (await app.command(call_control_id, "streaming_stop"))[1]["errors"][0]["code"] == "90034"
        assert (await app.command(call_control_id, "hangup"))[0] == 200
        hangup = await app.told("call.hangup")
        assert (hangup["hangup_cause"], hangup["hangup_source"], hangup["sip_hangup_cause"]) == (
            "originator_cancel",
            "caller",
            "487",
        )


@timelapse
async def test_a_person_may_be_told_what_to_do() -> None:
    async with application(ignore, acts=False) as app, simulator(app) as running:
        call_control_id = await app.dial(to="+15550100408")
        person = f"{running.sim_url}/calls/{call_control_id}/person"
        assert (await app.request("POST", f"{person}/dance"))[0] == 404
        assert (await app.request("POST", f"{person}/answer"))[0] == 200
        await app.told("call.answered")
        assert (await app.request("POST", f"{person}/busy"))[0] == 422
        assert (await app.request("POST", f"{person}/hangup"))[0] == 200
        hangup = await app.told("call.hangup")
        assert (hangup["hangup_cause"], hangup["hangup_source"]) == ("normal_clearing", "callee")
        assert (await app.request("POST", f"{person}/hangup"))[1]["errors"][0]["code"] == "90018"


@timelapse
async def test_a_person_who_is_called_may_be_busy_or_hang_up() -> None:
    async with application(ignore, acts=False) as app, simulator(app) as running:
        for deed, cause in (("busy", "user_busy"), ("hangup", "call_rejected")):
            call_control_id = await app.dial(to="+15550100408")
            assert (await app.request("POST", f"{running.sim_url}/calls/{call_control_id}/person/{deed}"))[0] == 200
            assert (await app.told("call.hangup", call_control_id))["hangup_cause"] == cause


@timelapse
async def test_answering_machine_detection_reports_who_picked_up() -> None:
    async with application(ignore, acts=False) as app, simulator(app, within=60):
        call = await app.dial(to="+15550100700", answering_machine_detection="detect_beep")
        greeting = await app.told("call.machine.greeting.ended", call)
        waited = seconds_between(app.data(call), "call.answered", "call.machine.greeting.ended")
        assert waited == pytest.approx(4.5, abs=0.1)
        assert app.events(call)[1:] == ["call.answered", "call.machine.detection.ended", "call.machine.greeting.ended"]
        detected = app.payload("call.machine.detection.ended", call)
        assert (detected["result"], greeting["result"]) == ("machine", "beep_detected")
        assert (detected["to"], "state" in detected) == ("+15550100700", False)

        config = {"total_analysis_time_millis": 10_000}
        call = await app.dial(
            to="+15550100701", answering_machine_detection="premium", answering_machine_detection_config=config
        )
        greeting = await app.told("call.machine.premium.greeting.ended", call)
        assert greeting["result"] == "no_beep_detected"

        call = await app.dial(to="+15550100700", answering_machine_detection="greeting_end")
        await app.told("call.answered", call)
        assert (await app.command(call, "hangup"))[0] == 200
        await app.told("call.hangup", call)
        await asyncio.sleep(20)
        assert app.events(call)[-1] == "call.hangup", "nothing is detected on a call that has ended"


@timelapse
async def test_all_that_is_told_can_be_read_by_the_models_of_the_events() -> None:
    async with application(ignore, acts=False) as app, simulator(app, within=60):
        for mode in ("detect_words", "premium", "premium_ios_call_screening_detection"):
            call = await app.dial(to="+15550100704", answering_machine_detection=mode)
            await app.told("call.answered", call)
            assert (await app.command(call, "streaming_start", {"stream_url": app.stream_url}))[0] == 200
            await asyncio.sleep(10)
            await app.command(call, "transfer", {"to": "+15550100001"})
            await app.told("call.bridged", call)
            await app.command(call, "hangup")
            await app.told("call.hangup", call)
        call = await app.dial(to="+15550100200", stream_url="ws://127.0.0.1:9/nobody")
        await app.told("streaming.failed", call)
    events = [parse_event(body) for _, body in app.webhooks]
    assert {type(event) for event in events} == {
        CallInitiated,
        CallAnswered,
        CallBridged,
        CallHangup,
        CallMachineDetectionEnded,
        CallMachinePremiumDetectionEnded,
        CallMachinePremiumCallScreeningDetected,
        StreamingStarted,
        StreamingStopped,
        StreamingFailed,
    }
    assert [event for event in events if event.unreadable] == []


class Phone:
    """The application's end of media sockets, which takes down the events that come, and closings."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.messages: list[dict[str, Any]] = []

    async def __call__(self, socket: ServerConnection) -> None:
        self.heard.append("open")
        async for text in socket:
            message = json.loads(text)
            self.messages.append(message)
            if message["event"] != "media" or self.heard[-1] != "media":
                self.heard.append(message["event"])
        self.heard.append("closed")


@timelapse
async def test_a_stream_asked_for_with_dial_opens_while_it_rings_and_starts_with_the_answer() -> None:
    phone = Phone()
    async with application(phone, acts=False) as app, simulator(app) as running:
        fields = {"stream_url": app.stream_url, "stream_auth_token": "tok-1", "client_state": "YQ=="}
        call_control_id = await app.dial(to="+15550100408", **fields)
        await until(lambda: phone.heard == ["open", "connected"])
        assert phone.messages[0]["connected"] == {"x-telnyx-streaming-auth-token": "tok-1"}
        assert app.events() == ["call.initiated"]
        update = {"client_state": "Yg=="}
        url = f"{app.rest_url}/calls/{call_control_id}/actions/client_state_update"
        assert (await app.request("PUT", url, update))[0] == 200
        assert phone.heard == ["open", "connected"]
        await app.request("POST", f"{running.sim_url}/calls/{call_control_id}/person/answer")
        await until(lambda: "media" in phone.heard)
        assert phone.messages[1]["start"]["client_state"] == "Yg=="
        assert (await app.command(call_control_id, "hangup"))[0] == 200
        await app.told("call.hangup")
        assert phone.heard == ["open", "connected", "start", "media", "stop", "closed"]
        assert app.events()[1:] == ["call.answered", "streaming.started", "streaming.stopped", "call.hangup"]


@timelapse
async def test_a_stream_asked_for_with_dial_is_dropped_without_a_word_if_nobody_answers() -> None:
    phone = Phone()
    async with application(phone, acts=False) as app, simulator(app):
        await app.dial(to="+15550100486", stream_url=app.stream_url)
        await app.told("call.hangup")
        assert phone.heard == ["open", "connected", "closed"]
        assert app.events() == ["call.initiated", "call.hangup"]


@timelapse
async def test_a_stream_may_be_established_before_anything_rings() -> None:
    phone = Phone()
    async with application(phone, acts=False) as app, simulator(app):
        events_when_open: list[str] = []

        async def note(socket: ServerConnection) -> None:
            events_when_open.extend(app.events())
            await phone(socket)

        async with application(note, acts=False) as other:
            await app.dial(stream_url=other.stream_url, stream_establish_before_call_originate=True)
            await app.told("streaming.started")
        assert events_when_open == []


@timelapse
async def test_a_call_that_is_linked_shares_the_session_of_the_other() -> None:
    async with application(ignore, acts=False) as app, simulator(app):
        first = await app.dial()
        await app.told("call.answered", first)
        second = await app.dial(link_to=first, bridge_intent=True, to="+15550100003")
        initiated = await app.told("call.initiated", second)
        assert initiated["call_session_id"] == app.payload("call.initiated", first)["call_session_id"]
        assert initiated["from"] == DIAL["from"]
        await app.told("call.answered", second)
        assert "call.bridged" not in app.events()


@timelapse
async def test_a_dial_that_comes_twice_is_one_call() -> None:
    async with application(ignore, acts=False) as app, simulator(app, within=100) as running:
        first, again = [await app.dial(command_id="one") for _ in range(2)]
        assert first == again
        assert len((await app.request("GET", f"{running.sim_url}/calls"))[1]["data"]) == 1
        await asyncio.sleep(61)
        assert await app.dial(command_id="one") != first


@pytest.mark.parametrize(
    ("fields", "status", "code", "pointer"),
    [
        ({"to": "+15550100403"}, 403, "10010", None),
        ({"to": "5550100001"}, 422, "10016", "/to"),
        ({"from": "reception"}, 422, "10016", "/from"),
        ({"connection_id": "mine"}, 422, "10015", "/connection_id"),
        ({"link_to": "v3:nobody"}, 422, "90015", "/link_to"),
        ({"client_state": "?"}, 422, "90017", "/client_state"),
        ({"webhook_urls": {"call.dance": "http://127.0.0.1/"}}, 422, "90057", "/webhook_urls"),
        (
            {"stream_url": "ws://x/", "stream_codec": "OPUS", "stream_bidirectional_sampling_rate": 22050},
            422,
            "10032",
            "/stream_codec",
        ),
        ({"to": ["+15550100001", "+15550100003"]}, 501, "10007", "/to"),
        ({"to": "+15550100001,200"}, 501, "10007", "/to"),
        ({"record": "record-from-answer"}, 501, "10007", "/record"),
        ({"deepfake_detection": {"enabled": True}}, 501, "10007", "/deepfake_detection"),
        ({"conference_config": {"mute": True}}, 501, "10007", "/conference_config"),
    ],
)
async def test_a_call_that_cannot_be_placed_is_refused_and_leaves_no_trace(
    fields: dict[str, Any], status: int, code: str, pointer: str | None
) -> None:
    async with application(ignore, acts=False) as app, simulator(app) as running:
        answered, body = await app.request("POST", f"{running.rest_url}/calls", DIAL | fields)
        (error,) = body["errors"]
        assert (answered, error["code"], error.get("source", {}).get("pointer")) == (status, code, pointer)
        assert (await app.request("GET", f"{running.sim_url}/calls"))[1]["data"] == []
        assert app.webhooks == []


@timelapse
async def test_what_is_meant_to_be_off_and_a_list_of_one_are_no_reason_to_refuse() -> None:
    async with application(ignore, acts=False) as app, simulator(app):
        call = await app.dial(
            to=["sip:somebody@example.com"], deepfake_detection={"enabled": False}, transcription=False
        )
        assert (await app.told("call.answered", call))["to"] == "sip:somebody@example.com"


async def test_calls_at_a_time_and_dials_a_second_are_limited() -> None:
    async with application(ignore, acts=False) as app, simulator(app, max_calls=1) as running:
        await app.dial()
        status, body = await app.request("POST", f"{running.rest_url}/calls", DIAL)
        assert (status, body["errors"][0]["code"]) == (403, "90041")
    async with application(ignore, acts=False) as app, simulator(app, dials=RateLimit(2, 60.0)) as running:
        for _ in range(2):
            await app.dial()
        status, body = await app.request("POST", f"{running.rest_url}/calls", DIAL)
        assert (status, body["errors"][0]["code"]) == (429, "90103")


async def test_only_the_accounts_own_applications_may_call() -> None:
    async with application(ignore, acts=False) as app, simulator(app, connections=["42"]) as running:
        await app.dial(connection_id="42")
        status, body = await app.request("POST", f"{running.rest_url}/calls", DIAL)
        assert (status, body["errors"][0]["code"]) == (422, "10015")


async def test_a_number_may_get_a_rule_while_the_simulator_runs() -> None:
    async with application(ignore, acts=False) as app, simulator(app) as running:
        url = f"{running.sim_url}/numbers/%2B15550100001"
        status, body = await app.request("PUT", url, {"then": "reject", "ring_secs": 0})
        assert (status, body["data"]["then"]) == (200, "reject")
        await app.dial()
        assert (await app.told("call.hangup"))["hangup_cause"] == "call_rejected"
        assert (await app.request("DELETE", url))[1]["data"]["then"] == "answer"
        assert (await app.request("PUT", url, {"then": "dance"}))[1]["errors"][0]["source"]["pointer"] == "/then"
        rules = (await app.request("GET", f"{running.sim_url}/numbers"))[1]["data"]
        assert (rules["default"]["then"], rules["+15550100486"]["then"]) == ("answer", "busy")
