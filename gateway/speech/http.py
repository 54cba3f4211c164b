"""Speech that comes as the answer to an HTTP request: 16 bits a sample, little-endian, as it is made."""

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

import aiohttp
import msgspec
import numpy as np

from audio_codecs import Samples
from gateway.errors import SpeechError

__all__ = ["SPEECH_TIMEOUT", "stream_speech"]

SPEECH_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=5.0, sock_read=15.0)
"""No total: a text is read as fast as it is heard, and no faster."""

_ANSWER_TIMEOUT: Final = 20.0
_MAX_SECONDS: Final = 900.0
_MAX_PROBLEM: Final = 4000
_WORD: Final = re.compile(r"[a-z][a-z0-9_.-]{0,60}")


async def stream_speech(
    session: aiohttp.ClientSession,
    url: str,
    *,
    service: str,
    sample_rate: int,
    body: Mapping[str, Any],
    headers: Mapping[str, str],
    params: Mapping[str, str] | None = None,
) -> AsyncGenerator[Samples]:
    """Ask for speech and give it on as it comes.

    Args:
        session: With `SPEECH_TIMEOUT`.
        url: Where to post.
        service: Its name, for errors.
        sample_rate: Of what comes, in Hz.
        body: Sent as JSON.
        headers: With the key.
        params: Of the URL.

    Yields:
        int16, shape (n,).

    Raises:
        SpeechError: The service refuses, fails, says nothing in time, or far too much.
    """
    most = round(_MAX_SECONDS * sample_rate) * 2
    received, odd = 0, b""
    try:
        async with asyncio.timeout(_ANSWER_TIMEOUT):
            # A redirect is not followed: the key would go with it.
            answer = await session.post(url, json=body, headers=headers, params=params, allow_redirects=False)
        async with answer:
            if answer.status != 200:
                raise SpeechError(f"{service} answers {answer.status}: {await _problem(answer)}")
            async for piece in answer.content.iter_any():
                received += len(piece)
                if received > most:
                    raise SpeechError(f"{service} speaks for longer than {_MAX_SECONDS:g} s")
                piece = odd + piece
                whole = len(piece) // 2 * 2
                odd = piece[whole:]
                if whole:
                    yield np.frombuffer(piece, "<i2", whole // 2).astype(np.int16, copy=False)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise SpeechError(f"{service} cannot be reached, or has stopped: {type(error).__name__}: {error}") from error
    if not received:
        raise SpeechError(f"{service} has answered without any sound")


async def _problem(answer: aiohttp.ClientResponse) -> str:
    """The word by which the service names what is wrong; not its sentence, which may quote the text or the key."""
    octets = await answer.content.read(_MAX_PROBLEM)
    try:
        told = msgspec.json.decode(octets)
    except ValueError:
        return "no reason given"
    words = [place.get(name) for place in _places(told) for name in ("code", "status", "type")]
    return next((word for word in words if isinstance(word, str) and _WORD.fullmatch(word)), "no reason given")


def _places(told: Any) -> list[dict[str, Any]]:
    """Where OpenAI and ElevenLabs put it."""
    inside = [told.get("error"), told.get("detail"), told] if isinstance(told, dict) else []
    return [place for place in inside if isinstance(place, dict)]
