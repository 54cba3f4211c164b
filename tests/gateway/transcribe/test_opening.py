"""Transcribers by what stands in the settings."""

from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
import structlog

from gateway.config import Settings
from gateway.errors import ConfigError
from gateway.plugins import open_sinks
from gateway.sinks.delivery import delivery_of
from gateway.sinks.url import SinkConfig, SinkUrl
from gateway.transcribe.opening import make_service, open_transcriber
from gateway.transcribe.service import Service
from tests.gateway.sinks.streams import stream_info

KEYS = {"DEEPGRAM_API_KEY": "dg-secret", "OPENAI_API_KEY": "oa-secret", "ASSEMBLYAI_API_KEY": "aa-secret"}


def service(url: str) -> Service:
    parsed = SinkUrl.parse(url)
    config = SinkConfig(path=parsed.path, options=parsed.options, data_dir=Path(), log=structlog.get_logger())
    return make_service(config, parsed.scheme, KEYS)


async def test_all_of_them_stand_in_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, key in KEYS.items():
        monkeypatch.setenv(name, key)
    names = (
        "deepgram:?model=nova-3",
        "openai:",
        "assemblyai:",
        "vosk:",
        "sherpa:",
        "telnyx:",
        "deepgram:?track=played",
    )
    settings = Settings(sinks=names, data_dir=tmp_path, telnyx_api_key="KEY")
    async with AsyncExitStack() as stack:
        sources = await open_sinks(settings, stack=stack, log=structlog.get_logger())
    assert list(sources) == ["deepgram", "openai", "assemblyai", "vosk", "sherpa", "telnyx", "deepgram 2"]
    assert {delivery_of(sources[name]).by for name in ("deepgram", "openai", "vosk")} == {"task"}


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("deepgram:", "DEEPGRAM_API_KEY is not set"),
        ("openai:?model=gpt-transcribe", "OPENAI_API_KEY is not set"),
        ("telnyx:", "TELNYX_API_KEY is not set"),
        ("vosk:?model=small", "it has no option 'model'; it has: track, url, phrase_list"),
        ("vosk:?url=http://secret@nowhere", "url is none that begins with ws://"),
        ("vosk:?track=left", "track is 'left'"),
        ("sherpa:?rate=fast", "rate is 'fast', want 4000 to 192000"),
        ("vosk:nowhere", "it takes nothing behind its name"),
    ],
)
async def test_what_cannot_be_keeps_the_gateway_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, complaint: str
) -> None:
    for variable in KEYS:
        monkeypatch.delenv(variable, raising=False)
    settings = Settings(sinks=(name,), data_dir=tmp_path)
    with pytest.raises(ConfigError, match=complaint) as refusal:
        async with AsyncExitStack() as stack:
            await open_sinks(settings, stack=stack, log=structlog.get_logger())
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("openai:?model=gpt-live-transcribe", "does not find out where an utterance ends"),
        ("openai:?silence_ms=long", "are numbers"),
        ("openai:?eagerness=low&threshold=0.5", "does not go together"),
    ],
)
def test_options_of_openai_that_cannot_be_are_refused(url: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        service(url)


def test_options_go_to_the_service_and_the_key_into_a_header_only() -> None:
    deepgram = service("deepgram:?model=nova-2&language=de")
    request = deepgram.request(deepgram.audio_format("PCMU", 8000))
    query = dict(parse_qsl(urlsplit(request.url).query))
    assert query.items() >= {"model": "nova-2", "language": "de", "encoding": "mulaw", "sample_rate": "8000"}.items()
    assert request.headers == {"Authorization": "Token dg-secret"}
    assert "secret" not in repr(request)
    (begin,) = service("openai:?language=de&silence_ms=300").session(deepgram.audio_format("PCMU", 8000)).begin()
    assert '"language":"de"' in str(begin)
    assert '"silence_duration_ms":300' in str(begin)


async def test_an_agent_is_told_when_there_is_no_such_transcriber() -> None:
    with pytest.raises(ValueError, match="there is no transcriber 'whisper'; there are: deepgram, "):
        async with open_transcriber("whisper:", stream_info()):
            pass
