"""What Telnyx has no API for: who calls, and everything seen from outside."""

import asyncio
import base64
from typing import Any

import numpy as np
import pytest

from audio_codecs import decode_ulaw, encode_ulaw
from gateway.simulator.wav import read_wav, write_wav

from .application import Application, application, echo, ignore, simulator, speech, timelapse, until

WAV = base64.b64encode(write_wav(speech(0.2), sample_rate=8000)).decode()
CALL: dict[str, Any] = {"from": "+15550100001", "to": "+15550100002", "audio": WAV, "silence_after": 0.1}


async def call_in(app: Application, **fields: Any) -> str:
    status, body = await app.request("POST", f"{app.sim_url}/calls", CALL | fields)
    assert status == 200, body
    return str(body["data"]["call_control_id"])


async def wav(app: Application, url: str) -> Any:
    async with app.session.get(url) as answer:
        assert (answer.status, answer.content_type) == (200, "audio/wav")
        return read_wav(await answer.read(), sample_rate=8000)


async def test_a_call_can_be_placed_and_looked_at_over_http() -> None:
    async with application(echo) as app, simulator(app) as running:
        call = await call_in(app)
        url = f"{running.sim_url}/calls/{call}"
        described: dict[str, Any] = {"finished": False}
        while not described["finished"]:
            await asyncio.sleep(0.02)
            described = (await app.request("GET", url))[1]["data"]
        assert (described["state"], described["direction"]) == ("hangup", "incoming")
        assert [webhook["event_type"] for webhook in described["webhooks"]] == app.events()
        assert all(webhook["status"] == 200 for webhook in described["webhooks"])
        assert described["messages_sent"]["media"] == len(described["media_sent"]) == 15
        assert described["messages_received"]["media"] == len(described["media_received"])
        assert sum(octets for _, octets in described["media_sent"]) == 15 * 160
        assert (await app.request("GET", f"{running.sim_url}/calls"))[1]["data"][0]["call_control_id"] == call

        said = await wav(app, f"{url}/heard/application.wav")
        np.testing.assert_array_equal(said[:1600], decode_ulaw(encode_ulaw(speech(0.2))))
        line = await wav(app, f"{url}/heard/person.wav")
        heard = np.concatenate([line[start : start + length] for start, length in described["heard_pieces"]])
        np.testing.assert_array_equal(heard, said[: len(heard)])
        np.testing.assert_array_equal(await wav(app, f"{url}/said.wav"), said)
        np.testing.assert_array_equal(await wav(app, f"{url}/heard.wav"), line)
        assert (await app.request("GET", f"{url}/heard/dog.wav"))[0] == 404


async def test_the_timeline_of_a_call_tells_everything_in_order() -> None:
    async with application(echo) as app, simulator(app) as running:
        call = running.exchange.look_up(await call_in(app))
        await call.wait_finished()
        url = f"{running.sim_url}/calls/{call.leg.call_control_id}/timeline"
        status, body = await app.request("GET", url)
        assert (status, body["meta"]) == (200, {"dropped": 0})
        entries = body["data"]
        assert [entry["number"] for entry in entries] == sorted(entry["number"] for entry in entries)
        assert all(entry["call_control_id"] == call.leg.call_control_id for entry in entries)

        commands = [(entry["action"], entry["status"]) for entry in entries if entry["kind"] == "command"]
        assert commands == [("answer", 200), ("streaming_start", 200)]
        states = [entry["state"] for entry in entries if entry["kind"] == "call"]
        assert states == ["parked", "answered", "hangup"]
        webhooks = [(entry["event_type"], entry["attempt"]) for entry in entries if entry["kind"] == "webhook"]
        assert sorted(webhooks) == sorted((event_type, 1) for event_type in app.events())
        counted: dict[str, int] = {}
        for entry in entries:
            for name, count in entry.get("messages", {}).items():
                counted[name] = counted.get(name, 0) + count
        described = call.describe()
        assert counted["sent media"] == described["messages_sent"]["media"]
        assert counted["received media"] == described["messages_received"]["media"]
        assert [entry["deed"] for entry in entries if entry["kind"] == "person"] == ["hangup"]


