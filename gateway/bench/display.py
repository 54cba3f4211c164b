"""What is seen while the load runs: a table that grows on a terminal, plain lines elsewhere."""

from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gateway.bench.level import Moment
from gateway.bench.report import COLUMNS, row
from gateway.bench.run import Judged

__all__ = ["LinesDisplay", "TableDisplay", "open_display"]

_LINE_EVERY: Final = 10.0
_SHOWN: Final = {
    "calls": "calls",
    "p50 ms": "p50 ms",
    "p99 ms": "p99 ms",
    "lost": "lost",
    "failed": "failed",
    "server CPU": "server",
    "us/frame": "us/frame",
    "kB/call": "kB/call",
    "load late p99 ms": "late ms",
    "load CPU": "load",
    "verdict": "",
}
"""What fits 80 characters, by the names of the report's columns."""


class TableDisplay:
    """A row for each level, and a line below for the present.

    Args:
        console: A terminal.
    """

    def __init__(self, console: Console) -> None:
        self._table = Table(box=None, header_style="bold", pad_edge=False)
        for name in _SHOWN.values():
            self._table.add_column(name, justify="right", no_wrap=True)
        self._live = Live(Group(self._table), console=console, refresh_per_second=4)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.update(Group(self._table))
        self._live.stop()

    def opening(self, calls: int, up: int) -> None:
        """Calls are being opened."""
        self._say(f"opening {up} of {calls} calls")

    def moment(self, calls: int, moment: Moment) -> None:
        """Some seconds of a level have passed."""
        self._say(_line(calls, moment))

    def judged(self, judged: Judged) -> None:
        """A level is over."""
        cells = dict(zip(COLUMNS, row(judged), strict=True))
        self._table.add_row(*(cells[name] for name in _SHOWN), style="" if judged.held else "red")
        self._say("")

    def _say(self, text: str) -> None:
        self._live.update(Group(self._table, Text(text, style="dim")))


class LinesDisplay:
    """A line for each level, and one for every ten seconds between."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing stays."""

    def opening(self, calls: int, up: int) -> None:
        """Not worth a line."""
        self._said_at = 0.0

    def moment(self, calls: int, moment: Moment) -> None:
        """Say one in ten seconds."""
        if moment.seconds - self._said_at >= _LINE_EVERY:
            self._said_at = moment.seconds
            self._console.print(_line(calls, moment))

    def judged(self, judged: Judged) -> None:
        """Say what came of it."""
        self._console.print(
            ", ".join(f"{name} {value}" for name, value in zip(COLUMNS, row(judged), strict=True) if value != "-")
        )


def open_display(console: Console) -> TableDisplay | LinesDisplay:
    """The one that suits where the output goes."""
    return TableDisplay(console) if console.is_terminal else LinesDisplay(console)


def _line(calls: int, moment: Moment) -> str:
    parts = [f"{moment.seconds:7.0f} s: {moment.up} of {calls} calls"]
    if moment.p50_ms is not None and moment.p99_ms is not None:
        parts.append(f"p50 {moment.p50_ms:.2f} ms, p99 {moment.p99_ms:.2f} ms")
    if moment.late_p99_ms is not None:
        parts.append(f"load p99 {moment.late_p99_ms:.2f} ms late, {moment.generator_cpu:.0%} of a core")
    if moment.server_cpu is not None and moment.server_memory is not None:
        parts.append(f"server {moment.server_cpu:.0%} of a core, {moment.server_memory / 2**20:.0f} MiB")
    return "; ".join(parts)
