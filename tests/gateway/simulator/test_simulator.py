"""Whole calls in real time: a small application on one side, the simulator on the other."""

import asyncio
import base64
import json
import os
import re
import signal
from typing import Any

import aiohttp
import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection

from audio_codecs import decode_ulaw, encode_ulaw, open_codec
from gateway.simulator import SimulatedCall, Simulator, run_simulator
from gateway.simulator.refusal import Refusal

from .application import LOOPBACK, NUMBERS, Application, application, echo, ignore, simulator, speech, until


class Script:
    """An application's end of the socket that says its lines after `start` and keeps what comes."""

    def __init__(self, *lines: Any, close_after: int | None = None) -> None:
        self.lines = lines
        self.close_after = close_after
        self.heard: list[dict[str, Any]] = []
        self.headers: dict[str, str] = {}
        self.close_code: int | None = None

    async def __call__(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        self.headers = dict(socket.request.headers.raw_items())
        async for text in socket:
            assert isinstance(text, str)
            self.heard.append(json.loads(text))
            if self.heard[-1]["event"] == "start":
                for line in self.lines:
                    await socket.send(line if isinstance(line, str | bytes) else json.dumps(line))
            if self.close_after is not None and len(self.heard) >= self.close_after:
                await socket.close()
        self.close_code = socket.close_code

    def of(self, event: str) -> list[dict[str, Any]]:
        return [message for message in self.heard if message["event"] == event]


def media(octets: bytes) -> dict[str, Any]:
    return {"event": "media", "media": {"payload": base64.b64encode(octets).decode()}}


def mark(name: str) -> dict[str, Any]:
    return {"event": "mark", "mark": {"name": name}}


def stream(app: Application, **fields: Any) -> None:
    """Change what the application asks of its stream."""
    app.plan["call.answered"][0][1].update(fields)


async def whole_call(app: Application, running: Simulator, seconds: float, silence: float = 0.1) -> SimulatedCall:
    call = running.place_call(**NUMBERS, speech=speech(seconds), silence_after=silence)
    await call.wait_finished()
    assert [answer for answer in app.answers if answer[0] != 200] == []
    return call


async def test_an_echoed_call_runs_as_telnyx_documents_it() -> None:
    async with application(echo) as app, simulator(app) as running:
        call = await whole_call(app, running, 0.4, silence=0.4)
        assert app.events() == [
            "call.initiated",
            "call.answered",
            "streaming.started",
            "streaming.stopped",
            "call.hangup",
        ]
        initiated = app.payload("call.initiated")
        assert (initiated["direction"], initiated["state"]) == ("incoming", "parked")
        assert (initiated["from"], initiated["to"]) == ("+15550100001", "+15550100002")
        hangup = app.payload("call.hangup")
        assert (hangup["state"], hangup["hangup_cause"], hangup["hangup_source"]) == (
            "hangup",
            "normal_clearing",
            "caller",
        )
        assert app.payload("streaming.started")["stream_url"] == app.stream_url

        journal = call.journal
        said = journal.said.samples()
        np.testing.assert_array_equal(said[:3200], decode_ulaw(encode_ulaw(speech(0.4))))
        assert len(said) == 6400
        assert not said[3200:].any()
        line = journal.heard.samples()
        heard = np.concatenate([line[start : start + length] for start, length in journal.heard.pieces])
        assert len(heard) >= 3200
        np.testing.assert_array_equal(heard, said[: len(heard)])
        assert [octets for _, octets in journal.media_sent.pairs()] == [160] * 40


async def test_media_leaves_on_absolute_deadlines_of_20_ms() -> None:
    async with application(ignore) as app, simulator(app) as running:
        call = await whole_call(app, running, 0.6)
        times = np.array([seconds for seconds, _ in call.journal.media_sent.pairs()])
        lateness = times - times[0] - 0.02 * np.arange(len(times))
        # A busy machine may be late now and then; what must not be is a drift. None is early by more than a timer is.
        assert lateness.min() > -0.02
        assert np.median(lateness) < 0.02


async def test_the_messages_are_numbered_and_complete() -> None:
    script = Script()
    async with application(script) as app, simulator(app) as running:
        stream(app, client_state="c3RhdGU=", custom_parameters=[{"name": "customer", "value": "42"}])
        call = await whole_call(app, running, 0.1)
    connected, start = script.heard[:2]
    assert connected == {"event": "connected", "version": "1.0.0"}
    assert re.fullmatch(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}", start["stream_id"])
    body = start["start"]
    assert body["call_control_id"] == call.leg.call_control_id
    assert body["media_format"] == {"encoding": "PCMU", "sample_rate": 8000, "channels": 1}
    assert (body["client_state"], body["custom_parameters"]) == ("c3RhdGU=", {"customer": "42"})
    numbered = script.heard[1:]
    assert [message["sequence_number"] for message in numbered] == [str(n + 1) for n in range(len(numbered))]
    assert [message["media"]["chunk"] for message in script.of("media")] == [str(n + 1) for n in range(10)]
    assert script.heard[-1]["event"] == "stop"
    assert script.close_code == 1000


async def test_the_token_travels_in_the_header_and_in_connected() -> None:
    script = Script()
    async with application(script) as app, simulator(app) as running:
        stream(app, stream_auth_token="tok-1")
        await whole_call(app, running, 0.02, silence=0)
    assert script.headers["x-telnyx-streaming-auth-token"] == "tok-1"
    assert script.heard[0]["connected"] == {"x-telnyx-streaming-auth-token": "tok-1"}


@pytest.mark.parametrize("encoding", ["PCMA", "L16"])
async def test_the_codecs_are_those_that_were_asked_for(encoding: str) -> None:
    codec = open_codec(encoding, 8000)
    answer = speech(0.1, seed=2)
    script = Script(media(codec.encode(answer)))
    async with application(script) as app, simulator(app) as running:
        stream(app, stream_codec=encoding, stream_bidirectional_codec=encoding)
        call = await whole_call(app, running, 0.1, silence=0.2)
    assert script.of("start")[0]["start"]["media_format"]["encoding"] == encoding
    sent = b"".join(base64.b64decode(message["media"]["payload"]) for message in script.of("media"))
    np.testing.assert_array_equal(codec.decode(sent)[:800], codec.decode(codec.encode(speech(0.1))))
    ((start, length),) = call.journal.heard.pieces
    np.testing.assert_array_equal(
        call.journal.heard.samples()[start : start + length], codec.decode(codec.encode(answer))
    )


async def test_marks_come_back_when_their_sound_was_heard_and_clear_returns_the_rest() -> None:
    long = encode_ulaw(speech(10))
    script = Script(mark("idle"), media(bytes(320)), mark("spoken"), media(long), mark("never"), mark("spoken of"))

    async def app_end(socket: ServerConnection) -> None:
        async def interrupt() -> None:
            await asyncio.sleep(0.2)
            await socket.send('{"event":"clear"}')

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(interrupt())
            await script(socket)

    async with application(app_end) as app, simulator(app) as running:
        call = await whole_call(app, running, 0.4)
    assert [message["mark"]["name"] for message in script.of("mark")] == ["idle", "spoken", "never", "spoken of"]
    names = [message["mark"]["name"] if message["event"] == "mark" else message["event"] for message in script.heard]
    assert names.index("spoken") - names.index("idle") >= 2  # two ticks of sound lie between them
    assert sum(length for _, length in call.journal.heard.pieces) < 8000
    assert call.describe()["marks_returned"] == ["idle", "spoken", "never", "spoken of"]


async def test_what_is_no_message_is_answered_with_an_error_and_the_socket_stays_open() -> None:
    script = Script(
        "no JSON",
        {"event": "media", "media": {}},
        {"event": "media", "media": {"payload": "?"}},
        {"event": "dance"},
        b"binary",
        media(bytes(80)),
        media(encode_ulaw(speech(0.02))),
    )
    async with application(script) as app, simulator(app) as running:
        call = await whole_call(app, running, 0.1)
    errors = [message["payload"] for message in script.of("error")]
    assert [error["code"] for error in errors] == [100003, 100003, 100004, 100003, 100003, 100004]
    assert errors[0]["title"] == "malformed_frame"
    assert [error["code"] for error in call.describe()["errors"]] == [error["code"] for error in errors]
    assert [length for _, length in call.journal.heard.pieces] == [160]


async def test_codec_octets_in_mode_mp3_are_not_heard() -> None:
    async with application(echo) as app, simulator(app) as running:
        stream(app, stream_bidirectional_mode="mp3")
        call = await whole_call(app, running, 0.1)
    assert call.journal.media_received.messages > 0
    assert call.journal.heard.pieces == []


async def test_when_the_application_closes_the_socket_the_call_goes_on_until_it_is_hung_up() -> None:
    async with application(Script(close_after=5)) as app, simulator(app) as running:
        call = running.place_call(**NUMBERS, speech=speech(1), silence_after=1)
        await until(lambda: "streaming.stopped" in app.events())
        assert not call.finished
        assert (await app.command(call.leg.call_control_id, "streaming_stop"))[1]["errors"][0]["code"] == "90048"
        assert (await app.command(call.leg.call_control_id, "hangup"))[0] == 200
        await call.wait_finished()
        hangup = app.payload("call.hangup")
        assert (hangup["hangup_cause"], hangup["hangup_source"]) == ("normal_clearing", "callee")


async def test_a_stream_can_be_stopped_and_started_again() -> None:
    script = Script()
    async with application(script) as app, simulator(app) as running:
        call = running.place_call(**NUMBERS, speech=speech(0.2), silence_after=0.1)
        call_control_id = call.leg.call_control_id
        await until(lambda: len(script.of("media")) >= 3)
        second = {"stream_url": app.stream_url}
        assert (await app.command(call_control_id, "streaming_start", second))[1]["errors"][0]["code"] == "90045"
        assert (await app.command(call_control_id, "streaming_stop"))[0] == 200
        await until(lambda: "streaming.stopped" in app.events())
        assert (await app.command(call_control_id, "streaming_start", second))[0] == 200
        await call.wait_finished()
    assert [message["event"] for message in script.heard if message["event"] != "media"] == (
        ["connected", "start", "stop"] * 2
    )
    first, again = script.of("start")
    assert first["stream_id"] != again["stream_id"]
    octets = b"".join(base64.b64decode(message["media"]["payload"]) for message in script.of("media"))
    assert octets[:1600] == encode_ulaw(speech(0.2))


async def test_a_stream_may_be_asked_for_with_the_answer() -> None:
    async with application(echo) as app, simulator(app) as running:
        app.plan = {"call.initiated": [("answer", {"stream_url": app.stream_url, "stream_bidirectional_mode": "rtp"})]}
        call = await whole_call(app, running, 0.1)
        assert app.events()[1:3] == ["call.answered", "streaming.started"]
        assert call.journal.heard.pieces


async def test_a_socket_that_cannot_be_opened_is_a_failed_stream() -> None:
    async with application(ignore) as app, simulator(app) as running:
        stream(app, stream_url="ws://127.0.0.1:9/nobody")
        app.plan["streaming.failed"] = [("hangup", {})]
        call = await whole_call(app, running, 0.1)
        assert app.events() == ["call.initiated", "call.answered", "streaming.failed", "call.hangup"]
        failed = app.payload("streaming.failed")
        assert (failed["failure_reason"], failed["stream_type"]) == ("connection_failed", "websocket")
        assert failed["stream_params"] == {"stream_url": "ws://127.0.0.1:9/nobody", "track": "inbound_track"}
        assert call.describe()["errors"][0]["code"] == 100002


async def test_a_call_that_is_not_answered_times_out() -> None:
    async with application(ignore) as app, simulator(app, answer_timeout=0.1) as running:
        app.plan = {}
        call = running.place_call(**NUMBERS, speech=speech(0.1))
        assert (await app.command(call.leg.call_control_id, "streaming_start", {"stream_url": app.stream_url}))[1][
            "errors"
        ][0]["code"] == "90034"
        await call.wait_finished()
        assert app.payload("call.hangup")["hangup_cause"] == "timeout"
        status, body = await app.command(call.leg.call_control_id, "answer")
        assert (status, body["errors"][0]["code"]) == (422, "90018")


async def test_a_call_may_be_refused() -> None:
    async with application(ignore) as app, simulator(app) as running:
        app.plan = {"call.initiated": [("hangup", {})]}
        await whole_call(app, running, 0.1)
        hangup = app.payload("call.hangup")
        assert (hangup["hangup_cause"], hangup["hangup_source"]) == ("call_rejected", "callee")


async def test_a_command_with_a_known_id_is_ignored() -> None:
    async with application(echo) as app, simulator(app) as running:
        app.plan = {"call.initiated": [("answer", {"command_id": "one"}), ("answer", {"command_id": "one"})]}
        app.plan["call.answered"] = [("hangup", {"command_id": "two"}), ("hangup", {"command_id": "two"})]
        await whole_call(app, running, 0.1)
        assert app.events() == ["call.initiated", "call.answered", "call.hangup"]
        assert [status for status, _ in app.answers] == [200] * 4


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"stream_codec": "OPUS", "stream_bidirectional_sampling_rate": 22050}, "/stream_codec"),
        (
            {"stream_bidirectional_codec": "AMR-WB", "stream_bidirectional_sampling_rate": 48000},
            "/stream_bidirectional_codec",
        ),
        ({"stream_auth_token": "two\r\nlines"}, "/stream_auth_token"),
        ({"stream_url": None}, "/stream_url"),
    ],
)
async def test_a_stream_that_cannot_be_played_is_refused(fields: dict[str, Any], pointer: str) -> None:
    async with application(ignore) as app, simulator(app) as running:
        stream(app, **fields)
        app.plan["call.answered"].append(("hangup", {}))
        call = running.place_call(**NUMBERS, speech=speech(0.1))
        await call.wait_finished()
        status, body = app.answers[1]
        assert (status, body["errors"][0]["source"]["pointer"]) == (422, pointer)
        assert app.events() == ["call.initiated", "call.answered", "call.hangup"]


