import json
import struct
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.bench import chart
from gateway.bench.report import COLUMNS, Report
from gateway.bench.run import Judged, Outcome, Schedule
from gateway.bench.verdict import Limits
from tests.gateway.bench.far_side import plan
from tests.gateway.bench.levels import judged

HOLD = Schedule(100, None, 50, 10, 2.0, 10.0)
RAMP = Schedule(100, 300, 100, 25, 2.0, 10.0)


def report(*levels: Judged, schedule: Schedule = HOLD, knee: int | None = None, interrupted: bool = False) -> Report:
    outcome = Outcome(list(levels), knee, interrupted)
    secret = "wss://media.example.com:9/media/secret-token?key=secret-key"
    when = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    return Report(outcome, plan(secret, token="secret-3", seed=5), schedule, Limits(), when, 2)


def test_the_json_holds_every_figure() -> None:
    facts = json.loads(report(judged(lost=1)).to_json())
    assert facts["target"] == "wss://media.example.com:9/media/..."
    assert facts["begun_at"] == "2026-01-02T03:04:00+00:00"
    assert facts["limits"]["max_p99_ms"] == 20
    assert facts["limits"]["max_p50_ms"] is None
    (level,) = facts["levels"]
    assert level["verdict"] == "failed"
    assert level["failures"] == ["1 of 1000 were lost (0.100%), limit 0.000%"]
    assert (level["sent"], level["answered"], level["loss"]) == (1000, 999, 0.001)
    assert level["round_trip_ms"] == {"p50": 1.0, "p90": 1.0, "p99": 1.0, "p99.9": 1.0, "max": 1.0}
    assert level["server"]["cpu_us_per_frame"] == 5000
    assert level["server"]["memory_per_call"] == 2**20
    assert len(level["moments"]) == 10


def test_what_may_be_secret_is_nowhere() -> None:
    made = report(judged())
    assert "secret" not in made.to_json() + made.to_markdown()


def test_the_table_has_a_row_for_each_level() -> None:
    text = report(judged(calls=100), judged(calls=200, trip=0.03), schedule=RAMP, knee=100).to_markdown(chart="x.png")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in rows[0].strip("|").split("|")] == list(COLUMNS)
    assert rows[2].startswith("| 100 | 1.00 | 1.00 | 1.00 | 0 | 0 | 50% | 5000.0 | 110 | 105 | 0.50 | 30% | held |")
    assert rows[3].endswith("| failed |")
    assert "200 calls, limit not kept: p99 is 30.00 ms, limit 20 ms." in text
    assert "Knee: 100 calls." in text
    assert "![Round trips and the server's CPU](x.png)" in text


def test_doubtful_figures_are_withheld_and_the_load_is_blamed() -> None:
    made = report(judged(calls=77, late=0.5, lost=3, trip=0.0423))
    (level,) = json.loads(made.to_json())["levels"]
    assert level["verdict"] == "withheld"
    assert level["load"]["late_ms"]["p99"] == 500
    assert not {"round_trip_ms", "server", "sent", "loss", "moments"} & set(level)
    text = made.to_markdown()
    assert "| 77 | - | - | - | - | 0 | - | - | - | - | 500.00 | 30% | withheld |" in text
    assert "77 calls, figures withheld: the load was late" in text
    assert "42.3" not in text + made.to_json()


@pytest.mark.parametrize(
    ("levels", "knee", "words"),
    [
        ([judged(trip=1.0)], None, "Knee: below the first level."),
        ([judged(late=1.0)], None, "Knee: not known."),
        ([judged(), judged(late=1.0)], 100, "Knee: 100 calls or more; above that it was not measured."),
        ([judged()], 300, "Knee: above 300 calls, the most that were tried."),
    ],
)
def test_the_knee_is_told_as_far_as_it_is_known(levels: list[Judged], knee: int | None, words: str) -> None:
    assert report(*levels, schedule=RAMP, knee=knee).conclusions()[-1] == words


def test_growth_of_memory_is_told_where_it_says_something() -> None:
    assert report(judged()).conclusions() == []
    assert report(judged(seconds=60.0)).conclusions() == ["The server's memory changed by +8.0 MiB; 0 calls ended."]


def test_an_interrupted_load_says_so() -> None:
    assert report(judged(), interrupted=True).conclusions()[0].startswith("It was interrupted")


@pytest.mark.parametrize("schedule", [HOLD, RAMP], ids=["hold", "ramp"])
def test_the_chart_is_a_picture_with_lines_in_it(schedule: Schedule, tmp_path: Path) -> None:
    drawn, empty = tmp_path / "drawn.png", tmp_path / "empty.png"
    chart.draw(report(judged(calls=100), judged(calls=200, trip=0.03), schedule=schedule, knee=100), drawn)
    chart.draw(report(judged(late=1.0), schedule=schedule), empty)
    octets = drawn.read_bytes()
    assert octets[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", octets[16:24]) == (1080, 780)
    assert len(octets) > len(empty.read_bytes()) + 5000


def test_without_what_draws_there_is_a_hint_and_no_chart(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chart.can_draw()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert not chart.can_draw()
    assert 'pip install "telnyx-media-gateway[bench]"' in chart.HINT
