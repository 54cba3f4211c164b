"""The media services over HTTP: the routes alone, on a call without a socket."""

import base64
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from structlog.testing import capture_logs

from audio_codecs import Samples
from gateway.control.media_api import MEDIA_OPERATIONS, media_routes
from gateway.errors import ConfigError
from gateway.services.options import ServiceOptions
from gateway.sinks.base import SinkSource
from gateway.sinks.recorder import Recorder
from tests.fakes import FakeLine, ListSink, noise, settle


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


class Speaking:
    sample_rate = 8000

    async def speak(
        self, text: str, *, voice: str | None = None, language: str | None = None
    ) -> AsyncGenerator[Samples]:
        yield noise(800)


class Api:
    """The routes of one call that runs."""

    def __init__(self, client: "TestClient[web.Request, web.Application]", line: FakeLine) -> None:
        self.client = client
        self.line = line

    async def ask(self, path: str, body: Any = None, *, method: str = "POST", status: int = 200) -> Any:
        async with self.client.request(method, f"/v3:call{path}", json=body) as answer:
            told = await answer.json()
            assert answer.status == status, told
            if status >= 400:
                assert answer.content_type == "application/problem+json"
                assert told["status"] == status
            return told

    async def get(self, path: str) -> Any:
        return await self.ask(path, method="GET")

    async def press(self, digit: str) -> None:
        self.line.press(digit)
        self.line.wait(0.1)
        await settle()


@asynccontextmanager
async def api(**services: Any) -> AsyncIterator[Api]:
    line = FakeLine(services=ServiceOptions(**services))
    calls = {"v3:call": line.call}
    app = web.Application()
    app.add_routes(media_routes(calls.get, prefix="/{call_control_id:[^/]+}"))
    async with TestClient(TestServer(app)) as client, line.running():
        yield Api(client, line)


def find_sink(url: str) -> tuple[str, SinkSource]:
    if url != "level:":
        raise ConfigError("there is no such sink")
    return "level", ListSink().factory


async def test_a_call_that_is_not_there_or_over_is_a_404() -> None:
    async with api() as it:
        for name in ("v3:other", "..", "%00", "v3:call%2F..", "x" * 600):
            async with it.client.post(f"/{name}/clear") as answer:
                assert answer.status == 404
        it.line.call.end(it.line.call.end_reason or "stop")  # type: ignore[arg-type]
        await it.ask("/clear", status=404)


async def test_a_sound_is_played_listed_and_stopped() -> None:
    async with api(speech=Speaking()) as it:
        assert await it.ask("/speak", {"payload": "hello"}) == {"name": "play 1"}
        content = base64.b64encode(b"RIFF").decode()
        assert await it.ask("/play", {"playback_content": content, "name": "mine"}) == {"name": "mine"}
        assert await it.ask("/send_dtmf", {"digits": "12w#"}) == {"name": "play 3"}
        names = [play["name"] for play in (await it.get("/plays"))["plays"]]
        assert names[0] == "play 1"
        assert names[-1] == "play 3"
        assert await it.ask("/play/stop", {"stop": "current"}) == {"stopped": ["play 1"]}
        stopped = (await it.ask("/play/stop"))["stopped"]
        assert stopped[-1] == "play 3"
        assert await it.get("/plays") == {"plays": []}
        assert await it.ask("/play/stop") == {"stopped": []}


async def test_falling_silent_can_be_asked_for_twice() -> None:
    async with api() as it:
        for path in ("/pause", "/pause", "/resume", "/resume", "/clear", "/clear"):
            await it.ask(path)
        assert it.line.script()[-1] == "clear"


async def test_keys_are_gathered_and_the_result_is_read() -> None:
    async with api() as it:
        assert await it.get("/gather") == {"gather": None}
        asked = {"maximum_digits": 2, "gather_id": "pin", "inter_digit_timeout_millis": 3000}
        assert await it.ask("/gather", asked) == {"gather_id": "pin"}
        await it.ask("/gather", {}, status=409)
        await it.press("1")
        state = {"gather_id": "pin", "status": "gathering", "digits": "1", "tries": 1}
        assert await it.get("/gather") == {"gather": state}
        await it.press("2")
        ended = state | {"status": "valid", "digits": "12"}
        assert await it.get("/gather") == {"gather": ended}
        assert await it.ask("/gather/stop") == {"gather": ended}
        await it.ask("/gather", {"gather_id": "again"})
        assert (await it.ask("/gather/stop"))["gather"]["status"] == "cancelled"


async def test_a_gather_asks_with_speech_and_the_first_key_cuts_it() -> None:
    async with api(speech=Speaking()) as it:
        await it.ask("/gather", {"payload": "your PIN?", "invalid_payload": "once more", "maximum_digits": 1})
        await settle()
        assert len((await it.get("/plays"))["plays"]) == 1
        await it.press("7")
        assert await it.get("/plays") == {"plays": []}
        assert (await it.get("/gather"))["gather"]["digits"] == "7"


