"""What came of one call that was placed for a test: the sound of both sides, all that happened, and what went wrong."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Final

from audio_codecs import Samples
from gateway.simulator import ending
from gateway.simulator.call import SimulatedCall
from gateway.simulator.script import HangUp, Script, Wait
from gateway.simulator.timeline import Entry

__all__ = ["CallResult", "describe_call"]

_HEAD, _TAIL = 20, 60
_MAX_LINE: Final = 200
_LEFT_OUT: Final = frozenset({"number", "time", "kind", "call_control_id", "id", "took_ms"})


@dataclass(frozen=True, slots=True, eq=False)
class CallResult:
    """One call, after its end.

    Attributes:
        heard: What the person on the phone heard, silence between sounds included: int16, shape (n,), 8000 Hz.
        sent_audio: What the application was sent, the same.
        timeline: Everything that happened, in order, as `GET /sim/calls/{id}/timeline` has it.
        webhooks: In the order in which they left: `event_type`, `id`, `url`, `attempts`, `status`, `delivered`,
            `error`.
        messages_sent: Messages to the application's media socket, by event.
        messages_received: Messages from it, by event; `malformed` and `unknown` are events here.
        marks_returned: Names, in order.
        errors: `code` and `detail` of each thing on the stream that was no good.
        steps: What came of each step of the script that was begun: `step`, `verb`, `began`, `took`, `failure`.
        failure: Why the call did not go as the script has it; None if it did.
    """

    call_control_id: str
    hangup_cause: str | None
    hangup_source: str | None
    heard: Samples
    sent_audio: Samples
    timeline: list[Entry]
    webhooks: list[dict[str, Any]]
    messages_sent: Counter[str]
    messages_received: Counter[str]
    marks_returned: list[str]
    errors: list[dict[str, Any]]
    steps: list[dict[str, Any]]
    failure: str | None

    def check(self) -> None:
        """Go on only if the call went as the script has it.

        Raises:
            AssertionError: It did not; the text says at which step, and what happened until then.
        """
        __tracebackhide__ = True  # pytest shows the line of the test instead
        if self.failure is not None:
            raise AssertionError(f"{self.failure}\n\n{self.story()}")

    def story(self) -> str:
        """The timeline for people: a line for each entry, times in seconds since the first."""
        if not self.timeline:
            return "(nothing happened)"
        start = datetime.fromisoformat(self.timeline[0]["time"])
        lines: list[str] = []
        for text, same in groupby(self.timeline, _text):
            times = [(datetime.fromisoformat(entry["time"]) - start).total_seconds() for entry in same]
            again = "" if len(times) == 1 else f"  ({len(times)} times, until {times[-1]:.3f})"
            lines.append(f"{times[0]:8.3f}  {text}{again}")
        if len(lines) > _HEAD + _TAIL:
            lines[_HEAD:-_TAIL] = [f"    ... {len(lines) - _HEAD - _TAIL} more ..."]
        return "\n".join(lines)


def describe_call(call: SimulatedCall, script: Script | None, *, gave_up_after: float | None = None) -> CallResult:
    """Take down what came of a call.

    Args:
        call: After its end.
        script: What its person was to do; None where it only spoke.
        gave_up_after: Seconds after which the test gave it up; None where it ended by itself.
    """
    facts, journal = call.describe(), call.journal
    return CallResult(
        call_control_id=call.leg.call_control_id,
        hangup_cause=call.leg.hangup_cause,
        hangup_source=call.leg.hangup_source,
        heard=journal.heard.samples(),
        sent_audio=journal.said.samples(),
        timeline=call.timeline.entries(),
        webhooks=facts["webhooks"],
        messages_sent=Counter(journal.messages_sent),
        messages_received=Counter(journal.messages_received),
        marks_returned=facts["marks_returned"],
        errors=facts["errors"],
        steps=facts["person"],
        failure=_failure(call, facts, script, gave_up_after),
    )


def _failure(
    call: SimulatedCall, facts: dict[str, Any], script: Script | None, gave_up_after: float | None
) -> str | None:
    steps = facts["person"]
    for step in steps:
        if step["failure"] is not None:
            return f"step {step['step']} ({step['verb']}): {step['failure']}{_hint(call)}"
    if call.leg.ending is ending.LOST:
        return "the simulator failed, or ended before the call did: what it logged is on standard error"
    left = () if script is None else script.steps[len(steps) :]
    under_way = f"step {len(steps) + 1} ({_verb(left[0])})" if left else "the end"
    if not any(entry.get("state") == "answered" for entry in call.timeline.entries(kind="call")):
        return f"the application did not answer the call{_undelivered(facts)}"
    if gave_up_after is not None:
        return f"the call did not end within {gave_up_after:g} s: it did not get past {under_way}"
    if not call.journal.messages_sent["start"]:
        return "the application opened no media stream: nobody heard the caller"
    if any(not isinstance(step, Wait | HangUp) for step in left):
        how = f"{facts['hangup_cause']}, by {facts['hangup_source']}"
        return f"the call ended ({how}) before {under_way} was done"
    return None


def _hint(call: SimulatedCall) -> str:
    """What is often forgotten, where the failure looks like it."""
    count = call.journal.messages_received["media"]
    if count and not call.journal.heard.pieces:
        return f"; {count} media messages came and nothing could be heard: is stream_bidirectional_mode 'rtp'?"
    return ""


def _undelivered(facts: dict[str, Any]) -> str:
    for webhook in facts["webhooks"]:
        if not webhook["delivered"]:
            why = webhook["error"] or f"status {webhook['status']}"
            return f"; {webhook['event_type']} was not delivered to {webhook['url']}: {why}"
    return ""


def _verb(step: object) -> str:
    return str(next(iter(type(step).model_fields)))  # type: ignore[attr-defined]


def _text(entry: Entry) -> str:
    left_out = _LEFT_OUT | {"method", "path"} if "action" in entry else _LEFT_OUT
    fields = " ".join(f"{name}={value}" for name, value in entry.items() if name not in left_out and value is not None)
    text = f"{entry['kind']:8} {fields}"
    return text if len(text) <= _MAX_LINE else text[: _MAX_LINE - 3] + "..."
