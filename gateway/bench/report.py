"""What came of a load, for people (a Markdown table) and for programs (JSON). Doubtful figures are in neither."""

import json
import os
import platform
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from math import inf
from typing import Any, Final

from gateway.bench.plan import CallPlan
from gateway.bench.run import Judged, Outcome, Schedule
from gateway.bench.verdict import Limits

__all__ = ["COLUMNS", "Report", "row"]

COLUMNS: Final = (
    "calls",
    "p50 ms",
    "p99 ms",
    "max ms",
    "lost",
    "failed",
    "server CPU",
    "us/frame",
    "MiB",
    "kB/call",
    "load late p99 ms",
    "load CPU",
    "verdict",
)

_LONG: Final = 60  # seconds from which on growth of memory says something

_WORDS: Final = {
    "echo": "from a frame that was sent to the same frame that came back",
    "sound": "from a sound that was sent to the same sound that came back, found by its likeness;"
    " the delay of the codecs, there and back, is in it",
    "ping": "from a WebSocket ping to its pong, which waits behind the frames sent before it",
}


@dataclass(frozen=True, slots=True)
class Report:
    """One load, and all that is said of it.

    Attributes:
        when: It was begun.
        processes: Of the load.
    """

    outcome: Outcome
    plan: CallPlan
    schedule: Schedule
    limits: Limits
    when: datetime
    processes: int

    def to_json(self) -> str:
        """Everything, for programs."""
        outcome, plan = self.outcome, self.plan
        facts: dict[str, Any] = {
            "program": f"telnyx-media-gateway {_version()}",
            "begun_at": self.when.isoformat(timespec="seconds"),
            "machine": machine(),
            "target": plan.target.shown,
            "encoding": plan.content.encoding,
            "clock_rate": plan.content.clock_rate,
            "two_way": plan.two_way,
            "measure": plan.measure,
            "measured": _WORDS[plan.measure],
            "call_seconds": plan.call_seconds,
            "faults": None if plan.faults is None else {"seed": plan.seed, **plan.faults.model_dump()},
            "processes": self.processes,
            "schedule": asdict(self.schedule),
            "limits": {name: None if limit == inf else limit for name, limit in asdict(self.limits).items()},
            "interrupted": outcome.interrupted,
            "knee": outcome.knee,
            "levels": [_describe(judged) for judged in outcome.levels],
        }
        return json.dumps(facts, indent=2) + "\n"

    def to_markdown(self, *, chart: str | None = None) -> str:
        """The table, with what one has to know to read it; `chart` is the picture's file."""
        plan, schedule = self.plan, self.schedule
        setting = (
            f"{self.when:%Y-%m-%d %H:%M} UTC, {machine()}. {plan.content.encoding} at {plan.content.clock_rate} Hz,"
            f" 20 ms a message, {'both ways' if plan.two_way else 'one way'}; each level {schedule.seconds:g} s;"
            f" {self.processes} process{'es' if self.processes > 1 else ''} of load."
        )
        meaning = (
            f"Round trips are {_WORDS[plan.measure]}. Server CPU is the share of a core that the server's process and"
            " its children took; us/frame is the same for each message sent to it, and what it made of that."
        )
        lines = [
            f"# {plan.target.shown}",
            "",
            setting,
            "",
            meaning,
            "",
            "| " + " | ".join(COLUMNS) + " |",
            "|" + "---:|" * (len(COLUMNS) - 1) + "---|",
            *("| " + " | ".join(row(judged)) + " |" for judged in self.outcome.levels),
            "",
            *self.conclusions(),
        ]
        if chart is not None:
            lines += ["", f"![Round trips and the server's CPU]({chart})"]
        return "\n".join(lines) + "\n"

    def conclusions(self) -> list[str]:
        """What follows, in sentences."""
        outcome, said = self.outcome, []
        if outcome.interrupted:
            said.append("It was interrupted; the last level is as far as it came.")
        for judged in outcome.levels:
            said += [f"{judged.level.calls} calls, figures withheld: {doubt}." for doubt in judged.doubts]
            said += [f"{judged.level.calls} calls, limit not kept: {failure}." for failure in _told(judged)]
            growth = judged.level.growth_mib
            long = self.schedule.ramp_to is None and judged.level.seconds >= _LONG
            if growth is not None and long and not judged.doubts:
                said.append(
                    f"The server's memory changed by {growth:+.1f} MiB; {judged.level.tally.ended} calls ended."
                )
        if self.schedule.ramp_to is not None:
            said.append(self._knee())
        return said

    def _knee(self) -> str:
        outcome = self.outcome
        doubted = bool(outcome.levels and outcome.levels[-1].doubts)
        if outcome.knee is None:
            return "Knee: not known." if doubted or outcome.interrupted else "Knee: below the first level."
        if doubted or outcome.interrupted:
            return f"Knee: {outcome.knee} calls or more; above that it was not measured."
        if outcome.knee == self.schedule.ramp_to:
            return f"Knee: above {outcome.knee} calls, the most that were tried."
        return f"Knee: {outcome.knee} calls."


