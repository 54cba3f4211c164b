"""The picture of a load: round trips, and below them CPU and memory; over calls for a ramp, else over time."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from gateway.bench.report import Report

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

__all__ = ["HINT", "can_draw", "draw"]

HINT: Final = 'no chart: pip install "telnyx-media-gateway[bench]"'
_BLUE, _ORANGE, _GREEN, _GREY = "#2062a8", "#d1661a", "#2f8a4c", "#777777"

_WIDE: Final = 100

_Values: TypeAlias = Sequence[float | None]


def can_draw() -> bool:
    """Whether what draws is installed."""
    try:
        import matplotlib.figure  # noqa: F401 - only whether it is there
    except ImportError:
        return False
    return True


def draw(report: Report, path: Path) -> None:
    """Write a PNG. `can_draw` must have said so."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6.5), dpi=120, layout="constrained")
    trips, use = figure.subplots(2, 1, sharex=True)
    plan, ramp = report.plan, report.schedule.ramp_to is not None
    way = "both ways" if plan.two_way else "one way"
    figure.suptitle(
        f"{plan.target.shown}   {plan.content.encoding}, 20 ms, {way}   {report.when:%Y-%m-%d}", fontsize=11
    )
    (_draw_ramp if ramp else _draw_time)(report, trips, use)
    limit = report.limits.max_p99_ms
    if limit < 4 * trips.get_ylim()[1]:  # far above, it would leave the rest flat
        trips.axhline(limit, color=_GREY, linestyle="--", linewidth=1, label="limit of p99")
    for axes in (trips, use):
        axes.grid(alpha=0.3)
        axes.margins(x=0.02)
    heights = [float(y) for line in trips.get_lines() for y in np.asarray(line.get_ydata(), np.float64) if y > 0]
    if heights and max(heights) > _WIDE * min(heights):
        trips.set_yscale("log")  # past the knee: before it nothing could be told apart
    else:
        _from_zero(trips)
    trips.set_ylabel("round trip, ms")
    _legend(trips, *trips.get_legend_handles_labels())
    figure.savefig(path, format="png")


def _draw_ramp(report: Report, trips: "Axes", use: "Axes") -> None:
    levels = sorted(
        (judged for judged in report.outcome.levels if not judged.doubts), key=lambda judged: judged.level.calls
    )
    calls = [float(judged.level.calls) for judged in levels]
    for percent, colour in ((50, _BLUE), (99, _ORANGE)):
        values = [judged.level.tally.round_trips.percentile(percent) for judged in levels]
        _line(trips, calls, [None if value is None else 1000 * value for value in values], colour, f"p{percent}")
    failed = [judged.level.calls for judged in levels if not judged.held]
    if failed:
        at_the_foot = trips.get_xaxis_transform()
        trips.plot(
            failed, [0] * len(failed), "x", color="red", clip_on=False, transform=at_the_foot, label="limit not kept"
        )
    shares = [None if judged.level.server_share is None else 100 * judged.level.server_share for judged in levels]
    memory = [None if judged.level.server_memory is None else judged.level.server_memory / 2**20 for judged in levels]
    _draw_use(use, calls, shares, memory, [100 * max(judged.level.generator_cpu, default=0.0) for judged in levels])
    if report.outcome.knee is not None:
        for axes in (trips, use):
            axes.axvline(report.outcome.knee, color=_GREY, linewidth=1)
        trips.annotate(
            f" {report.outcome.knee} calls", (report.outcome.knee, 1), xycoords=("data", "axes fraction"), va="top"
        )
    use.set_xlabel("calls at once")


def _draw_time(report: Report, trips: "Axes", use: "Axes") -> None:
    moments = [moment for judged in report.outcome.levels if not judged.doubts for moment in judged.level.moments]
    unit, name = (3600.0, "hours") if moments and moments[-1].seconds > 7200 else (1.0, "seconds")
    times = [moment.seconds / unit for moment in moments]
    _line(trips, times, [moment.p50_ms for moment in moments], _BLUE, "p50")
    _line(trips, times, [moment.p99_ms for moment in moments], _ORANGE, "p99")
    _draw_use(
        use,
        times,
        [None if moment.server_cpu is None else 100 * moment.server_cpu for moment in moments],
        [None if moment.server_memory is None else moment.server_memory / 2**20 for moment in moments],
        [100 * moment.generator_cpu for moment in moments],
    )
    use.set_xlabel(name)


def _draw_use(axes: "Axes", x: Sequence[float], shares: _Values, memory: _Values, load: _Values) -> None:
    _line(axes, x, shares, _BLUE, "server, CPU")
    _line(axes, x, load, _GREY, "load, CPU")
    axes.set_ylabel("% of a core")
    handles, labels = axes.get_legend_handles_labels()
    if any(value is not None for value in memory):
        right = axes.twinx()
        _line(right, x, memory, _GREEN, "server, memory")
        right.set_ylabel("MiB", color=_GREEN)
        _from_zero(right)
        more, names = right.get_legend_handles_labels()
        handles, labels = [*handles, *more], [*labels, *names]
    _from_zero(axes)
    _legend(axes, handles, labels)


def _from_zero(axes: "Axes") -> None:
    axes.margins(y=0.15)
    axes.autoscale_view()
    axes.set_ylim(bottom=0)


def _legend(axes: "Axes", handles: "list[Artist]", labels: list[str]) -> None:
    """Above the picture, where it hides no line."""
    axes.legend(handles, labels, loc="lower left", bbox_to_anchor=(0, 1), ncols=4, frameon=False, fontsize=9)


def _line(axes: "Axes", x: Sequence[float], y: _Values, colour: str, label: str) -> None:
    points = [(at, value) for at, value in zip(x, y, strict=True) if value is not None]
    if points:
        marker = "o" if len(points) < 50 else ""
        axes.plot(
            [at for at, _ in points], [value for _, value in points], marker=marker, ms=4, color=colour, label=label
        )
