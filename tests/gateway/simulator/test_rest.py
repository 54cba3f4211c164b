"""The simulator's HTTP side."""

import asyncio
import base64
import io
from typing import Any

import numpy as np
import pytest

from audio_codecs import decode_ulaw, encode_ulaw
from gateway.simulator.wav import read_wav, write_wav

from .application import Application, application, echo, ignore, simulator, speech

WAV = base64.b64encode(write_wav(speech(0.2), sample_rate=8000)).decode()
CALL = {"from": "+15550100001", "to": "+15550100002", "audio": WAV, "silence_after": 0.1}
UNKNOWN = "v3:" + "x" * 54


async def get(app: Application, url: str) -> tuple[int, Any]:
    async with app.session.get(url, headers={"Authorization": "Bearer key"}) as answer:
        return answer.status, await answer.json()


async def test_a_call_can_be_placed_and_looked_at_over_http() -> None:
    async with application(echo) as app, simulator(app) as running:
        async with app.session.post(f"{running.sim_url}/calls", json=CALL) as answer:
            assert answer.status == 200
            placed = (await answer.json())["data"]
        url = f"{running.sim_url}/calls/{placed['call_control_id']}"
        assert placed["state"] == "parked"
        described: dict[str, Any] = placed
        while not described["finished"]:
            await asyncio.sleep(0.02)
            described = (await get(app, url))[1]["data"]
        assert described["state"] == "hangup"
        assert [webhook["event_type"] for webhook in described["webhooks"]] == app.events()
        assert all(webhook["status"] == 200 for webhook in described["webhooks"])
        assert described["messages_sent"]["media"] == len(described["media_sent"]) == 15
        assert described["messages_received"]["media"] == len(described["media_received"])
        assert sum(octets for _, octets in described["media_sent"]) == 15 * 160
        assert (await get(app, f"{running.sim_url}/calls"))[1]["data"][0]["call_control_id"] == placed[
            "call_control_id"
        ]

        async with app.session.get(f"{url}/said.wav") as answer:
            assert answer.content_type == "audio/wav"
            said = read_wav(await answer.read(), sample_rate=8000)
        np.testing.assert_array_equal(said[:1600], decode_ulaw(encode_ulaw(speech(0.2))))
        async with app.session.get(f"{url}/heard.wav") as answer:
            line = read_wav(await answer.read(), sample_rate=8000)
        heard = np.concatenate([line[start : start + length] for start, length in described["heard_pieces"]])
        np.testing.assert_array_equal(heard, said[: len(heard)])

        status, body = await get(app, f"{running.rest_url}/calls/{placed['call_control_id']}")
        assert (status, body["data"]["is_alive"], body["data"]["record_type"]) == (200, False, "call")


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
    ],
)
async def test_a_call_that_makes_no_sense_is_refused(change: dict[str, Any], code: str, pointer: str) -> None:
    async with application(ignore) as app, simulator(app) as running:
        async with app.session.post(f"{running.sim_url}/calls", json=CALL | change) as answer:
            body = await answer.json()
        assert answer.status == 422
        assert (body["errors"][0]["code"], body["errors"][0]["source"]["pointer"]) == (code, pointer)


async def test_a_call_that_could_report_to_nobody_is_refused() -> None:
    async with application(ignore) as app:
        app.webhook_url = ""
        async with simulator(app) as running, app.session.post(f"{running.sim_url}/calls", json=CALL) as answer:
            assert (answer.status, (await answer.json())["errors"][0]["code"]) == (422, "10004")


@pytest.mark.parametrize("authorization", [None, "Bearer", "Bearer ", "Basic a2V5", "key", "Bearer other"])
async def test_telnyx_side_wants_a_key(authorization: str | None) -> None:
    async with application(ignore) as app, simulator(app, api_key="key") as running:
        headers = {} if authorization is None else {"Authorization": authorization}
        url = f"{running.rest_url}/calls/{UNKNOWN}/actions/answer"
        async with app.session.post(url, json={}, headers=headers) as answer:
            assert (answer.status, (await answer.json())["errors"][0]["code"]) == (401, "10009")
        assert (await app.command(UNKNOWN, "answer"))[0] == 404


async def test_any_key_is_taken_where_none_is_set_but_an_empty_one() -> None:
    async with application(ignore) as app, simulator(app) as running:
        assert (await app.command(UNKNOWN, "answer"))[0] == 404
        url = f"{running.rest_url}/calls/{UNKNOWN}"
        async with app.session.get(url, headers={"Authorization": "Bearer "}) as answer:
            assert answer.status == 401


async def test_what_is_not_there_is_a_404_in_telnyx_shape() -> None:
    async with application(ignore) as app, simulator(app) as running:
        for url in (f"{running.rest_url}/calls/{UNKNOWN}", f"{running.rest_url}/elsewhere", f"{running.sim_url}/x"):
            status, body = await get(app, url)
            assert (status, body["errors"][0]["code"]) == (404, "10005")


async def test_a_body_that_does_not_say_it_is_json_is_refused() -> None:
    async with (
        application(ignore) as app,
        simulator(app) as running,
        app.session.post(f"{running.sim_url}/calls", data=b'{"from": "x"}') as answer,
    ):
        assert (answer.status, (await answer.json())["errors"][0]["code"]) == (422, "10029")


async def test_a_body_that_is_too_large_is_refused() -> None:
    async with application(ignore) as app, simulator(app) as running:
        body = io.BytesIO(b'"' + b"x" * (16 * 1024 * 1024) + b'"')
        headers = {"Content-Type": "application/json"}
        async with app.session.post(f"{running.sim_url}/calls", data=body, headers=headers) as answer:
            assert answer.status == 413
            assert (await answer.json())["errors"][0]["code"] == "10033"