async def test_the_events_of_all_calls_can_be_read_on() -> None:
    async with application(ignore, acts=False) as app, simulator(app, answer_timeout=0.05) as running:
        for _ in range(2):
            await running.exchange.look_up(await call_in(app)).wait_finished()
        url = f"{running.sim_url}/events"
        entries = (await app.request("GET", f"{url}?kind=call"))[1]["data"]
        assert [entry["state"] for entry in entries] == ["parked", "hangup"] * 2
        late = (await app.request("GET", f"{url}?kind=call&after={entries[1]['number']}"))[1]["data"]
        assert late == entries[2:]
        status, body = await app.request("GET", f"{url}?after=yesterday")
        assert (status, body["errors"][0]["source"]) == (422, {"parameter": "after"})


@timelapse
async def test_frames_are_counted_every_second_while_there_are_some() -> None:
    async with application(echo) as app, simulator(app) as running:
        call = running.exchange.look_up(await call_in(app, audio=None, silence_after=2.5))
        await call.wait_finished()
        counts = [entry["messages"].get("sent media", 0) for entry in call.timeline.entries(kind="media")]
        assert sum(counts) == 125
        assert 3 <= len([count for count in counts if count]) <= 4


@timelapse
async def test_a_caller_gives_up_or_stays() -> None:
    async with application(ignore, acts=False) as app, simulator(app) as running:
        await call_in(app, gives_up_after=3.0)
        hangup = await app.told("call.hangup")
        assert (hangup["hangup_cause"], hangup["hangup_source"], hangup["sip_hangup_cause"]) == (
            "originator_cancel",
            "caller",
            "487",
        )
        headers = [{"name": "X-Customer", "value": "42"}]
        call = await call_in(app, silence_after=None, audio=None, custom_headers=headers)
        assert (await app.told("call.initiated", call))["custom_headers"] == headers
        app.plan = {"call.answered": [("streaming_start", {"stream_url": app.stream_url})]}
        await app.command(call, "answer")
        await asyncio.sleep(8)
        assert "call.hangup" not in app.events(call)
        status, _ = await app.request("POST", f"{running.sim_url}/calls/{call}/person/hangup")
        assert status == 200
        assert (await app.told("call.hangup", call))["hangup_source"] == "caller"


async def test_a_person_who_calls_cannot_answer() -> None:
    async with application(ignore, acts=False) as app, simulator(app) as running:
        call = await call_in(app)
        for deed in ("answer", "busy"):
            status, body = await app.request("POST", f"{running.sim_url}/calls/{call}/person/{deed}")
            assert (status, body["errors"][0]["code"]) == (422, "10027")
        await until(lambda: app.events() == ["call.initiated"])


@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    [
        ({"audio": "?"}, "10027", "/audio"),
        ({"audio": base64.b64encode(b"ID3 an MP3 file").decode()}, "10027", "/audio"),
        ({"audio": base64.b64encode(write_wav(speech(0.1), sample_rate=16000)).decode()}, "10027", "/audio"),
        ({"silence_after": -1}, "10033", "/silence_after"),
        ({"webhook_url": "ftp://127.0.0.1"}, "10027", "/webhook_url"),
        ({"from": 1}, "10026", "/from"),
        ({"audoi": ""}, "10027", "/audoi"),
        ({"connection_id": "mine"}, "10015", "/connection_id"),
    ],
)
async def test_a_call_that_makes_no_sense_is_refused(change: dict[str, Any], code: str, pointer: str) -> None:
    async with application(ignore) as app, simulator(app) as running:
        status, body = await app.request("POST", f"{running.sim_url}/calls", CALL | change)
        assert status == 422
        assert (body["errors"][0]["code"], body["errors"][0]["source"]["pointer"]) == (code, pointer)


async def test_a_call_that_could_report_to_nobody_is_refused() -> None:
    async with application(ignore) as app, simulator(app, webhook_url=None) as running:
        status, body = await app.request("POST", f"{running.sim_url}/calls", CALL)
        assert (status, body["errors"][0]["code"]) == (422, "10004")


async def test_limits_that_make_no_sense_are_refused() -> None:
    async with application(ignore) as app, simulator(app) as running:
        url = f"{running.sim_url}/limits"
        status, body = await app.request("PUT", url, {"dials": {"requests": -1, "seconds": 5}})
        assert (status, body["errors"][0]["source"]["pointer"]) == (422, "/dials/requests")
        assert (await app.request("GET", url))[1]["data"]["dials"] == {"requests": 150, "seconds": 5.0}
