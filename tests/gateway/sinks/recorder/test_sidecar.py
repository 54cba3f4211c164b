"""The sidecar: whole or not there at all, private, bounded."""

import json
import stat
from pathlib import Path

import pytest

from gateway.sinks.recorder.sidecar import PlayedPieces, is_final, read_sidecar, write_sidecar


@pytest.mark.parametrize("sync", [False, True])
def test_values_come_back(tmp_path: Path, *, sync: bool) -> None:
    values = {"name": 'quote " and ü', "list": [[1, 2], [3, 4]], "none": None, "report": {"a": {"b": 1.5}}}
    write_sidecar(tmp_path, values, sync=sync)
    assert json.loads((tmp_path / "recording.json").read_text("utf-8")) == read_sidecar(tmp_path) == values


def test_a_sidecar_is_private_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    write_sidecar(tmp_path, {"complete": False})
    write_sidecar(tmp_path, {"complete": True})
    assert stat.S_IMODE((tmp_path / "recording.json").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["recording.json"]


def test_a_value_that_json_cannot_say_leaves_the_old_sidecar(tmp_path: Path) -> None:
    write_sidecar(tmp_path, {"complete": False})
    with pytest.raises(TypeError):
        write_sidecar(tmp_path, {"complete": object()})
    assert read_sidecar(tmp_path) == {"complete": False}


@pytest.mark.parametrize("octets", [b"", b'{"state": "fin', b"[1, 2]", b"\xff\xfe"])
def test_what_a_crash_may_have_left_reads_as_nothing(octets: bytes, tmp_path: Path) -> None:
    assert read_sidecar(tmp_path) == {}
    (tmp_path / "recording.json").write_bytes(octets)
    assert read_sidecar(tmp_path) == {}
    assert not is_final(tmp_path)


def test_only_a_final_recording_is_final(tmp_path: Path) -> None:
    assert not is_final(tmp_path)
    for state in ("recording", "finishing", "final"):
        write_sidecar(tmp_path, {"state": state, "complete": True})
        assert is_final(tmp_path) == (state == "final")


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


def test_pieces_are_listed_as_they_stand_in_the_file() -> None:
    played = PlayedPieces()
    for position, length in ((0, 80), (900, 200), (2000, 160)):
        played.add(position, length)
    assert played.placed(sample_rate=8000, file_rate=16_000, origin=2000) == [[0, 200], [2000, 320]]
