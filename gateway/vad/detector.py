"""A sink that tells when the person on the leg begins to speak, and when that is over."""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import numpy as np

from audio_codecs import Samples
from gateway.items import SpeechEnded, SpeechStarted
from gateway.media.frame import AudioFrame
from gateway.sinks.base import INBOUND
from gateway.sinks.delivery import Delivery
from gateway.vad.base import VoiceDetector
from gateway.vad.gate import Change, SpeechGate

__all__ = ["DEFAULT_SILENCE", "SpeechDetector"]

DEFAULT_SILENCE: Final = 0.5
"""Seconds without speech that end it."""

SpeechItem: TypeAlias = SpeechStarted | SpeechEnded


class SpeechDetector:
    """Listens by plain calls in the frame's own way, so what it tells has waited for nothing.

    Args:
        vad: Judges the sound.
        tell: Told of each beginning and end, from within `write`; must return at once.
        inbound_sample_rate: Of the call, in Hz: what positions count in.
        silence: Seconds without speech that end it.

    Raises:
        ValueError: `silence` is out of range.
    """

    tracks = INBOUND

    def __init__(
        self,
        vad: VoiceDetector,
        tell: Callable[[SpeechItem], None],
        *,
        inbound_sample_rate: int,
        silence: float = DEFAULT_SILENCE,
    ) -> None:
        if not 0.05 <= silence <= 10:
            raise ValueError(f"silence is {silence:g} s, want 0.05 to 10")
        converted = vad.sample_rate != inbound_sample_rate
        self.delivery = Delivery(sample_rate=vad.sample_rate if converted else None)
        self._vad = vad
        self._hop = vad.hop
        self._tell = tell
        self._inbound_sample_rate = inbound_sample_rate
        self._gate = SpeechGate(vad.hop / vad.sample_rate, silence=silence)
        self._origin: int | None = None  # of the first hop, in samples at the detector's rate
        self._rest: Samples = np.zeros(0, np.int16)
        self._stretches = 0

    def write(self, frame: AudioFrame) -> None:
        """Judge the next frame."""
        samples = frame.samples
        if self._origin is None:
            self._origin = frame.timestamp
        if frame.concealed and not samples.any():  # nobody needs to judge it, and it may be long
            samples = self._skip(samples)
        if len(self._rest):
            samples = np.concatenate((self._rest, samples))
        hop = self._hop
        whole = len(samples) - len(samples) % hop
        for start in range(0, whole, hop):
            change = self._gate.push(speech=self._vad.is_speech(samples[start : start + hop]))
            if change is not None:
                self._tell_of(change)
        self._rest = samples[whole:]

    def describe(self) -> dict[str, Any]:
        """How many stretches of speech there were, for the call's record."""
        return {"detector": type(self._vad).__name__, "speech_stretches": self._stretches}

    def _skip(self, samples: Samples) -> Samples:
        """Pass over the whole hops of a hole; returns what is left of it."""
        hops, left = divmod(len(samples), self._hop)
        if hops:
            self._vad.reset()
            if (change := self._gate.skip(hops)) is not None:
                self._tell_of(change)
        return samples[:left]

    def _tell_of(self, change: Change) -> None:
        kind, hop = change
        assert self._origin is not None
        position = (self._origin + hop * self._hop) * self._inbound_sample_rate // self._vad.sample_rate
        if kind == "started":
            self._stretches += 1
            self._tell(SpeechStarted(position))
        else:
            self._tell(SpeechEnded(position))
