"""What happens when a number is called: how long it rings, what then, and who picks up.

Some numbers behave in a way of their own from the beginning; the last digits of those that do not answer are the SIP
status. Every other number does as the default rule says. Rules are set by number, over HTTP or from a file.
"""

from typing import Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from audio_codecs import Samples
from gateway.simulator import ending
from gateway.simulator.amd import BEEP_SECONDS, Answerer, Who
from gateway.simulator.caller import Caller
from gateway.simulator.casting import ScriptSource, make_person
from gateway.simulator.line import Speaker
from gateway.simulator.playout import TICK
from gateway.simulator.refusal import Refusal
from gateway.simulator.speech import SAMPLE_RATE, WavText, decode_speech

__all__ = ["BUILT_IN", "ENDINGS", "NumberRule", "Numbers", "make_caller"]

_MAX_RULES: Final = 100
_BEEP_HZ: Final = 1000

ENDINGS: Final = {
    "busy": ending.BUSY,
    "reject": ending.REJECTED,
    "not_found": ending.NOT_FOUND,
    "unavailable": ending.UNAVAILABLE,
    "no_answer": ending.NO_ANSWER,
}
"""How a call that was not answered ends, by the deed of whoever was called."""


class NumberRule(BaseModel):
    """What a number does when it is called.

    Attributes:
        ring_secs: How long it rings.
        then: What comes of it. `nothing` rings until somebody decides under `/sim/calls`, or nobody does;
            `forbidden` is refused at once, as a destination that the account may not call.
        who: Who picks up, for answering machine detection.
        greeting_secs: How long the greeting is, where `audio` does not say it.
        beep: Whether a machine's greeting ends with a beep; it can be heard, too.
        audio: What is said. A machine and a screening telephone begin when they have picked up, a person when
            somebody listens: a stream or the other leg of a bridge.
        hang_up_secs: How much silence follows what is said before they hang up; None if they stay.
        script: What the person does instead of saying `audio`.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    ring_secs: float = Field(1.0, ge=0, le=600)
    then: Literal["answer", "busy", "reject", "not_found", "unavailable", "no_answer", "nothing", "forbidden"] = (
        "answer"
    )
    who: Who = "human_residence"
    greeting_secs: float = Field(1.0, ge=0, le=60)
    beep: bool = True
    audio: WavText | None = Field(None, repr=False)
    hang_up_secs: float | None = Field(None, ge=0, le=14_400)
    script: ScriptSource | None = Field(None, repr=False)

    @property
    def speaks_at_once(self) -> bool:
        """Whether speech begins with the answer, not when somebody listens."""
        return self.who in ("machine", "call_screening")

    def answerer(self) -> Answerer:
        """Who picks up, as detection sees it."""
        greeting = self.greeting_secs if self.audio is None else len(decode_speech(self.audio)) / SAMPLE_RATE
        return Answerer(self.who, greeting, self.beep)

    def speaker(self) -> Speaker:
        """The person, or the machine, at the far end."""
        if self.script is not None:
            return make_person(self.script)
        if self.audio is not None:
            speech = decode_speech(self.audio)
        else:
            speech = np.zeros(round(self.greeting_secs * SAMPLE_RATE) if self.speaks_at_once else 0, np.int16)
        if self.who == "machine" and self.beep:
            speech = np.concatenate([speech, _beep()])
        return make_caller(speech, self.hang_up_secs)


BUILT_IN: Final = {
    "+15550100200": NumberRule(ring_secs=0),
    "+15550100403": NumberRule(then="forbidden"),
    "+15550100404": NumberRule(then="not_found"),
    "+15550100408": NumberRule(then="nothing"),
    "+15550100480": NumberRule(then="no_answer"),
    "+15550100486": NumberRule(then="busy"),
    "+15550100603": NumberRule(then="reject"),
    "+15550100700": NumberRule(who="machine", greeting_secs=4.0),
    "+15550100701": NumberRule(who="machine", greeting_secs=4.0, beep=False),
    "+15550100702": NumberRule(who="fax"),
    "+15550100703": NumberRule(who="silence"),
    "+15550100704": NumberRule(who="call_screening", greeting_secs=2.0),
    "+15550100705": NumberRule(who="human_business", greeting_secs=2.0),
}
"""Numbers that have a rule from the beginning."""


class Numbers:
    """The rules of one simulator, by number.

    Args:
        rules: Beside the built-in ones, or in their place.
    """

    def __init__(self, rules: dict[str, NumberRule] | None = None) -> None:
        self._rules = {"default": NumberRule()} | BUILT_IN | (rules or {})

    def rule(self, number: str) -> NumberRule:
        """What this number does; SIP parameters and digits to be dialled after it do not count."""
        return self._rules.get(number.partition(";")[0].partition(",")[0], self._rules["default"])

    def rules(self) -> dict[str, NumberRule]:
        """All of them; `default` is for every other number."""
        return dict(self._rules)

    def set(self, number: str, rule: NumberRule) -> None:
        """Give a number a rule, or `default`.

        Raises:
            Refusal: There are too many rules already.
        """
        if number not in self._rules and len(self._rules) >= _MAX_RULES:
            raise Refusal(422, "10033", f"There are {_MAX_RULES} rules already.")
        self._rules[number] = rule

    def reset(self, number: str) -> None:
        """Let a number do what it did from the beginning."""
        if number == "default":
            self._rules[number] = NumberRule()
        elif number in BUILT_IN:
            self._rules[number] = BUILT_IN[number]
        else:
            self._rules.pop(number, None)


def make_caller(speech: Samples, silence_secs: float | None) -> Caller:
    """A person at the simulator's rate, who hangs up after so much silence, or stays."""
    silence = None if silence_secs is None else round(silence_secs * SAMPLE_RATE)
    return Caller(speech, frame_samples=round(SAMPLE_RATE * TICK), silence_samples=silence)


def _beep() -> Samples:
    time = np.arange(round(BEEP_SECONDS * SAMPLE_RATE)) / SAMPLE_RATE
    beep: Samples = np.rint(8000 * np.sin(2 * np.pi * _BEEP_HZ * time)).astype(np.int16)
    return beep
