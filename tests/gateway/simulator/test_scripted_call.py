"""People who follow a script, on real calls with a real application, on a clock that does not wait."""

import base64
import json

import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection

from audio_codecs import open_codec
from gateway.media.tones import make_tones
from gateway.simulator.casting import InlineScript
from gateway.simulator.wav import write_wav
from tests.gateway.simulator.application import NUMBERS, application, echo, ignore, simulator, speech, timelapse

_PCMU = open_codec("PCMU", 8000)


def script(steps: str) -> InlineScript:
    wav = write_wav(speech(0.4), sample_rate=8000)
    return InlineScript(toml=steps, sounds={"a.wav": base64.b64encode(wav).decode()})


def sound(seconds: float) -> str:
    payload = base64.b64encode(_PCMU.encode(speech(seconds, seed=5))).decode()
    return json.dumps({"event": "media", "media": {"payload": payload}})


async def talk(socket: ServerConnection) -> None:
    """Speaks for ten seconds, whatever the caller does."""
    async for text in socket:
        if json.loads(text)["event"] == "start":
            await socket.send(sound(10))


async def give_way(socket: ServerConnection) -> None:
    """Speaks for ten seconds, and falls silent as soon as the caller speaks."""
    async for text in socket:
        message = json.loads(text)
        if message["event"] == "start":
            await socket.send(sound(10))
        elif message["event"] == "media":
            heard = _PCMU.decode(base64.b64decode(message["media"]["payload"]))
            if np.abs(heard.astype(np.int32)).max() > 1000:
                await socket.send('{"event": "clear"}')


@timelapse
async def test_a_person_who_wants_an_echo_is_content_with_one() -> None:
    async with application(echo) as app, simulator(app) as running:
        call = running.place_call(**NUMBERS, script="hears_an_echo")
        await call.wait_finished()
        steps = call.describe()["person"]
        assert [(step["verb"], step["failure"]) for step in steps] == [
            ("say", None),
            ("listen", None),
            ("hang_up", None),
        ]
        noted = [entry for entry in call.timeline.entries() if entry["kind"] == "person"]
        assert [entry.get("verb") for entry in noted[:3]] == ["say", "listen", "hang_up"]


@timelapse
async def test_a_person_who_hears_no_echo_says_so_and_hangs_up() -> None:
    async with application(ignore) as app, simulator(app) as running:
        call = running.place_call(**NUMBERS, script="hears_an_echo")
        await call.wait_finished()
        assert call.describe()["person"][-1]["failure"] == "booking.wav was not heard within 2 s"
        assert app.payload("call.hangup")["hangup_source"] == "caller"


@timelapse
async def test_pressed_keys_are_heard_and_told_on_the_stream_and_by_webhook() -> None:
    received: list[dict[str, object]] = []

    async def listen(socket: ServerConnection) -> None:
        async for text in socket:
            received.append(json.loads(text))  # noqa: PERF401 - kept even where the socket falls

    async with application(listen) as app, simulator(app) as running:
        call = running.place_call(**NUMBERS, script=script('[[step]]\npress = "1#"\n[[step]]\nwait = 0.2'))
        await call.wait_finished()
        keys = [message for message in received if message["event"] == "dtmf"]
        assert [message["dtmf"] for message in keys] == [{"digit": "1"}, {"digit": "#"}]
        assert sorted(str(message["occurred_at"]) for message in keys) == [message["occurred_at"] for message in keys]
        assert [data["payload"]["digit"] for data in app.data() if data["event_type"] == "call.dtmf.received"] == [
            "1",
            "#",
        ]
        tones = np.concatenate(list(make_tones("1#", 8000, duration=0.2, gap=0.1)))
        expected = _PCMU.decode(_PCMU.encode(tones))
        assert np.array_equal(call.journal.said.samples()[: len(expected)], expected)


@pytest.mark.parametrize(("media", "failure"), [(give_way, None), (talk, "no `clear` was sent within 10 s")])
def test_who_interrupts_wants_silence_soon(media: object, failure: str | None) -> None:
    @timelapse
    async def interrupt() -> None:
        async with application(media) as app, simulator(app) as running:  # type: ignore[arg-type]
            call = running.place_call(**NUMBERS, script="interrupts")
            await call.wait_finished()
            assert call.describe()["person"][1]["failure"] == failure

    interrupt()


@timelapse
async def test_a_person_who_is_called_may_follow_a_script_too() -> None:
    async with application(echo) as app, simulator(app) as running:
        rule = {"ring_secs": 0, "script": script('[[step]]\nsay = "a.wav"\n[[step]]\nhang_up = true').model_dump()}
        status, body = await app.request("PUT", f"{running.sim_url}/numbers/+15550100001", rule)
        assert (status, body["data"]["has_script"]) == (200, True)
        call_control_id = await app.dial(stream_url=app.stream_url, stream_bidirectional_mode="rtp")
        await app.told("call.hangup", call_control_id)
        status, body = await app.request("GET", f"{running.sim_url}/calls/{call_control_id}")
        assert [step["verb"] for step in body["data"]["person"]] == ["say", "hang_up"]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("no_such_script", "there is no script 'no_such_script'"),
        ({"toml": "[[step]]\nfly = 1"}, "step 1: want one of"),
        ({"toml": '[[step]]\nsay = "x.wav"'}, "there is no sound 'x.wav'"),
        ({"toml": '[[step]]\nsay = "x.wav"', "sounds": {"x.wav": "*"}}, "there is no sound 'x.wav'"),
        ({"toml": '[[step]]\nsay = "x.wav"', "sounds": {"x.wav": "AAAA"}}, "x.wav: not a WAV file"),
    ],
)
def test_a_script_that_cannot_be_followed_is_refused_over_http(wanted: object, said: str) -> None:
    @timelapse
    async def place() -> None:
        async with application(ignore) as app, simulator(app) as running:
            body = {"from": "+15550100001", "to": "+15550100002", "script": wanted}
            status, answer = await app.request("POST", f"{running.sim_url}/calls", body)
            assert status == 422
            assert said in answer["errors"][0]["detail"]
            assert answer["errors"][0]["source"]["pointer"].startswith("/script")

    place()
