"""`telnyx-gateway bench` against the gateway as it runs, each in processes of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli import app

EASY = ("--max-p99-ms", "5000", "--max-late-ms", "5000")  # a busy machine is not what is tested here


@dataclass(frozen=True)
class Server:
    url: str
    pid: int


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = Path(__file__).parents[2]
    settings = {
        "GATEWAY_MEDIA_LISTEN": "127.0.0.1:0",
        "GATEWAY_HTTP_LISTEN": "127.0.0.1:0",
        "GATEWAY_MEDIA_AUTH": "none",
        "GATEWAY_AGENT": "echo",
        "GATEWAY_DRAIN_TIMEOUT": "1",
        "GATEWAY_LOG_LEVEL": "error",
        "GATEWAY_DATA_DIR": str(tmp_path_factory.mktemp("data")),
        "PYTHONPATH": os.pathsep.join((str(root), str(root / "codecs"))),
        "PATH": os.environ["PATH"],
    }
    with subprocess.Popen(
        [sys.executable, "-m", "gateway", "serve"],
        env=settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield Server(process.stdout.readline().split("media=")[1].split()[0], process.pid)
        finally:
            process.terminate()


def bench(url: str, *arguments: str | Path) -> Result:
    short = ("--hold", "0.6s", "--settle", "0.1")
    return CliRunner().invoke(app, ["bench", url, *short, *map(str, arguments)])


def test_a_level_is_held_and_reported(server: Server, tmp_path: Path) -> None:
    out = tmp_path / "report"
    result = bench(server.url, "--calls", "5", "--processes", "2", "--server-pid", str(server.pid), "--out", out, *EASY)
    assert result.exit_code == 0, result.output
    assert "calls 5" in result.output
    assert "verdict held" in result.output
    facts = json.loads((out / "bench.json").read_text())
    (level,) = facts["levels"]
    assert (level["up"], level["refused"], level["closed"], level["loss"]) == (5, {}, {}, 0)
    assert level["sent"] == level["answered"] > 90
    assert 0 < level["round_trip_ms"]["p50"] <= level["round_trip_ms"]["p99"]
    assert len(level["load"]["cpu_of_a_core"]) == 2
    assert level["server"]["memory"] > 20 * 2**20
    assert level["server"]["cpu_us_per_frame"] > 1
    assert "| 5 |" in (out / "bench.md").read_text()
    assert (out / "bench.png").read_bytes().startswith(b"\x89PNG")


def test_a_limit_that_is_not_kept_shows_in_the_exit_status(server: Server) -> None:
    limits = ("--max-p99-ms", "0.001", "--max-late-ms", "5000")
    result = bench(server.url, "--one-way", "--calls", "2", "--ramp-to", "8", "--step", "2", "--hold", "1.2s", *limits)
    assert result.exit_code == 1, result.output
    assert "2 calls, limit not kept: p99 is" in result.output
    assert "Knee: below the first level." in result.output


def test_figures_of_a_load_that_was_late_are_withheld(server: Server, tmp_path: Path) -> None:
    result = bench(server.url, "--calls", "3", "--max-late-ms", "0", "--out", tmp_path)
    assert result.exit_code == 3, result.output
    assert "3 calls, figures withheld: the load was late: p99 " in result.output
    (level,) = json.loads((tmp_path / "bench.json").read_text())["levels"]
    assert "round_trip_ms" not in level
    assert level["load"]["late_ms"]["p99"] > 0
    assert not (tmp_path / "bench.png").exists()


def test_where_nobody_listens_nothing_is_run(unused_tcp_port: int) -> None:
    result = bench(f"ws://127.0.0.1:{unused_tcp_port}/media", "--calls", "2")
    assert result.exit_code == 2
    assert "not one call could be opened" in result.output
