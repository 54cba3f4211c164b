"""What `bench_capacity` has found: the goals, and the tables as Markdown."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["GOALS", "Goal", "markdown"]

Results = dict[str, Any]
QUIET_P99_MS = 3.0  # of the bare server; beyond it a round tells about the machine


@dataclass(frozen=True, slots=True)
class Goal:
    """One figure to reach.

    Attributes:
        what: In words.
        unit: Behind the figure, or empty.
        limit: The bound.
        at_most: Which side of it is good.
        figure: Found in the results; None where they do not say it.
    """

    what: str
    unit: str
    limit: float
    at_most: bool
    figure: Callable[[Results], float | None]

    def line(self, results: Results) -> str:
        """A row of the table."""
        value = self.figure(results)
        wanted = f"{'at most' if self.at_most else 'at least'} {self.limit:g}{self.unit}"
        if value is None:
            return f"| {self.what} | {wanted} | not measured | |"
        met = value <= self.limit if self.at_most else value >= self.limit
        return f"| {self.what} | {wanted} | {_text(value)}{self.unit} | {'yes' if met else '**no**'} |"


def _middle(results: Results) -> Results | None:
    """The cost row at its middle number of calls, 300."""
    cost = list(results.get("cost", {}).values())
    return cost[len(cost) // 2] if cost else None


def _rounds(server: Results, name: str) -> list[float]:
    return [probe[name] for probe in server["rounds"]]


def _ratio(server: str, base: str) -> Callable[[Results], float | None]:
    """Median of the rounds' ratios, each of two neighbours in time."""

    def figure(results: Results) -> float | None:
        row = _middle(results)
        return None if row is None else _paired(row[server], row[base], "us_per_frame", lambda mine, base: mine / base)

    return figure


def _paired(mine: Results, base: Results, name: str, compare: Callable[[float, float], float]) -> float:
    pairs = zip(_rounds(mine, name), _rounds(base, name), strict=True)
    return statistics.median(compare(a, b or math.nan) for a, b in pairs)


def _against_peer(results: Results) -> float | None:
    row = results.get("peer")
    if not row:
        return None
    return _paired(row["fast"], row["pipecat"], "us_per_frame", lambda mine, base: mine / base)


def _held(server: str) -> Callable[[Results], float | None]:
    def figure(results: Results) -> float | None:
        row = results.get("capacity")
        return statistics.median(row[server]["held"]) if row and server in row else None

    return figure


def _latency(name: str, *, above_bare: bool) -> Callable[[Results], float | None]:
    def figure(results: Results) -> float | None:
        row = _middle(results)
        if row is None:
            return None
        pairs = zip(row["fast"]["rounds"], row["bare picows"]["rounds"], strict=True)
        quiet = [(mine[name], bare[name]) for mine, bare in pairs if bare["p99_ms"] < QUIET_P99_MS]
        return statistics.median(mine - bare * above_bare for mine, bare in quiet) if quiet else None

    return figure


def _scaling(results: Results) -> float | None:
    cost = results.get("cost")
    if not cost or len(cost) == 1:
        return None
    few, *_, many = cost.values()
    return _paired(many["fast"], few["fast"], "us_per_frame", lambda mine, base: mine / base)


def _memory(results: Results) -> float | None:
    row = _middle(results)
    return None if row is None else row["fast"]["kib_per_call"] * 1.024


def _growth(results: Results) -> float | None:
    row = results.get("soak")
    return None if not row else row["growth_kib"] * 1.024 / row["calls"]


