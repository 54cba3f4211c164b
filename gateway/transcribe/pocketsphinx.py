"""A recogniser on this machine, for what is known beforehand: `pocketsphinx:?phrases=yes,no,operator`.

It needs no account and no network: the extra `asr-local` brings an English model along. It tells apart what a grammar
lists, or finds keyphrases; it takes no dictation worth the name (8 in 10 words wrong, by measurement). Each call is cut
into utterances by the endpointer of the library, and an utterance is recognised whole, as it comes out empty too often
when it is recognised while it is spoken. The model is for 16 kHz: telephone sound is converted, and gives more errors.

The sink lives in a worker process, in which all calls share one decoder: an utterance takes it a hundredth of its own
length with a small grammar, and 130 MB whatever the number of calls.

Source: pocketsphinx 5.1 (`Decoder`, `Endpointer`), JSGF 1.0.
"""

import importlib.util
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from audio_codecs import Samples
from gateway.errors import SinkError
from gateway.media.frame import AudioFrame
from gateway.sinks.base import INBOUND, SinkSource, StreamInfo
from gateway.sinks.delivery import Declared, Delivery
from gateway.sinks.url import SinkConfig
from gateway.transcribe.segment import Segment, Word

__all__ = ["DELIVERY", "NAME", "Grammar", "LocalTranscriber", "local_source"]

NAME: Final = "pocketsphinx"

_RATE: Final = 16_000
_LONGEST: Final = 20 * _RATE * 2  # octets of one utterance
_PHRASE: Final = re.compile(r"[a-z][a-z' ]*")
_FRAMES: Final = 100  # of the decoder, a second
_NOISE: Final = np.random.default_rng(0).normal(0, 15, _RATE).round().astype(np.int32)  # -67 dBFS, one second
_STRICT: Final = 3  # of WebRTC's detector: the others take a telephone's noise for speech

DELIVERY: Final = Delivery(by="process", sample_rate=_RATE, frames=500, full="drop_oldest", open_timeout=30.0)
"""The model is loaded as the first call opens it."""


@dataclass(frozen=True, slots=True)
class Grammar:
    """What can be understood.

    Attributes:
        jsgf: A grammar in JSGF.
        keyphrases: Phrases that are found among other speech, one to a line, each with its threshold; instead of it.
    """

    jsgf: str = ""
    keyphrases: str = ""


def local_source(config: SinkConfig) -> SinkSource:
    """`pocketsphinx:`, with one of the options `phrases`, `grammar` (a file in JSGF), `keyphrases`.

    Phrases have commas between them. A keyphrase may have a threshold, `operator/1e-30`: higher finds less.

    Raises:
        ValueError: The options are wrong, or the extra is not installed.
    """
    grammar = _grammar_of(config)
    if importlib.util.find_spec(NAME) is None:
        raise ValueError("it wants the extra `asr-local`")
    unknown = [word for word in _words_of(grammar) if not _known(word)]
    if unknown:
        raise ValueError(f"the dictionary has no word {unknown[0]!r}")
    return Declared(partial(_open, grammar), DELIVERY)


def _grammar_of(config: SinkConfig) -> Grammar:
    config.only("phrases", "grammar", "keyphrases")
    if len(config.options) != 1:
        raise ValueError("it has one of the options phrases, grammar, keyphrases")
    ((kind, text),) = config.options.items()
    if kind == "grammar":
        try:
            return Grammar(jsgf=Path(text).read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"grammar: {error}") from error
    listed = [entry.strip().lower().partition("/") for entry in text.split(",") if entry.strip()]
    if not listed:
        raise ValueError(f"{kind} is empty")
    for phrase, slash, threshold in listed:
        if not _PHRASE.fullmatch(phrase) or (slash and kind == "phrases"):
            raise ValueError(f"{kind}: {phrase!r} is more than words")
        if slash:
            _check_threshold(threshold)
    if kind == "phrases":
        return Grammar(
            jsgf=f"#JSGF V1.0;\ngrammar it;\npublic <it> = {' | '.join(phrase for phrase, _, _ in listed)};\n"
        )
    return Grammar(keyphrases="".join(f"{phrase} /{threshold or '1e-40'}/\n" for phrase, _, threshold in listed))


def _check_threshold(text: str) -> None:
    try:
        threshold = float(text)
    except ValueError:
        threshold = 0.0
    if not 0 < threshold <= 1:
        raise ValueError(f"keyphrases: the threshold {text!r} is not above 0 and at most 1")


def _words_of(grammar: Grammar) -> list[str]:
    """Those that we have put there; a grammar from a file is checked as it is opened."""
    if grammar.keyphrases:
        return " ".join(line.partition(" /")[0] for line in grammar.keyphrases.splitlines()).split()
    if grammar.jsgf.startswith("#JSGF V1.0;\ngrammar it;\n"):
        return grammar.jsgf.rpartition("=")[2].replace("|", " ").replace(";", " ").split()
    return []


@lru_cache(maxsize=1)
def _dictionary() -> frozenset[str]:
    from pocketsphinx import get_model_path

    with Path(get_model_path("en-us/cmudict-en-us.dict")).open(encoding="utf-8") as lines:
        return frozenset(line.partition(" ")[0] for line in lines)


