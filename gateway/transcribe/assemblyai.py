"""AssemblyAI's Universal Streaming, v3: `wss://streaming.assemblyai.com/v3/ws`.

Binary audio, 50 to 1000 ms a message, not much faster than it was spoken (3007). `Begin` first; then a `Turn` for
each change of what one person says without a pause, whole each time: final with `end_of_turn` and, as `format_turns`
is asked for, once it `turn_is_formatted`. Times are milliseconds. What is understood ends with the last word of the
last turn: silence has no message. `Terminate` brings the rest and `Termination`; a session costs until then, whatever
was sent.

Source: assemblyai.com/docs, streaming/message-sequence, streaming/common-session-errors-and-closures; types of
assemblyai 1.8.2 (assemblyai.streaming.v3, `AssemblyAI-Version: 2025-05-12`). API v3, read in November 2026.
"""

from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlencode

import msgspec

from gateway.transcribe.audio import AudioFormat
from gateway.transcribe.segment import Word
from gateway.transcribe.service import (
    Acknowledged,
    Finished,
    Heard,
    Message,
    Ready,
    Request,
    ServiceError,
    ServiceEvent,
    ServiceRefusedError,
    mean,
)

__all__ = ["AssemblyAI"]

_REFUSALS: Final = {
    1008: "it does not take the key, or the account may not do this",
    3006: "it does not take the options",
    4001: "it does not take the key",
    4002: "the account has no credit",
    4003: "the account has no credit",
}
_PRO_MODELS: Final = ("u3", "universal-3")  # these format each turn by themselves


class _Word(msgspec.Struct):
    text: str
    start: int
    end: int
    confidence: float | None = None
    word_is_final: bool = True


class _Message(msgspec.Struct):
    type: str = ""
    transcript: str = ""
    end_of_turn: bool = False
    turn_is_formatted: bool = False
    words: list[_Word] = []
    error: str | None = None
    error_code: int | None = None


class AssemblyAI:
    """See `Service`.

    Args:
        key: Of the account.
        url: Without its query.
        options: Of the query, as AssemblyAI names them; a list is JSON.
    """

    name = "assemblyai"
    variable = "ASSEMBLYAI_API_KEY"
    address = "wss://streaming.assemblyai.com/v3/ws"
    options = (
        "speech_model",
        "language_codes",
        "keyterms_prompt",
        "prompt",
        "format_turns",
        "min_turn_silence",
        "max_turn_silence",
        "end_of_turn_confidence_threshold",
        "vad_threshold",
        "filter_profanity",
        "domain",
        "mode",
    )
    waits = True
    keep_alive = float("inf")
    pace = 1.25

    def __init__(self, *, key: str, url: str, options: Mapping[str, str]) -> None:
        self._key = key
        self._url = url
        self._options = {"speech_model": "universal-streaming-multilingual", "format_turns": "true", **options}
        pro = self._options["speech_model"].startswith(_PRO_MODELS)
        self._formatted = self._options["format_turns"] == "true" and not pro

    def audio_format(self, encoding: str, sample_rate: int) -> AudioFormat:
        """PCMU as it is, anything else as L16 of its own rate."""
        return AudioFormat("PCMU" if encoding == "PCMU" else "L16", sample_rate)

    def request(self, audio: AudioFormat) -> Request:
        """All options are in the query."""
        encoding = "pcm_mulaw" if audio.encoding == "PCMU" else "pcm_s16le"
        query = {"sample_rate": str(audio.sample_rate), "encoding": encoding, **self._options}
        return Request(f"{self._url}?{urlencode(query)}", {"Authorization": self._key})

    def session(self, audio: AudioFormat) -> "_Session":
        """One connection."""
        del audio
        return _Session(formatted=self._formatted)

    def refusal(self, code: int) -> str | None:
        """By its own close codes."""
        return _REFUSALS.get(code)


class _Session:
    def __init__(self, *, formatted: bool) -> None:
        self._formatted = formatted
        self._decoder = msgspec.json.Decoder(_Message)

    def begin(self) -> Iterable[Message]:
        return ()

    def audio(self, payload: bytes, until: float) -> Message:
        del until
        return payload

    def keep_alive(self) -> None:
        return None

    def finish(self) -> Iterable[Message]:
        return ('{"type":"Terminate"}',)

    def receive(self, message: Message) -> Iterable[ServiceEvent]:
        told = self._decoder.decode(message)
        match told.type:
            case "Begin":
                yield Ready()
            case "Turn" if told.words:
                yield from self._turn(told)
            case "Termination":
                yield Finished()
            case _ if told.error is not None:
                if (reason := _REFUSALS.get(told.error_code or 0)) is not None:
                    raise ServiceRefusedError(f"assemblyai says {told.error_code}: {reason}")
                raise ServiceError(f"it says {told.error_code}")

    def closed(self) -> Iterable[ServiceEvent]:
        return ()

    def _turn(self, told: _Message) -> Iterable[ServiceEvent]:
        final = told.end_of_turn and (told.turn_is_formatted or not self._formatted)
        words = [Word(word.text, word.start / 1000, word.end / 1000, word.confidence) for word in told.words]
        # The transcript of a turn that goes on holds its final words only.
        text = told.transcript if told.end_of_turn else " ".join(word.text for word in words)
        start, end = words[0].start, words[-1].end
        yield Heard(text, start, end, final, mean(word.confidence for word in words), words)
        if final:
            yield Acknowledged(end)
