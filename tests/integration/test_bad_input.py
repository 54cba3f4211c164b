"""Whatever one socket sends: a log line, a counter, the recording of what had come, and the other call undisturbed."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
import structlog
from nacl.signing import SigningKey
from structlog.typing import EventDict

from audio_codecs import Samples
from gateway import Agent, AudioFrame, Call, Dtmf, Gateway, Settings
from gateway.protocol.messages import MediaFormat
from gateway.protocol.signature import sign
from tests.integration.phone import PACKET, Phone, finished_recording, packets, samples_of

KEY = "k" * 20
EVENT_ID = "5a1c7a54-0000-4bca-a65a-000000000001"
SIGNING_KEY = SigningKey(b"s" * 32)


class ChattyEcho(Agent):
    """Echoes; when a key is pressed it says far more than a socket that is not read can hold."""

    async def run(self, call: Call) -> None:
        async for item in call:
            if isinstance(item, AudioFrame):
                call.send_audio(item.samples)
            elif isinstance(item, Dtmf):
                for _ in range(10_000):
                    call.mark("m" * 2000)


@dataclass
class Bench:
    """A running gateway, what it logged, and where it keeps things."""

    gateway: Gateway
    logged: list[EventDict]
    data_dir: Path

    async def get(self, path: str) -> Any:
        headers = {"Authorization": f"Bearer {KEY}"}
        async with aiohttp.ClientSession() as http, http.get(self.gateway.http_url + path, headers=headers) as answer:
            return await answer.json()

    async def counters(self) -> dict[str, Any]:
        answer: dict[str, Any] = (await self.get("/v1/calls"))["counters"]
        return answer

    async def counted(self, *path: str) -> int:
        """A counter, once it is not zero."""
        async with asyncio.timeout(5):
            while True:
                value: Any = await self.counters()
                for name in path:
                    value = value.get(name, 0)
                if value:
                    return int(value)
                await asyncio.sleep(0.01)

    def lines(self, event: str) -> list[EventDict]:
        return [line for line in self.logged if line["event"] == event]

    def phone(self, name: str, media_format: MediaFormat | None = None) -> Phone:
        return Phone(self.gateway.media_url, name, media_format=media_format)

    @asynccontextmanager
    async def another_call(self) -> AsyncIterator[None]:
        """A call that goes on meanwhile; its echo and its recording are whole whatever the first one does."""
        said = packets(40, seed=99)
        async with self.phone("other") as other:
            await other.begin()
            talking = asyncio.create_task(other.say(said))
            yield
            await talking
            await asyncio.sleep(0.05)
            assert other.heard == [_through_pcm(payload) for payload in said]
            await other.hang_up()
        sidecar, recorded = await finished_recording(self.data_dir, other.call_control_id)
        assert np.array_equal(recorded[: len(said) * PACKET, 0], samples_of(said))
        assert sidecar["report"]["received"]["packets_lost"] == 0

    async def left_channel(self, phone: Phone, packets_said: int) -> Samples:
        """The caller's channel of the finished recording: so many packets, then silence."""
        _, recorded = await finished_recording(self.data_dir, phone.call_control_id)
        left, rest = np.split(recorded[:, 0], [packets_said * PACKET])
        assert not rest.any()
        return left


def _through_pcm(payload: bytes) -> bytes:
    """What an echo makes of PCMU: the same, but for the two codes of zero, of which it has one."""
    return payload.replace(b"\x7f", b"\xff")


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    capture = structlog.testing.LogCapture()
    settings = Settings(
        media_listen="127.0.0.1:0",
        http_listen="127.0.0.1:0",
        media_auth="none",
        data_dir=tmp_path,
        api_key=KEY,
        start_timeout=0.2,
        telnyx_public_key=base64.b64encode(bytes(SIGNING_KEY.verify_key)).decode(),
    )
    log = structlog.wrap_logger(None, processors=[capture], wrapper_class=structlog.make_filtering_bound_logger("info"))
    async with Gateway(settings, agent=ChattyEcho, log=log) as gateway:
        yield Bench(gateway, capture.entries, tmp_path)


