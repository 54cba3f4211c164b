"""OpenAI's and ElevenLabs' endpoints, played by a server of our own that checks what it is asked."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from aiohttp import ClientTimeout, web

from audio_codecs import Samples
from gateway.errors import SpeechError
from gateway.speech import SpeechService, http, open_speech
from tests.fakes import noise

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Answers every request the same; keeps what was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        self.hung_up = asyncio.Event()
        self.answer: Answer = self.speak
        self.sound = noise(24_000)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((str(request.rel_url), dict(request.headers), await request.json()))
        return await self.answer(request)

    async def speak(self, request: web.Request) -> web.StreamResponse:
        """The sound in pieces of odd lengths."""
        response = web.StreamResponse()
        await response.prepare(request)
        octets = self.sound.tobytes()
        for at in range(0, len(octets), 4801):
            await response.write(octets[at : at + 4801])
        return response

    async def go_on_for_ever(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(self.sound.tobytes())
        except ConnectionError:
            self.hung_up.set()
            raise

    async def fall_silent(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"\1\0")
        await asyncio.sleep(60)
        return response


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield server
    finally:
        await runner.cleanup()


def environment(server: Server) -> dict[str, str]:
    return {
        "OPENAI_API_KEY": "sk-openai",
        "OPENAI_BASE_URL": f"{server.url}/v1",
        "ELEVENLABS_API_KEY": "xi-key",
        "ELEVENLABS_BASE_URL": server.url,
    }


SERVICES = ["openai:?voice=nova", "elevenlabs:?voice=Rachel/1"]


async def spoken(speech: SpeechService, text: str = "Good morning", **how: str) -> Samples:
    return np.concatenate([samples async for samples in speech.speak(text, **how)])


async def test_openai_is_asked_for_pcm_and_its_sound_comes_whole() -> None:
    async with serving() as server, open_speech("openai:?voice=nova&speed=1.5", environment=environment(server)) as it:
        assert it.sample_rate == 24_000
        assert np.array_equal(await spoken(it), server.sound)
        await spoken(it, voice="coral")
    path, headers, body = server.asked[0]
    assert (path, headers["Authorization"]) == ("/v1/audio/speech", "Bearer sk-openai")
    assert body == {
        "model": "gpt-4o-mini-tts",
        "input": "Good morning",
        "voice": "nova",
        "response_format": "pcm",
        "speed": 1.5,
    }
    assert server.asked[1][2]["voice"] == "coral"


async def test_elevenlabs_is_asked_for_pcm_and_its_sound_comes_whole() -> None:
    async with serving() as server, open_speech(SERVICES[1], environment=environment(server)) as it:
        assert it.sample_rate == 16_000
        assert np.array_equal(await spoken(it, language="de-DE"), server.sound)
    path, headers, body = server.asked[0]
    assert path == "/v1/text-to-speech/Rachel%2F1/stream?output_format=pcm_16000"
    assert headers["xi-api-key"] == "xi-key"
    assert body == {"text": "Good morning", "model_id": "eleven_flash_v2_5", "language_code": "de"}


@pytest.mark.parametrize(
    ("told", "word"),
    [
        ({"error": {"message": "bad key sk-openai: Good morning", "code": "invalid_api_key"}}, "invalid_api_key"),
        ({"error": {"message": "no", "code": None, "type": "server_error"}}, "server_error"),
        ({"detail": {"status": "quota_exceeded", "message": "Good morning"}}, "quota_exceeded"),
        ({"detail": [{"msg": "Good morning"}]}, "no reason given"),
        (["Good morning"], "no reason given"),
    ],
)
@pytest.mark.parametrize("service", SERVICES)
async def test_a_refusal_is_told_by_its_word_without_key_and_text(service: str, told: Any, word: str) -> None:
    async def refuse(request: web.Request) -> web.Response:
        return web.json_response(told, status=401)

    async with serving() as server, open_speech(service, environment=environment(server)) as it:
        server.answer = refuse
        with pytest.raises(SpeechError, match=f"answers 401: {word}$"):
            await spoken(it)


@pytest.mark.parametrize("service", SERVICES)
async def test_a_redirect_is_not_followed(service: str) -> None:
    async def redirect(request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": "http://127.0.0.1:1/elsewhere"})

    async with serving() as server, open_speech(service, environment=environment(server)) as it:
        server.answer = redirect
        with pytest.raises(SpeechError, match="answers 307"):
            await spoken(it)


async def test_what_is_cut_off_is_hung_up_on() -> None:
    async with serving() as server, open_speech(SERVICES[0], environment=environment(server)) as it:
        server.answer = server.go_on_for_ever
        sound = it.speak("Once upon a time")
        await anext(sound)
        await sound.aclose()
        async with asyncio.timeout(5):
            await server.hung_up.wait()


async def test_speech_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_MAX_SECONDS", 3.0)
    async with serving() as server, open_speech(SERVICES[0], environment=environment(server)) as it:
        server.answer = server.go_on_for_ever
        with pytest.raises(SpeechError, match="longer than 3 s"):
            await spoken(it)


async def test_a_service_that_falls_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.speech.SPEECH_TIMEOUT", ClientTimeout(total=None, sock_read=0.2))
    async with serving() as server, open_speech(SERVICES[0], environment=environment(server)) as it:
        server.answer = server.fall_silent
        with pytest.raises(SpeechError, match="has stopped"):
            await spoken(it)


async def test_a_service_that_is_not_there_is_told() -> None:
    async with open_speech(
        SERVICES[0], environment={"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}
    ) as it:
        with pytest.raises(SpeechError, match="cannot be reached"):
            await spoken(it)


async def test_an_answer_without_sound_is_an_error() -> None:
    async def empty(request: web.Request) -> web.Response:
        return web.Response(body=b"")

    async with serving() as server, open_speech(SERVICES[0], environment=environment(server)) as it:
        server.answer = empty
        with pytest.raises(SpeechError, match="without any sound"):
            await spoken(it)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("festival:", "there is no speech service 'festival'; there are: espeak, openai, elevenlabs"),
        ("", "it has no name"),
        ("openai:", "OPENAI_API_KEY is not set"),
        ("elevenlabs:?voice=x", "ELEVENLABS_API_KEY is not set"),
        ("espeak:?volume=3", "there is no option 'volume'"),
        ("espeak:?speed=fast", "speed is 'fast', want 80 to 450"),
        ("espeak:/usr/bin", "there is no speech service"),
    ],
)
async def test_what_cannot_be_opened_says_why(text: str, complaint: str) -> None:
    with pytest.raises(SpeechError, match=complaint):
        async with open_speech(text, environment={}):
            pass


async def test_elevenlabs_wants_a_voice_and_a_server_of_ones_own_no_key() -> None:
    with pytest.raises(SpeechError, match="the id of a voice"):
        async with open_speech("elevenlabs:", environment={"ELEVENLABS_API_KEY": "k"}):
            pass
    async with serving() as server, open_speech("openai:", environment={"OPENAI_BASE_URL": server.url}) as it:
        await spoken(it)
        assert "Authorization" not in server.asked[0][1]
