"""OpenAI's Realtime API for transcription only: `wss://api.openai.com/v1/realtime?intent=transcription`.

Text both ways; sound in base64, G.711 or 24 kHz. The service finds out by itself where an utterance begins and ends
(`turn_detection`): `speech_started` and `speech_stopped` have the places, in milliseconds of what was sent, and the
item's id; `delta` adds to its text, `completed` has all of it. Items may be completed in another order than they were
said in; they are told in order, so that what is understood has no holes. In the end some silence closes an utterance
that is still going on, and a `commit`, answered in any case, tells that everything before it was looked at.

Source: developers.openai.com/api, guides/realtime-transcription and reference/resources/realtime; types of openai 3.54
(openai.types.realtime). The API without `OpenAI-Beta`, read in November 2026. Models that have no turn detection
(`gpt-live-transcribe`, `gpt-realtime-whisper`) are not supported.
"""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from gateway.transcribe.audio import AudioFormat
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
)

__all__ = ["OpenAI"]

_FORMATS: Final[Mapping[str, dict[str, Any]]] = {
    "PCMU": {"type": "audio/pcmu"},
    "PCMA": {"type": "audio/pcma"},
    "L16": {"type": "audio/pcm", "rate": 24_000},
}
_WITHOUT_TURNS: Final = ("gpt-live-transcribe", "gpt-realtime-whisper")
_REFUSALS: Final = {
    "invalid_api_key": "it does not take the key",
    "insufficient_quota": "the account has no credit",
    "model_not_found": "it has no such model, or not for this key",
}
_NOTHING_TO_COMMIT: Final = "input_audio_buffer_commit_empty"
_CLOSING_SILENCE: Final = 0.8  # seconds; more than the 0.5 after which an utterance is over by default

_TRANSCRIPTION: Final = "conversation.item.input_audio_transcription."


class _Error(msgspec.Struct):
    type: str = ""
    code: str | None = None
    param: str | None = None


class _Message(msgspec.Struct):
    type: str
    item_id: str = ""
    audio_start_ms: int = 0
    audio_end_ms: int = 0
    delta: str | None = None
    transcript: str = ""
    error: _Error | None = None


class OpenAI:
    """See `Service`.

    Args:
        key: Of the project.
        url: With its query.
        options: `model`, `language`, `prompt`; `silence_ms` and `threshold` of the turn detection, or `eagerness` for
            the one that listens to the meaning.
    """

    name = "openai"
    variable = "OPENAI_API_KEY"
    address = "wss://api.openai.com/v1/realtime?intent=transcription"
    options = ("model", "language", "prompt", "silence_ms", "threshold", "eagerness")
    waits = True
    keep_alive = float("inf")
    pace = float("inf")

    def __init__(self, *, key: str, url: str, options: Mapping[str, str]) -> None:
        self._key = key
        self._url = url
        self._transcription = {"model": "gpt-transcribe"} | {
            name: options[name] for name in ("model", "language", "prompt") if name in options
        }
        if self._transcription["model"] in _WITHOUT_TURNS:
            raise ValueError(f"{self._transcription['model']} does not find out where an utterance ends")
        self._turns = _turn_detection(options)

    def audio_format(self, encoding: str, sample_rate: int) -> AudioFormat:
        """G.711 for what has 8 kHz, else L16 of 24 kHz."""
        if sample_rate == 8000:
            return AudioFormat("PCMA" if encoding == "PCMA" else "PCMU", 8000)
        return AudioFormat("L16", 24_000)

    def request(self, audio: AudioFormat) -> Request:
        """All options are in the first message."""
        del audio
        return Request(self._url, {"Authorization": f"Bearer {self._key}"})

    def session(self, audio: AudioFormat) -> "_Session":
        """One connection."""
        sound = {
            "format": _FORMATS[audio.encoding],
            "transcription": self._transcription,
            "turn_detection": self._turns,
        }
        return _Session({"type": "transcription", "audio": {"input": sound}}, audio)

    def refusal(self, code: int) -> str | None:
        """It says why before it closes."""
        del code
        return None


