"""The sidecar: whole or not there at all, private, bounded."""

import json
import stat
from pathlib import Path

import pytest

from gateway.sinks.recorder.sidecar import PlayedPieces, write_sidecar


def test_values_come_back(tmp_path: Path) -> None:
    values = {"name": 'quote " and ü', "list": [[1, 2], [3, 4]], "none": None, "report": {"a": {"b": 1.5}}}
    write_sidecar(tmp_path / "recording.json", values)
    assert json.loads((tmp_path / "recording.json").read_text("utf-8")) == values


def test_a_sidecar_is_private_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    write_sidecar(tmp_path / "recording.json", {"complete": False})
    write_sidecar(tmp_path / "recording.json", {"complete": True})
    assert stat.S_IMODE((tmp_path / "recording.json").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["recording.json"]


def test_a_value_that_json_cannot_say_leaves_the_old_sidecar(tmp_path: Path) -> None:
    write_sidecar(tmp_path / "recording.json", {"complete": False})
    with pytest.raises(TypeError):
        write_sidecar(tmp_path / "recording.json", {"complete": object()})
    assert json.loads((tmp_path / "recording.json").read_text("utf-8")) == {"complete": False}


def test_pieces_that_touch_are_one() -> None:
    played = PlayedPieces()
    for position, length in ((0, 160), (160, 160), (320, 0), (400, 10), (410, 5), (500, 1)):
        played.add(position, length)
    assert played.pieces == [[0, 320], [400, 15], [500, 1]]
    assert not played.truncated


def test_the_list_of_pieces_is_bounded_and_says_so() -> None:
    played = PlayedPieces(limit=2)
    for position in (0, 100, 200):
        played.add(position, 10)
    assert played.pieces == [[0, 10], [100, 10]]
    assert played.truncated