SAID = packets(10)

BAD_MESSAGES = {
    "not JSON": "hello?",
    "JSON of the wrong shape": '{"event":"media","media":["payload"]}',
    "not an object": "[1,2,3]",
    "payload that is not base64": (
        '{"event":"media","sequence_number":"2","stream_id":"X",'
        '"media":{"track":"inbound","chunk":"1","timestamp":"0","payload":"?"}}'
    ),
    "second connected": '{"event":"connected","version":"1.0.0"}',
    "second start": (
        '{"event":"start","sequence_number":"1","stream_id":"Y","start":{"call_control_id":"v3:y",'
        '"media_format":{"encoding":"L16","sample_rate":16000,"channels":1}}}'
    ),
}


@pytest.mark.parametrize("text", BAD_MESSAGES.values(), ids=BAD_MESSAGES.keys())
async def test_a_bad_message_is_counted_and_the_stream_goes_on(bench: Bench, text: str) -> None:
    async with bench.another_call(), bench.phone("bad") as phone:
        await phone.begin()
        await phone.say(SAID[:5])
        await phone.text(text)
        await phone.say(SAID[5:])
        await phone.hang_up()
        assert phone.closed.result()[0] == 1000
    assert (await bench.counters())["messages_bad"] == 1
    assert len(bench.lines("bad message")) == 1
    assert np.array_equal(await bench.left_channel(phone, len(SAID)), samples_of(SAID))


async def test_an_empty_payload_is_concealed_and_counted(bench: Bench) -> None:
    async with bench.another_call(), bench.phone("bad") as phone:
        await phone.begin()
        await phone.say([*SAID[:5], b"", *SAID[5:]])
        await phone.hang_up()
    assert (await bench.counters())["messages_bad"] == 1
    assert len(bench.lines("bad message")) == 1
    left = await bench.left_channel(phone, len(SAID) + 1)
    assert np.array_equal(left[: 5 * PACKET], samples_of(SAID[:5]))
    assert np.array_equal(left[6 * PACKET :], samples_of(SAID[5:]))
    record = await bench.get("/v1/calls/v3:bad")
    assert record["media"]["received"]["payloads_bad"] == 1


async def test_media_before_start_is_counted_and_the_stream_starts_all_the_same(bench: Bench) -> None:
    async with bench.another_call(), bench.phone("bad") as phone:
        await phone.text(phone.stream.send_connected())
        start = phone.stream.send_start()
        await phone.text(phone.stream.send_media("inbound", SAID[0], timestamp=0))
        await phone.text(start)
        await phone.say(SAID)
        await phone.hang_up()
    assert (await bench.counters())["messages_bad"] == 1
    assert "not allowed while connected" in bench.lines("bad message")[0]["error"]
    assert np.array_equal(await bench.left_channel(phone, len(SAID)), samples_of(SAID))


async def test_ten_bad_messages_end_the_stream_and_its_recording_is_whole(bench: Bench) -> None:
    async with bench.another_call(), bench.phone("bad") as phone:
        await phone.begin()
        await phone.say(SAID)
        for _ in range(10):
            await phone.text("hello?")
        assert (await asyncio.wait_for(phone.closed, 5))[0] == 1008
    assert (await bench.counters())["sessions_ended"]["protocol_error"] == 1
    assert np.array_equal(await bench.left_channel(phone, len(SAID)), samples_of(SAID))


async def test_an_unknown_codec_closes_the_socket_with_1003(bench: Bench) -> None:
    async with bench.another_call(), bench.phone("bad", MediaFormat("SPEEX", 8000)) as phone:
        await phone.begin()
        assert (await asyncio.wait_for(phone.closed, 5))[0] == 1003
    assert "SPEEX" in bench.lines("stream cannot be decoded")[0]["error"]
    assert (await bench.counters())["sessions_ended"]["unsupported_codec"] == 1