async def test_a_recording_is_begun_paused_and_ended(tmp_path: Path) -> None:
    async with Recorder(tmp_path, log=structlog.get_logger()) as recorder, api(recorder=recorder) as it:
        recording_id = (await it.ask("/record", {"channels": "single", "format": "wav"}))["recording_id"]
        assert await it.ask("/record/pause") == {"recording_ids": [recording_id]}
        (described,) = (await it.get("/record"))["recordings"]
        assert (described["recording"], described["paused"]) == (recording_id, True)
        assert await it.ask("/record/resume", {"recording_id": recording_id}) == {"recording_ids": [recording_id]}
        assert await it.ask("/record/stop") == {"recording_ids": [recording_id]}
        assert await it.ask("/record/stop") == {"recording_ids": []}
        await it.ask("/record/stop", {"recording_id": "../../etc"}, status=404)


async def test_sinks_and_transcribers_come_and_go() -> None:
    async with api(find_sink=find_sink, transcriber="level:") as it:
        assert await it.ask("/sinks", {"url": "level:", "name": "mine"}) == {"sink": "mine"}
        await it.ask("/sinks", {"url": "os:system"}, status=422)
        assert list((await it.get("/sinks"))["sinks"]) == ["mine"]
        assert await it.ask("/sinks/mine", method="DELETE") == {"sink": "mine"}
        await it.ask("/sinks/mine", method="DELETE", status=404)
        assert await it.ask("/transcribe") == {"sink": "transcription"}
        await it.ask("/transcribe", status=409)
        await it.ask("/transcribe/stop")
        await it.ask("/transcribe/stop")


async def test_noise_suppression_is_switched_on_and_off() -> None:
    pytest.importorskip("webrtc_noise_gain")
    async with api() as it:
        for _ in range(2):
            assert await it.ask("/suppress_noise", {"level": 2}) == {"suppressed": True}
        for _ in range(2):
            assert await it.ask("/suppress_noise/stop") == {"suppressed": False}


@pytest.mark.parametrize(
    ("path", "body", "complaint"),
    [
        ("/play", {}, "One of the three sources"),
        ("/play", {"audio_url": "file:///etc/passwd"}, "audio_url"),
        ("/play", {"audio_url": "https://a.example/a.wav", "media_name": "a.wav"}, "Not together"),
        ("/play", {"audio_url": "https://a.example/a.wav", "overlay": True}, "overlay"),
        ("/play", {"audio_url": "https://a.example/a.wav", "loop": 101}, "loop"),
        ("/play", {"playback_content": "%%%"}, "playback_content"),
        ("/send_dtmf", {"digits": "12E"}, "digits"),
        ("/speak", {"payload": "x" * 3001}, "payload"),
        ("/speak", {"payload": "x", "vioce": "y"}, "vioce"),
        ("/gather", {"minimum_digits": 0}, "minimum_digits"),
        ("/gather", {"minimum_digits": 4, "maximum_digits": 3}, "max_digits"),
        ("/gather", {"payload": "a", "audio_url": "https://a.example/a.wav"}, "Not together"),
        ("/record", {"format": "aiff"}, "format"),
        ("/record", {"custom_file_name": "../x"}, "custom_file_name"),
        ("/suppress_noise", {"level": 9}, "level"),
        ("/suppress_noise", {"direction": "both"}, "direction"),
        ("/clear", {"now": True}, "now"),
    ],
)
async def test_a_body_that_is_wrong_is_refused_by_the_name_of_its_field(path: str, body: Any, complaint: str) -> None:
    async with api(speech=Speaking()) as it:
        told = await it.ask(path, body, status=422)
    assert complaint in told["detail"]
    assert "passwd" not in told["detail"]


@pytest.mark.parametrize("octets", [b"{", b"\xff\xfe", b"[" * 50_000, b'{"digits": "1"'])
async def test_what_is_no_json_is_refused(octets: bytes) -> None:
    async with api() as it, it.client.post("/v3:call/send_dtmf", data=octets) as answer:
        assert answer.status == 400


async def test_a_huge_body_is_refused() -> None:
    async with api() as it, it.client.post("/v3:call/clear", data=b" " * 70_000) as answer:
        assert answer.status == 413


@pytest.mark.parametrize(
    ("path", "body"), [("/speak", {"payload": "hi"}), ("/record", {}), ("/play", {"media_name": "a.wav"})]
)
async def test_what_is_not_set_up_is_a_503(path: str, body: Any) -> None:
    async with api() as it:
        await it.ask(path, body, status=503)


@pytest.mark.parametrize("name", ["nowhere.wav", "../secret.wav", "/etc/passwd", "link.wav", "folder", "a\0b"])
async def test_a_media_name_leads_to_no_other_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.wav").write_bytes(b"RIFF")
    folder = tmp_path / "media"
    (folder / "folder").mkdir(parents=True)
    (folder / "link.wav").symlink_to(tmp_path / "secret.wav")
    async with api(media_dir=folder) as it:
        await it.ask("/play", {"media_name": name}, status=404)


async def test_too_many_plays_are_a_409() -> None:
    async with api() as it:
        for _ in range(100):
            await it.ask("/send_dtmf", {"digits": "W" * 20})
        await it.ask("/send_dtmf", {"digits": "1"}, status=409)


def test_every_operation_has_its_models_and_a_path_of_its_own() -> None:
    keys = [(operation.method, operation.path) for operation in MEDIA_OPERATIONS]
    assert len(set(keys)) == len(keys)
    for operation in MEDIA_OPERATIONS:
        assert (operation.request is None) == (operation.method != "POST")
        operation.response.model_json_schema()
        assert operation.summary
        assert operation.path.startswith("/")
