"""Answering machine detection: what is reported of whoever picked up, and when. No I/O, no clock.

The detector does not listen: the number's rule says who answers, and how long the greeting is. The lengths that an
application may set say when the result is known, as Telnyx documents them:

    detect           human or machine, and nothing more
    detect_beep      after a machine, the greeting's end only if there is a beep
    detect_words     after a machine, the greeting's end at the beep, or `not_sure` 30 s later
    greeting_end     after a machine, the greeting's end at the beep or after enough silence
    premium          finer results; the greeting's end at the beep, or `no_beep_detected` when the time is over
    premium_ios_call_screening_detection
                     as premium; after a machine the end of its prompt, or that it was a call screening

Telnyx says in one place that `detect_beep` reports nothing without a beep and in another that it reports `not_sure`
after 30 s: here it is nothing.

Source: Telnyx, "Answering Machine Detection", and the descriptions in its Python package 4.189.0.
"""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, TypeAlias

__all__ = ["BEEP_SECONDS", "Answerer", "Detection", "Who", "detect"]

Who: TypeAlias = Literal["human_residence", "human_business", "machine", "fax", "silence", "unclear", "call_screening"]
"""Who picks up; `unclear` is nobody that a detector could tell, `call_screening` a telephone that asks first."""

BEEP_SECONDS: Final = 0.5
"""How long a machine's beep is."""

_BEEP_WAIT: Final = 30.0  # seconds that a beep is waited for once a machine is known
_PREMIUM_TOTAL_MILLIS: Final = 30_000
_MACHINES: Final = ("machine", "fax", "silence", "call_screening")  # what standard detection calls so
_PREMIUM_WORDS: Final = {"call_screening": "machine", "fax": "fax_detected"}
_DEFAULTS: Final = {
    "after_greeting_silence_millis": 800,
    "greeting_duration_millis": 3500,
    "greeting_silence_duration_millis": 1500,
    "greeting_total_analysis_time_millis": 5000,
    "initial_silence_millis": 3500,
    "prompt_end_timeout_millis": 5000,
    "total_analysis_time_millis": 3500,
}


class Answerer(NamedTuple):
    """Who picked up.

    Attributes:
        greeting: Seconds that the greeting lasts.
        beep: Whether a beep follows it.
    """

    who: Who
    greeting: float = 1.0
    beep: bool = True


class Detection(NamedTuple):
    """One result: the event, and how many seconds after the answer."""

    after: float
    event_type: str
    result: str


def detect(mode: str, config: Mapping[str, object], answerer: Answerer) -> list[Detection]:
    """What is reported of a call, the first first.

    Args:
        mode: `answering_machine_detection` of the command.
        config: `answering_machine_detection_config`, in milliseconds; what is not there has its default.
        answerer: Who picked up.
    """
    if mode == "disabled":
        return []
    premium = mode.startswith("premium")
    defaults = _DEFAULTS | {"total_analysis_time_millis": _PREMIUM_TOTAL_MILLIS} if premium else _DEFAULTS
    lengths = {name: _seconds(config.get(name), default) for name, default in defaults.items()}
    if premium:
        return _premium(lengths, answerer, screening=mode != "premium")
    return _standard(mode, lengths, answerer)


def _standard(mode: str, lengths: Mapping[str, float], answerer: Answerer) -> list[Detection]:
    after, result = _first(lengths, answerer)
    found = [Detection(after, "call.machine.detection.ended", "machine" if result in _MACHINES else result)]
    if answerer.who != "machine" or mode == "detect":
        return found
    beep = answerer.greeting + BEEP_SECONDS if answerer.beep else float("inf")
    if mode == "greeting_end":
        ended = min(beep, answerer.greeting + lengths["greeting_silence_duration_millis"])
        limit, in_time, too_late = after + lengths["greeting_total_analysis_time_millis"], "ended", "not_sure"
    else:
        ended, limit, in_time, too_late = beep, after + _BEEP_WAIT, "beep_detected", "not_sure"
    if ended <= limit:
        found.append(Detection(max(ended, after), "call.machine.greeting.ended", in_time))
    elif mode != "detect_beep":
        found.append(Detection(limit, "call.machine.greeting.ended", too_late))
    return found


def _premium(lengths: Mapping[str, float], answerer: Answerer, *, screening: bool) -> list[Detection]:
    after, result = _first(lengths, answerer)
    if result == "human":
        result = answerer.who
    total = lengths["total_analysis_time_millis"]
    known = Detection(after, "call.machine.premium.detection.ended", _PREMIUM_WORDS.get(result, result))
    greeting_ended = "call.machine.premium.greeting.ended"
    if screening and result in ("machine", "call_screening"):
        ended = max(after, min(answerer.greeting, after + lengths["prompt_end_timeout_millis"]))
        if result == "machine":
            return [known, Detection(ended, greeting_ended, "prompt_ended")]
        return [
            known,
            Detection(ended, "call.machine.premium.call_screening.detected", "screening"),
            Detection(ended + after, known.event_type, "human_residence"),
        ]
    if result != "machine":
        return [known]
    beep = answerer.greeting + BEEP_SECONDS
    if not answerer.beep or beep > total:
        return [known, Detection(max(total, after), greeting_ended, "no_beep_detected")]
    if beep < after:
        return [Detection(beep, greeting_ended, "beep_detected")]
    return [known, Detection(beep, greeting_ended, "beep_detected")]


def _first(lengths: Mapping[str, float], answerer: Answerer) -> tuple[float, str]:
    """When the first result is known, and which: `human`, `not_sure`, or one of `_MACHINES`."""
    total = lengths["total_analysis_time_millis"]
    spoken = answerer.greeting + lengths["after_greeting_silence_millis"]
    match answerer.who:
        case "human_residence" | "human_business":
            after, result = spoken, "human"
        case "machine" | "call_screening":
            after, result = min(spoken, lengths["greeting_duration_millis"]), answerer.who
        case "silence":
            after, result = lengths["initial_silence_millis"], "silence"
        case "fax":
            after, result = answerer.greeting, "fax"
        case "unclear":
            after, result = total, "not_sure"
    return (after, result) if after <= total else (total, "not_sure")


def _seconds(value: object, default: int) -> float:
    return (value if isinstance(value, int | float) else default) / 1000
