"""What the agent says, sentence by sentence, and how much of each was heard."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from audio_codecs import Samples
from gateway.call import Call
from gateway.errors import PlaybackError, SpeechError
from gateway.playback import Playback
from gateway.speech.base import MAX_TEXT, SpeechService

__all__ = ["Sentence", "Voice"]

_AHEAD: Final = 3
"""Sentences that are spoken or being made at a time: more would be asked of the service than may ever be heard."""
_MS_A_CHARACTER: Final = 65.0
"""Of usual speech, where the service has not shown its own yet."""
_FILLING: Final = 40.0  # milliseconds of silence that fill up a play's last message


class Sentence:
    """One sentence that was said, or is being said.

    Attributes:
        text: All of it.
        playback: How it is played.
    """

    playback: Playback

    def __init__(self, text: str) -> None:
        self.text = text
        self.made_ms = 0.0
        self.whole = False  # whether all of it was made
        self.ms_a_character = _MS_A_CHARACTER

    def heard(self) -> str:
        """The words that the caller has heard; all of them while it is not over."""
        if not self.playback.done():
            return self.text
        heard = float(self.playback.heard)
        length = self.made_ms if self.whole else max(self.made_ms, len(self.text) * self.ms_a_character)
        if self.whole and heard >= length - _FILLING:
            return self.text
        end = int(len(self.text) * heard / length) if length else 0
        if end < len(self.text) and not self.text[end].isspace():
            end = max(self.text.rfind(" ", 0, end), 0)  # half a word is none
        return self.text[:end].rstrip()


class Voice:
    """Says sentences in one call.

    Args:
        call: The call.
        service: Speaks.
        timeout: Seconds that it may take to begin, and to go on.
    """

    def __init__(self, call: Call, service: SpeechService, *, timeout: float) -> None:
        self._call = call
        self._service = service
        self._timeout = timeout
        self._under_way: list[Sentence] = []
        self._ms_a_character = _MS_A_CHARACTER

    async def say(self, text: str) -> Sentence:
        """Say a sentence behind those before; waits while enough of them are under way.

        Raises:
            SpeechError: One of those before could not be spoken.
        """
        while len(self._under_way) >= _AHEAD:
            await self._finish_first()
        sentence = Sentence(text[:MAX_TEXT])
        sentence.ms_a_character = self._ms_a_character
        sentence.playback = self._call.play(self._make(sentence), self._service.sample_rate)
        self._under_way.append(sentence)
        return sentence

    async def finish(self) -> None:
        """Wait until all was heard.

        Raises:
            SpeechError: A sentence could not be spoken, or not to its end.
        """
        while self._under_way:
            await self._finish_first()

    def forget(self) -> None:
        """What is under way was cleared."""
        self._under_way.clear()

    async def _finish_first(self) -> None:
        sentence = self._under_way[0]
        try:
            await sentence.playback
        except PlaybackError as error:
            raise SpeechError(str(error)) from error
        finally:
            self._under_way.remove(sentence)
        if sentence.whole and len(sentence.text) >= 20:
            self._ms_a_character = sentence.made_ms / len(sentence.text)

    async def _make(self, sentence: Sentence) -> AsyncGenerator[Samples]:
        rate = self._service.sample_rate
        async with aclosing(self._service.speak(sentence.text)) as speech:
            while True:
                try:
                    async with asyncio.timeout(self._timeout):
                        samples = await anext(speech)
                except StopAsyncIteration:
                    break
                except TimeoutError as error:
                    raise SpeechError(f"nothing was spoken for {self._timeout:g} s") from error
                sentence.made_ms += 1000 * len(samples) / rate
                yield samples
        sentence.whole = True
