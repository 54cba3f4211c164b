"""Speech services as the settings call them: `espeak:?voice=en-us`, `openai:?voice=alloy`, `elevenlabs:?voice=...`.

Keys stand in the environment, as each provider's own programs have them, and never in a URL.
"""

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, TypeAlias

import aiohttp

from gateway.errors import SpeechError
from gateway.sinks.url import SinkUrl
from gateway.speech.base import SpeechService
from gateway.speech.elevenlabs import ELEVENLABS_URL, ElevenLabsSpeech
from gateway.speech.espeak import EspeakSpeech
from gateway.speech.http import SPEECH_TIMEOUT
from gateway.speech.openai import OPENAI_URL, OpenAISpeech

__all__ = ["SpeechService", "open_speech"]

Options: TypeAlias = dict[str, str]
Environment: TypeAlias = Mapping[str, str]


def open_speech(text: str, *, environment: Environment | None = None) -> AbstractAsyncContextManager[SpeechService]:
    """Open a speech service while the context lasts.

    Args:
        text: `espeak:`, `openai:` or `elevenlabs:`, with options behind a question mark: see docs/services.md.
        environment: Where the keys stand; the process's own if None.

    Raises:
        SpeechError: There is no such service, an option is wrong, its key or its program is missing.
    """
    try:
        url = SinkUrl.parse(text)
    except ValueError as error:
        raise SpeechError(f"{text.partition('?')[0]!r}: {error}") from error
    if url.scheme not in _SERVICES or url.path:
        raise SpeechError(f"there is no speech service {url.scheme!r}; there are: {', '.join(_SERVICES)}")
    return _SERVICES[url.scheme](url.options, os.environ if environment is None else environment)


@asynccontextmanager
async def _espeak(options: Options, environment: Environment) -> AsyncIterator[SpeechService]:
    del environment
    _only(options, "voice", "speed", "pitch")
    yield EspeakSpeech(
        voice=options.get("voice", "en-us"),
        speed=round(_number(options, "speed", 80, 450) or 165),
        pitch=round(_number(options, "pitch", 0, 99, default=50)),
    )


@asynccontextmanager
async def _openai(options: Options, environment: Environment) -> AsyncIterator[SpeechService]:
    _only(options, "voice", "model", "instructions", "speed")
    base_url, key = environment.get("OPENAI_BASE_URL", OPENAI_URL), environment.get("OPENAI_API_KEY")
    if key is None and base_url == OPENAI_URL:
        raise SpeechError("OPENAI_API_KEY is not set")
    async with aiohttp.ClientSession(timeout=SPEECH_TIMEOUT) as session:
        yield OpenAISpeech(
            session,
            base_url=base_url,
            key=key,
            model=options.get("model", "gpt-4o-mini-tts"),
            voice=options.get("voice", "alloy"),
            instructions=options.get("instructions"),
            speed=_number(options, "speed", 0.25, 4) or None,
        )


@asynccontextmanager
async def _elevenlabs(options: Options, environment: Environment) -> AsyncIterator[SpeechService]:
    _only(options, "voice", "model")
    key, voice = environment.get("ELEVENLABS_API_KEY"), options.get("voice")
    if key is None:
        raise SpeechError("ELEVENLABS_API_KEY is not set")
    if not voice:
        raise SpeechError("elevenlabs wants ?voice=, the id of a voice")
    async with aiohttp.ClientSession(timeout=SPEECH_TIMEOUT) as session:
        yield ElevenLabsSpeech(
            session,
            base_url=environment.get("ELEVENLABS_BASE_URL", ELEVENLABS_URL),
            key=key,
            voice=voice,
            model=options.get("model", "eleven_flash_v2_5"),
        )


_SERVICES: Final[Mapping[str, Callable[[Options, Environment], AbstractAsyncContextManager[SpeechService]]]] = {
    "espeak": _espeak,
    "openai": _openai,
    "elevenlabs": _elevenlabs,
}


def _only(options: Options, *names: str) -> None:
    if unknown := sorted(set(options) - set(names)):
        raise SpeechError(f"there is no option {unknown[0][:40]!r}; there are: {', '.join(names)}")


def _number(options: Options, name: str, least: float, most: float, *, default: float = 0.0) -> float:
    text = options.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise SpeechError(f"{name} is {text[:20]!r}, want {least:g} to {most:g}")
    return value
