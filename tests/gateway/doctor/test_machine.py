from pathlib import Path
from typing import Any

import pytest

from gateway.config import Settings
from gateway.doctor.finding import Finding
from gateway.doctor.machine import check_machine

GIB = 2**30


def examine(folder: Path, *, espeak: str | None = "/usr/bin/espeak-ng", **world: Any) -> dict[str, Finding]:
    fields = {"data_dir": folder, **world.pop("settings", {})}
    parts: dict[str, Any] = {
        "free": lambda _: 50 * GIB,
        "find": {"espeak-ng": espeak, "ffmpeg": "/usr/bin/ffmpeg"}.get,
        "most_files": lambda: 1_000_000,
        "missing": list,
    }
    return {finding.check: finding for finding in check_machine(Settings(**fields), **(parts | world))}


def test_a_machine_that_has_everything_is_well(tmp_path: Path) -> None:
    findings = examine(tmp_path)
    assert {finding.health for finding in findings.values()} == {"ok"}
    assert list(findings) == ["data folder", "disk space", "key files", "codecs", "espeak", "ffmpeg", "open files"]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_yet_to_be_made_is_not_made_by_the_doctor(tmp_path: Path) -> None:
    assert examine(tmp_path / "a" / "b")["data folder"].found.endswith("can be made")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    finding = examine(tmp_path / "file")["data folder"]
    assert (finding.health, "GATEWAY_DATA_DIR" in finding.remedy) == ("failed", True)


@pytest.mark.parametrize(("free", "health"), [(50 * 2**20, "failed"), (500 * 2**20, "warning"), (2 * GIB, "ok")])
def test_a_disk_that_is_nearly_full(tmp_path: Path, free: int, health: str) -> None:
    assert examine(tmp_path, free=lambda _: free)["disk space"].health == health


@pytest.mark.parametrize("name", ["api_key", "forward_key"])
def test_a_key_that_others_can_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("a secret of the test")
    (tmp_path / name).chmod(0o644)
    finding = examine(tmp_path)["key files"]
    assert (finding.health, finding.remedy) == ("failed", f"chmod 600 {tmp_path / name}")
    assert "secret" not in str(finding)


def test_the_public_key_of_forwarded_webhooks_is_shown(tmp_path: Path) -> None:
    forward: dict[str, Any] = {"settings": {"forward_url": "http://127.0.0.1:1/"}}
    shown = examine(tmp_path, **forward)["forwarding key"]
    assert shown.health == "ok"
    assert examine(tmp_path, **forward)["forwarding key"] == shown
    (tmp_path / "forward_key").write_text("dGhpcyBpcyB0b28gc2hvcnQ=")
    assert examine(tmp_path, **forward)["forwarding key"].health == "failed"


@pytest.mark.parametrize(
    ("fields", "missing", "health"),
    [
        ({}, ["OPUS", "AMR-WB"], "warning"),
        ({"stream_codec": "OPUS"}, ["OPUS", "AMR-WB"], "failed"),
        ({"stream_mode": "mp3"}, ["MP3"], "failed"),
    ],
)
def test_codecs_that_are_not_installed(tmp_path: Path, fields: dict[str, Any], missing: list[str], health: str) -> None:
    finding = examine(tmp_path, settings=fields, missing=lambda: missing)["codecs"]
    assert (finding.health, "[codecs]" in finding.remedy) == (health, True)


@pytest.mark.parametrize(("speech", "health"), [(None, "skipped"), ("espeak:?voice=de", "failed")])
def test_a_speaker_that_is_not_installed(tmp_path: Path, speech: str | None, health: str) -> None:
    assert examine(tmp_path, espeak=None, settings={"speech": speech})["espeak"].health == health


def test_too_few_open_files_for_the_calls(tmp_path: Path) -> None:
    finding = examine(tmp_path, most_files=lambda: 1024)["open files"]
    assert finding.health == "failed"
    assert "LimitNOFILE=2700" in finding.remedy
    assert examine(tmp_path, most_files=lambda: -1)["open files"].health == "ok"
    assert examine(tmp_path, most_files=lambda: 1300, settings={"max_calls": 10})["open files"].health == "ok"
