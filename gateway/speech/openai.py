"""Speech by OpenAI's API, or any other program that speaks it (`/audio/speech`), such as a server of one's own.

Source: OpenAI's API reference, "Create speech": `response_format=pcm` is 24 kHz, 16 bits, little-endian, no header.
"""

from collections.abc import AsyncGenerator
from typing import Any, Final

import aiohttp

from audio_codecs import Samples
from gateway.speech.base import check_text
from gateway.speech.http import stream_speech

__all__ = ["OPENAI_URL", "OpenAISpeech"]

OPENAI_URL: Final = "https://api.openai.com/v1"


class OpenAISpeech:
    """Speaks by `POST /audio/speech`.

    Args:
        session: With `SPEECH_TIMEOUT`.
        base_url: Of the API.
        key: None for a server that wants none.
        model: Of the service.
        voice: Of the model.
        instructions: How to speak, for models that take it.
        speed: 0.25 to 4; 1 is the model's own.
    """

    sample_rate: int = 24_000

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        base_url: str = OPENAI_URL,
        key: str | None,
        model: str = "gpt-4o-mini-tts",
        voice: str = "alloy",
        instructions: str | None = None,
        speed: float | None = None,
    ) -> None:
        self._session = session
        self._url = f"{base_url.rstrip('/')}/audio/speech"
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._voice = voice
        self._body: dict[str, Any] = {"model": model, "response_format": "pcm"}
        self._body |= {} if instructions is None else {"instructions": instructions}
        self._body |= {} if speed is None else {"speed": speed}

    def speak(self, text: str, *, voice: str | None = None, language: str | None = None) -> AsyncGenerator[Samples]:
        """See `SpeechService`; the language is heard in the text."""
        del language
        return stream_speech(
            self._session,
            self._url,
            service="openai",
            sample_rate=self.sample_rate,
            body={**self._body, "voice": voice or self._voice, "input": check_text(text)},
            headers=self._headers,
        )
