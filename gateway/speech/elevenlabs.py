"""Speech by ElevenLabs.

Source: ElevenLabs' API reference, "Stream speech": `POST /v1/text-to-speech/{voice_id}/stream`, with
`output_format=pcm_16000` for 16 bits, little-endian, no header.
"""

from collections.abc import AsyncGenerator
from typing import Any, Final
from urllib.parse import quote

import aiohttp

from audio_codecs import Samples
from gateway.speech.base import check_text
from gateway.speech.http import stream_speech

__all__ = ["ELEVENLABS_URL", "ElevenLabsSpeech"]

ELEVENLABS_URL: Final = "https://api.elevenlabs.io"


class ElevenLabsSpeech:
    """Speaks by the streaming endpoint.

    Args:
        session: With `SPEECH_TIMEOUT`.
        base_url: Of the API.
        key: The account's.
        voice: The id of a voice.
        model: Of the service.
    """

    sample_rate: int = 16_000

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        base_url: str = ELEVENLABS_URL,
        key: str,
        voice: str,
        model: str = "eleven_flash_v2_5",
    ) -> None:
        self._session = session
        self._url = f"{base_url.rstrip('/')}/v1/text-to-speech/"
        self._headers = {"xi-api-key": key}
        self._voice = voice
        self._model = model

    def speak(self, text: str, *, voice: str | None = None, language: str | None = None) -> AsyncGenerator[Samples]:
        """See `SpeechService`; of the language, its first part is told (ISO 639-1)."""
        body: dict[str, Any] = {"text": check_text(text), "model_id": self._model}
        if language is not None:
            body["language_code"] = language.partition("-")[0].lower()
        return stream_speech(
            self._session,
            f"{self._url}{quote(voice or self._voice, safe='')}/stream",
            service="elevenlabs",
            sample_rate=self.sample_rate,
            body=body,
            headers=self._headers,
            params={"output_format": f"pcm_{self.sample_rate}"},
        )