def _known(word: str) -> bool:
    return word in _dictionary()


class _Recogniser:
    """One decoder, for whoever has an utterance."""

    def __init__(self, grammar: Grammar) -> None:
        from pocketsphinx import Decoder

        self._lock = threading.Lock()
        # Without a language model, and without its log on standard error.
        self._decoder: Any = Decoder(lm=None, samprate=_RATE, loglevel="FATAL")
        if grammar.keyphrases:
            self._add_keyphrases(grammar.keyphrases)
        else:
            self._decoder.add_jsgf_string("it", grammar.jsgf)
        self._decoder.activate_search("it")

    def understand(self, sound: bytes) -> list[tuple[str, float, float]]:
        """The words of an utterance, each with its place in seconds."""
        with self._lock:
            decoder = self._decoder
            decoder.start_utt()
            decoder.process_raw(sound, no_search=False, full_utt=True)
            decoder.end_utt()
            if decoder.hyp() is None:
                return []
            found = [(segment.word, segment.start_frame, segment.end_frame) for segment in decoder.seg()]
        return [
            (word.partition("(")[0].strip(), start / _FRAMES, (end + 1) / _FRAMES)
            for word, start, end in found
            if word[:1] not in "<[("
        ]

    def _add_keyphrases(self, keyphrases: str) -> None:
        import tempfile

        with tempfile.NamedTemporaryFile("w", suffix=".kws", encoding="utf-8") as file:  # it reads files only
            file.write(keyphrases)
            file.flush()
            self._decoder.add_kws("it", file.name)


_making: Final = threading.Lock()


@lru_cache(maxsize=1)
def _make_recogniser(grammar: Grammar) -> _Recogniser:
    try:
        return _Recogniser(grammar)
    except (RuntimeError, ValueError) as error:
        raise SinkError(f"it does not take the grammar: {error}") from error


def _recogniser(grammar: Grammar) -> _Recogniser:
    """The one of this process."""
    with _making:
        return _make_recogniser(grammar)


@contextmanager
def _open(grammar: Grammar, info: StreamInfo) -> Iterator["LocalTranscriber"]:
    """Open the sink of one call, in the worker process."""
    transcriber = LocalTranscriber(_recogniser(grammar), info)
    yield transcriber
    transcriber.finish()


def _on_a_line(samples: Samples, position: int) -> bytes:
    """The sound with a telephone line's faint noise: from digital silence the library often hears nothing."""
    noise = _NOISE[np.arange(position, position + len(samples)) % len(_NOISE)]
    return (samples.astype(np.int32) + noise).clip(-32768, 32767).astype("<i2").tobytes()


class LocalTranscriber:
    """The sink of one call: finds the utterances, and tells what they are.

    Args:
        recogniser: Understands them.
        info: The stream.
    """

    tracks = INBOUND

    def __init__(self, recogniser: _Recogniser, info: StreamInfo) -> None:
        self._recogniser = recogniser
        self._info = info
        self._finals = 0
        self._unclear = 0
        self._position = 0  # of the next sample
        self._octets = bytearray()  # that the endpointer has not heard
        self._speech = bytearray()  # of the utterance that goes on
        self._begin(0)

    def write(self, frame: AudioFrame) -> None:
        """Take one frame."""
        if frame.timestamp != self._position:
            self.finish()
            self._begin(frame.timestamp)
        self._position = frame.timestamp + len(frame.samples)
        self._octets += _on_a_line(frame.samples, frame.timestamp)
        size = self._endpointer.frame_bytes
        while len(self._octets) >= size:
            piece = bytes(self._octets[:size])
            del self._octets[:size]
            speech = self._endpointer.process(piece)
            if speech is not None:
                if not self._speech:
                    self._started = self._origin + self._endpointer.speech_start
                self._speech += speech
            if self._speech and (not self._endpointer.in_speech or len(self._speech) >= _LONGEST):
                self._understand()

    def finish(self) -> None:
        """No more comes without a hole: what is being said ends here."""
        if self._endpointer.in_speech:
            self._speech += self._endpointer.end_stream(bytes(self._octets) or bytes(2)) or b""
        if self._speech:
            self._understand()

    def describe(self) -> dict[str, Any]:
        """Counters, JSON-ready."""
        return {"transcriber": NAME, "finals": self._finals, "unclear": self._unclear}

    def _begin(self, timestamp: int) -> None:
        from pocketsphinx import Endpointer

        self._endpointer: Any = Endpointer(vad_mode=_STRICT, sample_rate=_RATE)
        self._origin = timestamp / _RATE
        self._started = self._origin
        self._octets.clear()

    def _understand(self) -> None:
        sound, started = bytes(self._speech), self._started
        self._speech.clear()
        self._started = started + len(sound) / 2 / _RATE
        words = [Word(text, started + start, started + end) for text, start, end in self._recogniser.understand(sound)]
        if not words:
            self._unclear += 1
            return
        self._finals += 1
        segment = Segment(
            text=" ".join(word.text for word in words),
            start=words[0].start,
            end=words[-1].end,
            final=True,
            words=words,
            transcriber=NAME,
        )
        self._info.publish(segment.event_type, segment.describe())