def row(judged: Judged) -> list[str]:
    """The cells of a level's row."""
    level, tally, withheld = judged.level, judged.level.tally, bool(judged.doubts)

    def cell(value: float | None, form: str, factor: float = 1.0, *, ours: bool = False) -> str:
        return "-" if value is None or (withheld and not ours) else format(value * factor, form)

    trips = tally.round_trips
    return [
        str(level.calls),
        cell(trips.percentile(50), ".2f", 1000),
        cell(trips.percentile(99), ".2f", 1000),
        cell(trips.longest if len(trips) else None, ".2f", 1000),
        "-" if level.loss is None or withheld else str(tally.asked - tally.answered),
        str(tally.refused.total() + tally.closed.total()),
        cell(level.server_share, ".0%"),
        cell(level.server_us_per_frame, ".1f"),
        cell(level.server_memory, ".0f", 2**-20),
        cell(level.memory_per_call, ".0f", 1e-3),
        cell(tally.lateness.percentile(99), ".2f", 1000, ours=True),
        cell(max(level.generator_cpu, default=None), ".0%", ours=True),
        "withheld" if withheld else "held" if judged.held else "failed",
    ]


def machine() -> str:
    """Where it was measured."""
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def _told(judged: Judged) -> list[str]:
    return [] if judged.doubts else judged.failures


def _describe(judged: Judged) -> dict[str, Any]:
    level, tally = judged.level, judged.level.tally
    facts: dict[str, Any] = {
        "calls": level.calls,
        "verdict": "withheld" if judged.doubts else "held" if judged.held else "failed",
        "doubts": judged.doubts,
        "failures": _told(judged),
        "seconds": round(level.seconds, 3),
        "load": {
            "late_ms": _percentiles(tally.lateness),
            "cpu_of_a_core": [round(share, 4) for share in level.generator_cpu],
        },
        "refused": dict(tally.refused),
        "closed": dict(tally.closed),
        "faults": dict(tally.faults),
    }
    if judged.doubts:
        return facts
    server = None
    if level.server_cpu is not None:
        server = {
            "cpu_of_a_core": level.server_share,
            "cpu_us_per_frame": level.server_us_per_frame,
            "memory": level.server_memory,
            "idle_memory": level.idle_memory,
            "memory_per_call": level.memory_per_call,
            "growth_mib": level.growth_mib,
        }
    return facts | {
        "up": level.up,
        "sent": tally.sent,
        "asked": tally.asked,
        "answered": tally.answered,
        "loss": level.loss,
        "doubled": tally.doubled,
        "foreign": tally.foreign,
        "messages": tally.messages,
        "ended": tally.ended,
        "backlog": tally.backlog,
        "round_trip_ms": _percentiles(tally.round_trips),
        "server": server,
        "moments": [asdict(moment) for moment in level.moments],
    }


def _percentiles(times: Any) -> dict[str, float | None]:
    named = {f"p{percent:g}": times.percentile(percent) for percent in (50, 90, 99, 99.9)}
    named["max"] = times.longest if len(times) else None
    return {name: None if value is None else round(1000 * value, 3) for name, value in named.items()}


def _version() -> str:
    try:
        return version("telnyx-media-gateway")
    except PackageNotFoundError:
        return "unknown"