async def test_a_message_of_two_mebibytes_closes_the_socket_with_1009(bench: Bench) -> None:
    async with bench.another_call(), bench.phone("bad") as phone:
        await phone.begin()
        await phone.say(SAID)
        await phone.text("x" * 2_097_152)
        assert (await asyncio.wait_for(phone.closed, 5))[0] == 1009
    assert (await bench.counters())["sockets_failed"] == {"1009": 1}
    assert bench.lines("media socket failed")[0]["code"] == 1009
    assert np.array_equal(await bench.left_channel(phone, len(SAID)), samples_of(SAID))


async def test_a_socket_that_never_sends_start_is_closed(bench: Bench) -> None:
    async with bench.another_call(), bench.phone("bad") as phone:
        await phone.text(phone.stream.send_connected())
        assert (await asyncio.wait_for(phone.closed, 5))[0] == 1008
    assert (await bench.counters())["sessions_ended"]["no_start"] == 1
    assert len(bench.lines("stream did not start in time")) == 1


async def test_a_socket_that_stops_reading_is_dropped(bench: Bench) -> None:
    async with bench.another_call(), bench.phone("bad") as phone:
        await phone.begin()
        await phone.say(SAID)
        phone.socket.transport.pause_reading()
        await phone.text(phone.stream.send_dtmf("1", occurred_at="2026-11-20T10:00:00.000000Z"))
        assert await bench.counted("sockets_dropped", "does_not_read") == 1
        phone.socket.transport.abort()
    assert len(bench.lines("media socket dropped")) == 1
    assert np.array_equal(await bench.left_channel(phone, len(SAID)), samples_of(SAID))


async def test_a_socket_that_dies_without_a_close_frame_ends_its_call(bench: Bench) -> None:
    async with bench.another_call(), bench.phone("bad") as phone:
        await phone.begin()
        await phone.say(SAID)
        phone.socket.transport.abort()
        assert await bench.counted("sessions_ended", "link_lost") == 1
    assert bench.lines("media socket lost")[0]["code"] == 1006
    assert np.array_equal(await bench.left_channel(phone, len(SAID)), samples_of(SAID))


def _webhook() -> bytes:
    payload = {"call_control_id": "v3:hook", "direction": "incoming"}
    data = {"record_type": "event", "event_type": "call.initiated", "id": EVENT_ID, "payload": payload}
    return json.dumps({"data": {**data, "occurred_at": "2026-11-20T10:00:00.000000Z"}}).encode()


Signer = Callable[[bytes, float], dict[str, str]]

BAD_SIGNATURES: dict[str, tuple[str, Signer]] = {
    "bad": ("wrong", lambda body, now: sign(body + b" ", key=SIGNING_KEY, now=now)),
    "missing": ("missing", lambda body, now: {}),
    "stale": ("stale", lambda body, now: sign(body, key=SIGNING_KEY, now=now - 301)),
}


async def _post(bench: Bench, signer: Signer) -> int:
    body = _webhook()
    headers = signer(body, time.time())
    url = bench.gateway.http_url + "/webhooks/telnyx"
    async with aiohttp.ClientSession() as http, http.post(url, data=body, headers=headers) as answer:
        return answer.status


@pytest.mark.parametrize(("reason", "signer"), BAD_SIGNATURES.values(), ids=BAD_SIGNATURES.keys())
async def test_a_webhook_that_cannot_be_trusted_changes_nothing(bench: Bench, reason: str, signer: Signer) -> None:
    async with bench.another_call():
        assert await _post(bench, signer) == 403
    assert (await bench.counters())["webhooks_refused"][reason] == 1
    assert bench.lines("webhook refused")[0]["reason"] == reason
    assert [call["call_control_id"] for call in (await bench.get("/v1/calls"))["calls"]] == ["v3:other"]


async def test_a_doubled_webhook_is_answered_and_does_nothing(bench: Bench) -> None:
    def good(body: bytes, now: float) -> dict[str, str]:
        return sign(body, key=SIGNING_KEY, now=now)

    async with bench.another_call():
        assert [await _post(bench, good), await _post(bench, good)] == [200, 200]
    counters = await bench.counters()
    assert (counters["webhooks_verified"], counters["webhooks_duplicated"]) == (2, 1)
