"""The command `bench`, as a person or a script meets it; what runs it against servers is in the integration tests."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.bench.command import Status, judge, parse_seconds
from gateway.bench.run import Judged, Outcome, Schedule
from gateway.cli import app
from gateway.errors import ConfigError
from tests.gateway.bench.levels import judged

URL = "ws://127.0.0.1:1/media"
HOLD = Schedule(100, None, 50, 10, 2.0, 10.0)
RAMP = Schedule(100, 300, 100, 25, 2.0, 10.0)
GOOD, BAD, DOUBTED = judged(), judged(trip=1.0), judged(late=1.0)


def bench(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["bench", *map(str, arguments)], env={"COLUMNS": "200", "TERM": "dumb"})


def test_the_command_explains_itself() -> None:
    result = bench("--help")
    assert result.exit_code == 0
    options = "calls ramp-to step hold soak codec one-way measure wav token header parameter fault processes server-pid"
    for option in (
        options + " max-p50-ms max-p99-ms max-loss max-failed max-growth-mib max-late-ms min-calls out"
    ).split():
        assert f"--{option}" in result.output, option
    for words in ("MEDIA_URL", "exit status", "withheld"):
        assert words in result.output


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["http://127.0.0.1/media"], "MEDIA_URL"),
        (["ws://user:secret@127.0.0.1/media"], "MEDIA_URL: a name and password cannot stand in it"),
        (["ws://127.0.0.1:99999/media"], "MEDIA_URL"),
        ([URL, "--codec", "GSM"], "--codec"),
        ([URL, "--codec", "PCMU", "--rate", "16000"], "--codec: PCMU at 16000 Hz"),
        ([URL, "--hold", "soon"], "--hold: 'soon', want a time such as 30s, 10m or 4h"),
        ([URL, "--soak", "0"], "--soak"),
        ([URL, "--soak", "1h", "--ramp-to", "200"], "--soak or --ramp-to"),
        ([URL, "--calls", "200", "--ramp-to", "100"], "--ramp-to: 100 is below --calls, 200"),
        ([URL, "--measure", "guess"], "--measure: 'guess'"),
        ([URL, "--measure", "echo", "--codec", "G722"], "--measure: echo needs PCMU, PCMA or L16"),
        ([URL, "--measure", "echo", "--one-way"], "--measure: echo needs an answer"),
        ([URL, "--token", "a\nb"], "--token"),
        ([URL, "--header", "X-A"], "--header: 'X-A', want NAME=VALUE"),
        ([URL, "--header", "X A=1"], "--header: 'X A' is no name"),
        ([URL, "--header", "X-A=1\r\nX-B: 2"], "--header: 'X-A' is no name"),
        ([URL, "--header", "Upgrade=h2c"], "--header: Upgrade belongs to the upgrade"),
        ([URL, "--parameter", "=1"], "--parameter"),
        ([URL, "--fault", "socket.cut_after=1"], "--fault: socket: the load plays faults of media only"),
        ([URL, "--fault", "media.lost=7"], "faults: media.lost"),
        ([URL, "--wav", "nowhere.wav"], "--wav"),
        ([URL, "--byte-order", "middle"], "--byte-order"),
        ([URL, "--server-pid", "99999999"], "--server-pid"),
    ],
)
def test_what_cannot_be_run_is_refused_with_the_reason(arguments: list[str], problem: str) -> None:
    result = bench(*arguments)
    assert result.exit_code == 2
    assert problem in result.output


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = bench(URL, "--out", tmp_path / "file" / "folder")
    assert result.exit_code == 2
    assert "--out" in result.output


@pytest.mark.parametrize(("text", "seconds"), [("30", 30), ("30s", 30), ("1.5m", 90), ("4h", 14_400)])
def test_times_are_read(text: str, seconds: float) -> None:
    assert parse_seconds(text, "--hold") == seconds


@pytest.mark.parametrize("text", ["", "-1", "0s", "8000h", "1d", "\uff11", "1e3", "nan"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--hold"):
        parse_seconds(text, "--hold")


@pytest.mark.parametrize(
    ("schedule", "levels", "knee", "min_calls", "status"),
    [
        (HOLD, [GOOD], None, None, Status.HELD),
        (HOLD, [BAD], None, None, Status.FAILED),
        (HOLD, [DOUBTED], None, None, Status.WITHHELD),
        (RAMP, [GOOD, BAD], 100, None, Status.HELD),
        (RAMP, [GOOD, BAD], 100, 200, Status.FAILED),
        (RAMP, [BAD], None, None, Status.FAILED),
        (RAMP, [GOOD, DOUBTED], 100, None, Status.HELD),
        (RAMP, [GOOD, DOUBTED], 100, 200, Status.WITHHELD),
        (RAMP, [DOUBTED], None, None, Status.WITHHELD),
    ],
)
def test_the_exit_status_is_a_gate(
    schedule: Schedule, levels: list[Judged], knee: int | None, min_calls: int | None, status: Status
) -> None:
    assert judge(Outcome(levels, knee), schedule, min_calls) is status
    assert judge(Outcome(levels, knee, interrupted=True), schedule, min_calls) is Status.INTERRUPTED


def test_the_statuses_are_those_that_are_documented() -> None:
    assert [int(status) for status in Status] == [0, 1, 2, 3, 130]
