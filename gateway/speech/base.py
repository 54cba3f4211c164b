"""The contract of a speech service: text in, sound out, as it is made."""

from collections.abc import AsyncGenerator
from typing import Final, Protocol

from audio_codecs import Samples
from gateway.errors import SpeechError

__all__ = ["MAX_TEXT", "SpeechService", "check_text"]

MAX_TEXT: Final = 3000
"""Characters of one text, as in Telnyx's `speak`."""


class SpeechService(Protocol):
    """Speaks texts; used by all calls at once.

    Attributes:
        sample_rate: Of all it speaks, in Hz.
    """

    sample_rate: int

    def speak(self, text: str, *, voice: str | None = None, language: str | None = None) -> AsyncGenerator[Samples]:
        """Speak a text. What leaves the generator early is to close it, which stops the service's work.

        Args:
            text: Plain text, up to 3000 characters.
            voice: By the service's own name for it; the one that the settings name if None.
            language: BCP 47, such as `en-US`; the voice's own if None. Services that hear it in the text leave it out.

        Yields:
            int16, mono, shape (n,), any length.

        Raises:
            SpeechError: It cannot, or not to its end.
        """
        ...


def check_text(text: str) -> str:
    """The text, as it is.

    Raises:
        SpeechError: There is nothing to speak, or too much.
    """
    if not text.strip():
        raise SpeechError("there is no text to speak")
    if len(text) > MAX_TEXT:
        raise SpeechError(f"the text has {len(text)} characters, limit {MAX_TEXT}")
    return text