GOALS: Sequence[Goal] = (
    Goal(
        "`picows`, CPU per frame against a bare picows echo, 300 calls",
        "",
        2.0,
        at_most=True,
        figure=_ratio("fast", "bare picows"),
    ),
    Goal(
        "`websockets`, CPU per frame against a bare `websockets.asyncio.server` echo, 300 calls",
        "",
        1.1,
        at_most=True,
        figure=_ratio("websockets", "bare websockets"),
    ),
    Goal("`picows`, CPU per frame against the Pipecat 1.14 echo pipeline", "", 0.1, at_most=True, figure=_against_peer),
    Goal("calls on one core, p99 under 20 ms, `picows`", "", 600, at_most=False, figure=_held("fast")),
    Goal("calls on one core, p99 under 20 ms, `websockets`", "", 450, at_most=False, figure=_held("websockets")),
    Goal(
        "round trip at 300 calls, `picows`, p50", " ms", 0.5, at_most=True, figure=_latency("p50_ms", above_bare=False)
    ),
    Goal("the same, p99 above the bare server's", " ms", 2.0, at_most=True, figure=_latency("p99_ms", above_bare=True)),
    Goal("CPU per frame at 500 calls against 100, `picows`", "", 1.0, at_most=True, figure=_scaling),
    Goal("memory per call, `picows`", " kB", 150, at_most=True, figure=_memory),
    Goal("memory kept of a call that has gone", " kB", 0.5, at_most=True, figure=_growth),
    Goal("calls on one core, inbound only, recorder, `picows`", "", 900, at_most=False, figure=_held("inbound only")),
)


def _text(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}"


def markdown(results: Results) -> str:
    """All tables."""
    lines = [results["conditions"], "", "| | goal | found | met |", "|---|---|---|---|"]
    lines += [goal.line(results) for goal in GOALS]
    head = "| server | calls | CPU us/frame | lowest | highest | p50 ms | p99 ms | max ms | lost | kB/call | rounds |"
    rule = "|---|---|---|---|---|---|---|---|---|---|---|"
    for title, rows in (
        ("A frame's cost", list(results.get("cost", {}).values())),
        ("What each feature adds", [results.get("features") or {}]),
        ("Beside Pipecat", [results.get("peer") or {}]),
    ):
        body = [_server_line(name, server) for row in rows for name, server in row.items()]
        if body:
            lines += ["", f"**{title}**", "", head, rule, *body]
    if capacity := results.get("capacity"):
        lines += ["", "**How many calls one core holds**, and what the same core does with more", ""]
        lines += ["| server | held, by round | with | p50 ms | p99 ms | max ms | lost | closed | CPU |"]
        lines += ["|---|---|---|---|---|---|---|---|---|"]
        for name, found in capacity.items():
            lines += _capacity_lines(name, found)
    if soak := results.get("soak"):
        rss = ", ".join(str(round(kib / 1000)) for kib in soak["rss_kib"])
        came = f"{soak['before']} calls came and went, and {soak['calls']} more, in which memory should not grow"
        lines += ["", f"**Soak**: {came}; resident memory in MB, idle and after each batch:"]
        lines += [f"{rss}."]
    return "\n".join(lines) + "\n"


def _server_line(name: str, server: Results) -> str:
    cost, rounds = _rounds(server, "us_per_frame"), server["rounds"]

    def median(value: str) -> str:
        return _text(statistics.median(_rounds(server, value)))

    return (
        f"| {name} | {rounds[0]['calls']} | {_text(statistics.median(cost))} | {_text(min(cost))} | {_text(max(cost))} "
        f"| {median('p50_ms')} | {median('p99_ms')} | {median('max_ms')} | {sum(probe['lost'] for probe in rounds)} "
        f"| {server['kib_per_call'] * 1.024:.0f} | {len(rounds)} |"
    )


def _capacity_lines(name: str, found: Results) -> list[str]:
    """A line at the capacity, and one for the worst that was tried beyond it."""
    held = statistics.median(found["held"])
    at = [probe for probe in found["probes"] if probe["calls"] == held]
    beyond = [probe for probe in found["probes"] if probe["calls"] > held]
    lines = []
    for probe in (at[-1:], [max(beyond, key=lambda probe: probe["calls"])] if beyond else []):
        lines += [
            f"| {name} | {', '.join(map(str, found['held']))} | {one['calls']} | {_text(one['p50_ms'])} "
            f"| {_text(one['p99_ms'])} | {_text(one['max_ms'])} | {one['lost']} | {one['closed']} | {_busy(one)} |"
            for one in probe
        ]
    return lines


def _busy(probe: Results) -> str:
    """Share of the core that the server took, by its frames in the time they were sent in."""
    return f"{probe['us_per_frame'] * probe['calls'] * 50 / 1e4:.0f} %"
