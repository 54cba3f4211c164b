"""The person on the phone, who follows a script; no I/O, and no clock but the sound's own.

Every 20 ms the person first hears what reached the ear, then speaks the next frame. All times are counted in such
frames, so they are the line's and not the machine's. Each step leaves a result: a failed one ends the script, and the
person hangs up.
"""

from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

from audio_codecs import Samples, open_codec
from gateway.media.tones import make_tones
from gateway.simulator.script import HangUp, Interrupt, Listen, Press, Say, Script, Step, Wait
from gateway.simulator.wav import read_wav

__all__ = ["FRAME_SECONDS", "Person", "StepResult"]

FRAME_SECONDS: Final = 0.02

_SPEECH_DBFS: Final = -45.0
_SPEECH_FRAMES: Final = 3
_SILENCE_DBFS: Final = -60.0
_WAIT_FOR_CLEAR: Final = 10.0
_MAX_HEARD_SECONDS: Final = 600

_Speech: TypeAlias = Generator[Samples, None, str | None]
"""A step under way: gives the frames to be spoken; returns what went wrong, None for nothing."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """How one step went.

    Attributes:
        number: Of the step, from 1.
        verb: What it was.
        began: Seconds since the person was first heard.
        took: Seconds.
        failure: Why it failed; None if it did not.
    """

    number: int
    verb: str
    began: float
    took: float
    failure: str | None

    def describe(self) -> dict[str, Any]:
        """The result as JSON-ready values."""
        return {
            "step": self.number,
            "verb": self.verb,
            "began": round(self.began, 3),
            "took": round(self.took, 3),
            "failure": self.failure,
        }


class Person:
    """Follows one script on one line.

    Args:
        script: What to do.
        sample_rate: Of the line, in Hz.

    Attributes:
        note: Told of each step that is done: a kind and its fields.
        results: Of the steps done so far.
        finished: The person has hung up.

    Raises:
        ValueError: A sound of the script is no WAV file of this line's rate.
    """

    def __init__(
        self,
        script: Script,
        *,
        sample_rate: int,
    ) -> None:
        self.note: Callable[..., None] = lambda kind, **fields: None
        self.results: list[StepResult] = []
        self.finished = False
        self._rate = sample_rate
        self._frame = round(sample_rate * FRAME_SECONDS)
        self._silence = np.zeros(self._frame, np.int16)
        self._sounds = _read_sounds(script.sounds, sample_rate)
        self._ear = _Ear(sample_rate)
        self._pressed: list[str] = []
        self._frames = 0
        self._spoke_at = 0  # when the last speech or key began, in frames heard
        self._life = self._live(script)

    def hear(self, samples: Samples) -> None:
        """Hear the next 20 ms, int16 of shape (n,)."""
        self._ear.hear(samples)

    def cleared(self) -> None:
        """The application has sent `clear`."""
        self._ear.cleared_at = self._ear.frames

    def speak(self) -> Samples:
        """The next 20 ms, int16; silence once the person has hung up."""
        frame = next(self._life, None)
        self._frames += 1
        if frame is None:
            self.finished = True
            return self._silence
        return frame

    def take_pressed(self) -> list[str]:
        """The keys whose tones began in the frames spoken since the last call."""
        pressed, self._pressed = self._pressed, []
        return pressed

    def describe(self) -> list[dict[str, Any]]:
        """The results so far, as JSON-ready values."""
        return [result.describe() for result in self.results]

    @property
    def failure(self) -> str | None:
        """Why the script failed; None if it did not, or not yet."""
        for result in self.results:
            if result.failure is not None:
                return f"step {result.number} ({result.verb}): {result.failure}"
        return None

    def _live(self, script: Script) -> Generator[Samples, None, None]:
        for number, step in enumerate(script.steps, 1):
            began = self._frames
            failure = yield from self._do(step)
            verb = next(iter(type(step).model_fields))
            took = (self._frames - began) * FRAME_SECONDS
            result = StepResult(number, verb, began * FRAME_SECONDS, took, failure)
            self.results.append(result)
            self.note("person", **result.describe())
            if failure is not None or isinstance(step, HangUp):
                return

    def _do(self, step: Step) -> _Speech:
        match step:
            case Say(say=name):
                return (yield from self._say(self._sounds[name]))
            case Wait(wait=seconds):
                return (yield from self._keep_silent(seconds))
            case Press():
                return (yield from self._press(step))
            case Interrupt():
                failure = yield from self._wait_for(self._ear.hears_speech, "no speech was heard", step.within)
                if failure is None:
                    yield from self._keep_silent(step.after)
                    yield from self._say(self._sounds[step.interrupt])
                return failure
            case Listen():
                return (yield from self._listen(step))
            case HangUp():
                return None

    def _say(self, samples: Samples) -> _Speech:
        """Speak in frames; the last one is filled up with silence."""
        self._spoke_at = self._ear.frames
        for start in range(0, len(samples), self._frame):
            frame = samples[start : start + self._frame]
            if len(frame) < self._frame:
                frame = np.concatenate((frame, self._silence[len(frame) :]))
            yield frame
        return None

    def _keep_silent(self, seconds: float) -> _Speech:
        for _ in range(round(seconds / FRAME_SECONDS)):
            yield self._silence
        return None

    def _press(self, step: Press) -> _Speech:
        for key in step.press:
            self._pressed.append(key)
            for sound in make_tones(key, self._rate, duration=step.tone_ms / 1000, gap=step.gap_ms / 1000):
                yield from self._say(sound)
        return None

    def _wait_for(self, happened: Callable[[], bool], failure: str, within: float) -> _Speech:
        for _ in range(round(within / FRAME_SECONDS) + 1):
            if happened():
                return None
            yield self._silence
        return f"{failure} within {within:g} s"

    def _listen(self, step: Listen) -> _Speech:
        ear = self._ear
        since = ear.frames
        if step.after == "clear":
            failure = yield from self._wait_for(
                lambda: ear.cleared_at >= self._spoke_at, "no `clear` was sent", _WAIT_FOR_CLEAR
            )
            if failure is not None:
                return failure
            since = ear.cleared_at
        match step.listen:
            case "speech":
                return (yield from self._wait_for(ear.hears_speech, "no speech was heard", step.within))
            case "silence":
                return (yield from self._listen_for_silence(since, step))
            case "audio":
                assert step.file is not None
                heard = ear.search(_codings(self._sounds[step.file]))
                return (yield from self._wait_for(heard, f"{step.file} was not heard", step.within))

    def _listen_for_silence(self, since: int, step: Listen) -> _Speech:
        lasting = max(1, round(step.lasting / FRAME_SECONDS))
        latest = since + round(step.within / FRAME_SECONDS)
        while True:
            began = max(since, self._ear.frames - self._ear.silent_frames)
            if began > latest:
                return f"no silence began within {step.within:g} s"
            if self._ear.frames - began >= lasting:
                return None
            yield self._silence


class _Ear:
    """What was heard so far: loud or silent, and the sound itself."""

    def __init__(self, sample_rate: int) -> None:
        self.frames = 0
        self.silent_frames = 0  # in a row, until now
        self.cleared_at = -1  # in frames heard; none was yet
        self._loud: deque[bool] = deque(maxlen=_SPEECH_FRAMES)
        self._sound = bytearray()
        self._most = 2 * sample_rate * _MAX_HEARD_SECONDS

    def hear(self, samples: Samples) -> None:
        self.frames += 1
        level = _dbfs(samples)
        self._loud.append(level > _SPEECH_DBFS)
        self.silent_frames = self.silent_frames + 1 if level < _SILENCE_DBFS else 0
        if len(self._sound) < self._most:
            self._sound += samples.tobytes()

    def hears_speech(self) -> bool:
        return len(self._loud) == _SPEECH_FRAMES and all(self._loud)

    def search(self, wanted: Sequence[Samples]) -> Callable[[], bool]:
        """Make the question whether exactly one of these sounds was heard; each time only what is new is searched."""
        sought = [sound.tobytes() for sound in wanted]
        start = 0

        def heard() -> bool:
            nonlocal start
            for octets in sought:
                at = self._sound.find(octets, start)
                while at % 2 and at >= 0:  # found across two samples
                    at = self._sound.find(octets, at + 1)
                if at >= 0:
                    return True
            start = max(0, len(self._sound) - len(sought[0]) + 2)
            return False

        return heard


def _codings(samples: Samples) -> list[Samples]:
    """The sound as the codecs leave it that change no more the second time."""
    laws = [open_codec(encoding, 8000) for encoding in ("PCMU", "PCMA")]
    return [samples, *(law.decode(law.encode(samples)) for law in laws)]


def _dbfs(samples: Samples) -> float:
    """Level of these samples in dB below a full-scale square wave; -inf for digital silence."""
    if not len(samples):
        return -np.inf
    power = float(np.mean(samples.astype(np.float32) ** 2)) / 32768.0**2
    return float(10 * np.log10(power)) if power else -np.inf


def _read_sounds(sounds: Mapping[str, bytes], sample_rate: int) -> dict[str, Samples]:
    read: dict[str, Samples] = {}
    for name, octets in sounds.items():
        try:
            read[name] = read_wav(octets, sample_rate=sample_rate)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    return read