async def test_calls_at_a_time_and_calls_remembered_are_bounded() -> None:
    async with application(ignore) as app, simulator(app, max_calls=2, keep_ended=1, answer_timeout=0.1) as running:
        app.plan = {}
        calls = [running.place_call(**NUMBERS, speech=speech(0.1)) for _ in range(2)]
        with pytest.raises(Refusal, match="2 calls"):
            running.place_call(**NUMBERS, speech=speech(0.1))
        for call in calls:
            await call.wait_finished()
        await asyncio.sleep(0)  # the exchange forgets in the same turn as the call ends, or in the next
        async with aiohttp.ClientSession() as session, session.get(f"{running.sim_url}/calls") as answer:
            assert len((await answer.json())["data"]) == 1


async def test_leaving_the_simulator_ends_a_call_that_runs() -> None:
    script = Script()
    async with application(script) as app:
        async with simulator(app) as running:
            running.place_call(**NUMBERS, speech=speech(30))
            await until(lambda: len(script.heard) >= 5)
        assert len(script.heard) < 500


async def test_a_port_that_is_taken_is_an_os_error() -> None:
    async with Simulator(LOOPBACK) as running:
        port = int(running.rest_url.split(":")[2].split("/")[0])
        with pytest.raises(OSError, match="address already in use"):
            async with Simulator(LOOPBACK._replace(port=port)):
                pass


async def test_an_error_inside_the_context_comes_out_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        async with Simulator(LOOPBACK):
            raise ZeroDivisionError


async def test_as_a_program_it_says_that_it_is_ready_and_ends_on_sigterm(capsys: pytest.CaptureFixture[str]) -> None:
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(run_simulator(Simulator(LOOPBACK)))
        out = ""
        while not out:
            await asyncio.sleep(0.01)
            out = capsys.readouterr().out
        ready = re.fullmatch(r"ready rest=(http://127\.0\.0\.1:\d+/v2) public_key=(\S+)\n", out)
        assert ready is not None
        assert len(base64.b64decode(ready[2])) == 32
        async with aiohttp.ClientSession() as session, session.get(f"{ready[1]}/calls/x") as answer:
            assert answer.status == 401
        os.kill(os.getpid(), signal.SIGTERM)


async def test_a_simulator_that_does_not_run_places_no_call() -> None:
    with pytest.raises(RuntimeError, match="does not run"):
        Simulator(LOOPBACK, webhook_url=None).place_call(**NUMBERS, speech=speech(0.1))
