"""A vosk-server of one's own: `ws://host:2700`.

Text with the configuration first, then binary audio, int16 little-endian of any rate. Each audio message has one
answer, in order: `partial`, or `text` with `result` (the words) as an utterance ends; so what is understood then ends
with the very message that was answered. `{"eof" : 1}`, in this very spelling, brings the rest and the end.

Source: github.com/alphacep/vosk-server, websocket/asr_server.py at 0548fc3. It has no versions, and no keys: a 401 is
that of a proxy before it.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from gateway.transcribe.audio import AudioFormat
from gateway.transcribe.segment import Word
from gateway.transcribe.service import Acknowledged, Finished, Heard, Message, Request, ServiceEvent, mean

__all__ = ["Vosk"]


class _Word(msgspec.Struct):
    word: str
    start: float
    end: float
    conf: float | None = None


class _Message(msgspec.Struct):
    partial: str | None = None
    text: str | None = None
    result: list[_Word] = []


class Vosk:
    """See `Service`.

    Args:
        key: There is none.
        url: Of the server.
        options: `phrase_list`: words or phrases it is to know only, with commas between them.
    """

    name = "vosk"
    variable = None
    address = "ws://127.0.0.1:2700"
    options = ("phrase_list",)
    waits = False
    keep_alive = float("inf")
    pace = float("inf")

    def __init__(self, *, key: str, url: str, options: Mapping[str, str]) -> None:
        del key
        self._url = url
        self._phrases = [phrase.strip() for phrase in options.get("phrase_list", "").split(",") if phrase.strip()]

    def audio_format(self, encoding: str, sample_rate: int) -> AudioFormat:
        """L16 of its own rate."""
        del encoding
        return AudioFormat("L16", sample_rate)

    def request(self, audio: AudioFormat) -> Request:
        """The address."""
        del audio
        return Request(self._url)

    def session(self, audio: AudioFormat) -> "_Session":
        """One connection."""
        config: dict[str, Any] = {"sample_rate": audio.sample_rate, "words": True}
        if self._phrases:
            config["phrase_list"] = self._phrases
        return _Session(config)

    def refusal(self, code: int) -> str | None:
        """It has no such codes."""
        del code
        return None


class _Session:
    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self._decoder = msgspec.json.Decoder(_Message)
        self._unanswered: deque[float] = deque()
        self._begin = 0.0  # of the utterance: where the one before ended
        self._sent = 0.0
        self._finishing = False

    def begin(self) -> Iterable[Message]:
        return (msgspec.json.encode({"config": self._config}).decode(),)

    def audio(self, payload: bytes, until: float) -> Message:
        self._unanswered.append(until)
        self._sent = until
        return payload

    def keep_alive(self) -> None:
        return None

    def finish(self) -> Iterable[Message]:
        self._finishing = True
        return ('{"eof" : 1}',)

    def receive(self, message: Message) -> Iterable[ServiceEvent]:
        told = self._decoder.decode(message)
        last = self._finishing and not self._unanswered
        until = self._unanswered.popleft() if self._unanswered else self._sent
        if told.text is not None:
            words = [Word(word.word, word.start, word.end, word.conf) for word in told.result]
            start, end = (words[0].start, words[-1].end) if words else (self._begin, until)
            yield Heard(
                told.text, start, end, final=True, confidence=mean(word.confidence for word in words), words=words
            )
            yield Acknowledged(until)
            self._begin = until
        elif told.partial:
            yield Heard(told.partial, self._begin, until, final=False)
        if last:
            yield Finished()

    def closed(self) -> Iterable[ServiceEvent]:
        return ()
