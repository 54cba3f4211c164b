"""`telnyx-gateway bench`: reads what is asked for, runs and shows it, writes the report, judges by the exit status."""

import asyncio
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Final, Literal, cast

from rich.console import Console

from gateway.bench import chart
from gateway.bench.content import make_content, read_speech
from gateway.bench.crew import Crew, LoadError
from gateway.bench.display import open_display
from gateway.bench.plan import CallPlan, Measure, parse_target
from gateway.bench.report import Report
from gateway.bench.run import Outcome, Schedule, run_load
from gateway.bench.server_process import ServerProcess
from gateway.bench.verdict import Limits
from gateway.errors import ConfigError
from gateway.simulator.faults import MediaFaults
from gateway.simulator.files import load_faults

__all__ = ["Status", "bench", "make_plan", "parse_seconds"]

_MEASURES: Final = ("echo", "sound", "ping")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OWN_HEADERS: Final = ("host", "upgrade", "connection", "sec-websocket-version", "sec-websocket-key")


class Status(IntEnum):
    """The exit status."""

    HELD = 0
    FAILED = 1
    NOT_RUN = 2
    WITHHELD = 3
    INTERRUPTED = 130


def parse_seconds(text: str, option: str) -> float:
    """Read a time: seconds, or with `s`, `m` or `h` behind it.

    Raises:
        ConfigError: It is none, or none above zero.
    """
    match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)([smh]?)", text, re.ASCII)
    seconds = float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]] if match else 0.0
    if not 0 < seconds <= 7 * 86_400:
        raise ConfigError(f"{option}: {text[:40]!r}, want a time such as 30s, 10m or 4h, at most seven days")
    return seconds


def make_plan(
    url: str,
    *,
    codec: str,
    rate: int,
    byte_order: str,
    wav: Path | None,
    one_way: bool,
    measure: str,
    token: str | None,
    headers: Sequence[str],
    parameters: Sequence[str],
    faults: Path | None,
    fault: Sequence[str],
    call_seconds: float | None,
) -> CallPlan:
    """Read what every call is to be.

    Raises:
        ConfigError: Something is wrong with it; says what.
    """
    if byte_order not in ("little", "big"):
        raise ConfigError(f"--byte-order: {byte_order!r}, want little or big")
    target = parse_target(url)
    if token is not None and not (token.isascii() and token.isprintable()):
        raise ConfigError("--token: want printable ASCII, as it travels in a header")
    seed, media = _media_faults(faults, fault)
    order = cast("Literal['little', 'big']", byte_order)
    if media is not None and media.byte_swap:
        order = "big" if order == "little" else "little"
    samples = asyncio.run(read_speech(wav, encoding=codec, clock_rate=rate))
    content = make_content(samples, encoding=codec, clock_rate=rate, byte_order=order)
    return CallPlan(
        target,
        content,
        measure=_choose(measure, two_way=not one_way, numbered=content.numbered),
        two_way=not one_way,
        token=token,
        headers=tuple(_header(text) for text in headers),
        parameters=tuple(_pair(text, "--parameter") for text in parameters),
        faults=media,
        seed=seed,
        call_seconds=call_seconds,
    )


def bench(
    plan: CallPlan,
    schedule: Schedule,
    limits: Limits,
    *,
    processes: int,
    server_pid: int | None,
    min_calls: int | None,
    out: Path | None,
) -> Status:
    """Run the load and report.

    Args:
        plan: Of every call.
        schedule: How many, and for how long.
        limits: By which it is judged.
        processes: How many make the load.
        server_pid: Process id of the far side.
        min_calls: What the knee must reach.
        out: Folder of the report; only the screen if None.

    Raises:
        ConfigError: The process cannot be read, or the folder not be written.
    """
    console, problems = Console(highlight=False, soft_wrap=True, markup=False), Console(stderr=True, markup=False)
    server = None if server_pid is None else ServerProcess(server_pid)
    if out is not None:
        _make_folder(out)
        if not chart.can_draw():
            problems.print(chart.HINT)
    when = datetime.now(UTC)
    try:
        with Crew(plan, processes) as crew, open_display(console) as display:
            outcome = run_load(crew, schedule, limits, display, server=server, tells_loss=plan.measure != "sound")
    except LoadError as error:
        problems.print(str(error))
        return Status.NOT_RUN
    report = Report(outcome, plan, schedule, limits, when, processes)
    for sentence in report.conclusions():
        console.print(sentence)
    if out is not None:
        _write(report, out)
        console.print(f"written to {out}")
    return judge(outcome, schedule, min_calls)


def judge(outcome: Outcome, schedule: Schedule, min_calls: int | None) -> Status:
    """What the exit status is to be."""
    if outcome.interrupted:
        return Status.INTERRUPTED
    if schedule.ramp_to is None:
        judged = outcome.levels[-1]
        return Status.WITHHELD if judged.doubts else Status.HELD if judged.held else Status.FAILED
    wanted = schedule.calls if min_calls is None else min_calls
    if outcome.knee is not None and outcome.knee >= wanted:
        return Status.HELD  # whatever came above that
    return Status.WITHHELD if outcome.levels[-1].doubts else Status.FAILED


def _write(report: Report, out: Path) -> None:
    (out / "bench.json").write_text(report.to_json(), "utf-8")
    picture = None
    if chart.can_draw() and any(not judged.doubts for judged in report.outcome.levels):
        picture = "bench.png"
        chart.draw(report, out / picture)
    (out / "bench.md").write_text(report.to_markdown(chart=picture), "utf-8")


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "bench.json").touch()
    except OSError as error:
        raise ConfigError(f"--out: {error}") from error


def _choose(measure: str, *, two_way: bool, numbered: bool) -> Measure:
    if measure == "auto":
        return "ping" if not two_way else "echo" if numbered else "sound"
    if measure not in _MEASURES:
        raise ConfigError(f"--measure: {measure!r}, want auto, {', '.join(_MEASURES)}")
    if measure == "echo" and not numbered:
        raise ConfigError("--measure: echo needs PCMU, PCMA or L16; other codecs change every bit: use sound")
    if measure != "ping" and not two_way:
        raise ConfigError(f"--measure: {measure} needs an answer, and --one-way expects none")
    return cast("Measure", measure)


def _media_faults(path: Path | None, pairs: Sequence[str]) -> tuple[int, MediaFaults | None]:
    faults = load_faults(path, pairs)
    others = [name for name in ("socket", "start", "webhooks", "rest") if name in faults.model_fields_set]
    if others:
        raise ConfigError(
            f"--fault: {others[0]}: the load plays faults of media only; `telnyx-gateway call` plays more"
        )
    return faults.seed, None if faults.media == MediaFaults() else faults.media


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ConfigError(f"{option}: {name[:40]!r}, want NAME=VALUE")
    return name, value


def _header(text: str) -> tuple[str, str]:
    name, value = _pair(text, "--header")
    if not _TOKEN.fullmatch(name) or not (value.isascii() and value.isprintable()):
        raise ConfigError(f"--header: {name[:40]!r} is no name of a header, or its value is not printable ASCII")
    if name.lower() in _OWN_HEADERS:
        raise ConfigError(f"--header: {name} belongs to the upgrade")
    return name, value
