"""Deepgram's live transcription: `wss://api.deepgram.com/v1/listen`.

Binary audio in any encoding and rate; `Results` for every stretch of the stream, one after another, empty where nobody
speaks. A stretch that `is_final` does not change any more and ends at `start + duration`, which so is what may be
forgotten. Without audio it wants a `KeepAlive` every three to five seconds, and closes after ten (NET-0001).
`CloseStream` brings the rest, then `Metadata`, then the end. An empty binary message would end the stream as well.

Source: developers.deepgram.com, reference/speech-to-text/listen-streaming (AsyncAPI), docs/audio-keep-alive,
docs/recovering-from-connection-errors-and-timeouts-when-live-streaming-audio (at most 1.25 times real time); types of
deepgram-sdk 7.17. API v1, read in November 2026.
"""

from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlencode

import msgspec

from gateway.transcribe.audio import AudioFormat
from gateway.transcribe.segment import Word
from gateway.transcribe.service import Acknowledged, Finished, Heard, Message, Request, ServiceEvent

__all__ = ["Deepgram"]

_ENCODINGS: Final = {"PCMU": "mulaw", "PCMA": "alaw", "L16": "linear16"}


class _Word(msgspec.Struct):
    word: str
    start: float
    end: float
    confidence: float | None = None
    punctuated_word: str | None = None


class _Alternative(msgspec.Struct):
    transcript: str = ""
    confidence: float | None = None
    words: list[_Word] = []


class _Channel(msgspec.Struct):
    alternatives: list[_Alternative] = []


class _Message(msgspec.Struct):
    type: str
    start: float = 0.0
    duration: float = 0.0
    is_final: bool | None = None
    channel: _Channel | list[int] | None = None  # other messages have the number of a channel here


class Deepgram:
    """See `Service`.

    Args:
        key: Of the account.
        url: Without its query.
        options: Of the query, as Deepgram names them.
    """

    name = "deepgram"
    variable = "DEEPGRAM_API_KEY"
    address = "wss://api.deepgram.com/v1/listen"
    options = (
        "model",
        "language",
        "punctuate",
        "smart_format",
        "numerals",
        "endpointing",
        "interim_results",
        "keyterm",
        "keywords",
        "profanity_filter",
        "redact",
        "tag",
        "mip_opt_out",
    )
    waits = False
    keep_alive = 4.0
    pace = 1.25

    def __init__(self, *, key: str, url: str, options: Mapping[str, str]) -> None:
        self._key = key
        self._url = url
        self._options = {"model": "nova-3", "interim_results": "true", "punctuate": "true", **options}

    def audio_format(self, encoding: str, sample_rate: int) -> AudioFormat:
        """G.711 as it is, anything else as L16 of its own rate."""
        match encoding:
            case "PCMU" | "PCMA":
                return AudioFormat(encoding, sample_rate)
            case _:
                return AudioFormat("L16", sample_rate)

    def request(self, audio: AudioFormat) -> Request:
        """All options are in the query."""
        query = {"encoding": _ENCODINGS[audio.encoding], "sample_rate": audio.sample_rate, "channels": 1}
        return Request(f"{self._url}?{urlencode(query | self._options)}", {"Authorization": f"Token {self._key}"})

    def session(self, audio: AudioFormat) -> "_Session":
        """One connection."""
        del audio
        return _Session()

    def refusal(self, code: int) -> str | None:
        """1008, DATA-0000: it cannot decode what it is sent."""
        return "it does not understand the audio" if code == 1008 else None


class _Session:
    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(_Message)

    def begin(self) -> Iterable[Message]:
        return ()

    def audio(self, payload: bytes, until: float) -> Message:
        del until
        return payload

    def keep_alive(self) -> Message:
        return '{"type":"KeepAlive"}'

    def finish(self) -> Iterable[Message]:
        return ('{"type":"CloseStream"}',)

    def receive(self, message: Message) -> Iterable[ServiceEvent]:
        told = self._decoder.decode(message)
        if told.type == "Metadata":
            yield Finished()
        if told.type != "Results":
            return
        end = told.start + told.duration
        if isinstance(told.channel, _Channel) and told.channel.alternatives:
            best = told.channel.alternatives[0]
            words = [
                Word(word.punctuated_word or word.word, word.start, word.end, word.confidence) for word in best.words
            ]
            yield Heard(
                best.transcript,
                words[0].start if words else told.start,
                words[-1].end if words else end,
                final=bool(told.is_final),
                confidence=best.confidence,
                words=words,
            )
        if told.is_final:
            yield Acknowledged(end)

    def closed(self) -> Iterable[ServiceEvent]:
        return ()