def _turn_detection(options: Mapping[str, str]) -> dict[str, Any]:
    if "eagerness" in options:
        if "silence_ms" in options or "threshold" in options:
            raise ValueError("eagerness does not go together with silence_ms and threshold")
        return {"type": "semantic_vad", "eagerness": options["eagerness"]}
    turns: dict[str, Any] = {"type": "server_vad"}
    try:
        if "silence_ms" in options:
            turns["silence_duration_ms"] = int(options["silence_ms"])
        if "threshold" in options:
            turns["threshold"] = float(options["threshold"])
    except ValueError as error:
        raise ValueError(f"silence_ms and threshold are numbers: {error}") from error
    return turns


@dataclass(slots=True)
class _Item:
    """One utterance."""

    start: float
    end: float | None = None
    text: str = ""
    completed: bool = False


class _Session:
    def __init__(self, settings: dict[str, Any], audio: AudioFormat) -> None:
        self._settings = settings
        self._audio = audio
        self._decoder = msgspec.json.Decoder(_Message)
        self._items: dict[str, _Item] = {}  # in the order of their beginning
        self._sent = 0.0
        self._ready = False
        self._committed = False  # our own commit was answered

    def begin(self) -> Iterable[Message]:
        return (_text({"type": "session.update", "session": self._settings}),)

    def audio(self, payload: bytes, until: float) -> Message:
        self._sent = until
        return _text({"type": "input_audio_buffer.append", "audio": base64.b64encode(payload).decode()})

    def keep_alive(self) -> None:
        return None

    def finish(self) -> Iterable[Message]:
        yield self.audio(self._audio.silence(_CLOSING_SILENCE), self._sent)
        yield _text({"type": "input_audio_buffer.commit"})

    def receive(self, message: Message) -> Iterable[ServiceEvent]:
        told = self._decoder.decode(message)
        item = self._items.get(told.item_id)
        match told.type.removeprefix(_TRANSCRIPTION):
            case "session.updated":
                self._ready = True
                yield Ready()
            case "input_audio_buffer.speech_started":
                self._items[told.item_id] = _Item(told.audio_start_ms / 1000)
            case "input_audio_buffer.speech_stopped" if item is not None:
                item.end = told.audio_end_ms / 1000
            case "input_audio_buffer.committed":
                self._note_committed(told.item_id)
                yield from self._finished()
            case "delta" if item is not None and told.delta:
                item.text += told.delta
                yield Heard(item.text, item.start, self._end(item), final=False)
            case "completed" if item is not None:
                item.text, item.completed = told.transcript, True
                yield from self._completed()
                yield from self._finished()
            case "failed" if item is not None:
                _raise(told.error or _Error())
            case "error":
                error = told.error or _Error()
                if error.code != _NOTHING_TO_COMMIT:
                    _raise(error, refused=not self._ready and error.type == "invalid_request_error")
                self._committed = True
                yield from self._finished()

    def closed(self) -> Iterable[ServiceEvent]:
        return ()

    def _note_committed(self, item_id: str) -> None:
        """What was not announced as speech is the commit of our own: it may hold the utterance that goes on."""
        item = self._items.get(item_id)
        if item is None:
            going_on = [name for name, other in self._items.items() if other.end is None]
            if going_on:
                self._items[item_id] = item = self._items.pop(going_on[-1])
            self._committed = True
        if item is not None and item.end is None:
            item.end = self._sent
            self._committed = True

    def _completed(self) -> Iterable[ServiceEvent]:
        """Those that are completed, up to the first that is not."""
        while self._items and (item := next(iter(self._items.values()))).completed:
            end = self._end(item)
            del self._items[next(iter(self._items))]
            yield Heard(item.text, item.start, end, final=True)
            yield Acknowledged(end)

    def _finished(self) -> Iterable[ServiceEvent]:
        if self._committed and not self._items:
            yield Finished()

    def _end(self, item: _Item) -> float:
        return self._sent if item.end is None else item.end


def _raise(error: _Error, *, refused: bool = False) -> None:
    """Without the message: it shows a part of a wrong key."""
    if (reason := _REFUSALS.get(error.code or "")) is not None:
        raise ServiceRefusedError(f"openai says {error.code}: {reason}")
    said = f"{error.code or error.type or 'nothing more'}{f' ({error.param})' if error.param else ''}"
    if refused:
        raise ServiceRefusedError(f"openai does not take the options: {said[:100]}")
    raise ServiceError(f"it says {said[:100]}")


def _text(message: Mapping[str, Any]) -> str:
    return msgspec.json.encode(message).decode()
