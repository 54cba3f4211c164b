"""After a crash: what was left behind is made whole, and nothing else is touched."""

import hashlib
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.sinks.recorder.complete import Completion
from gateway.sinks.recorder.recording import Recording
from gateway.sinks.recorder.recover import recover, unfinished
from gateway.sinks.recorder.riff import read_header
from gateway.sinks.recorder.sidecar import read_sidecar
from gateway.sinks.recorder.wav import WavFile
from tests.gateway.sinks.recorder.recordings import noise, read_wav, sidecar, stream_info
from tests.gateway.sinks.recorder.test_recording import NOTHING, POOL, begun, rows

NOTHING_MORE = Completion()


def abandoned(folder: Path, **options: Any) -> Recording:
    """A recording whose process is gone: a second of sound, no end, nobody's claim."""
    recording = begun(folder, **options)
    recording.flush(rows(0, noise(8000)), POOL)
    recording.release()
    return recording


def test_what_was_written_before_a_crash_is_made_whole(tmp_path: Path) -> None:
    folder = abandoned(tmp_path / "one").folder
    with (folder / "recording.wav").open("ab") as file:
        file.write(b"\x01\x02\x03")  # half a row
    assert recover(folder, NOTHING_MORE) == (folder, 1.0, None)
    octets = (folder / "recording.wav").read_bytes()
    assert octets[:4] == b"RIFF"
    assert int.from_bytes(octets[4:8], "little") == len(octets) - 8 == 32_072
    assert np.array_equal(read_wav(folder / "recording.wav")[:, 0], noise(8000))
    values = sidecar(folder)
    assert (values["state"], values["complete"], values["ended"]) == ("final", False, "crash")
    assert (values["samples"], values["duration"], values["bytes"]) == (8000, 1.0, 32_080)
    assert values["sha256"] == hashlib.sha256(octets).hexdigest()
    assert values["call_control_id"] == "../../etc/passwd"
    assert values["problems"] == ["the process ended before the stream did: its last second may be missing"]


def test_it_happens_once(tmp_path: Path) -> None:
    folder = abandoned(tmp_path / "one").folder
    assert list(unfinished(tmp_path)) == [folder]
    recover(folder, NOTHING_MORE)
    before = sidecar(folder)
    assert list(unfinished(tmp_path)) == []
    assert recover(folder, NOTHING_MORE) is None
    assert sidecar(folder) == before


def test_a_recording_that_is_being_made_is_left_alone(tmp_path: Path) -> None:
    recording = begun(tmp_path / "one")
    recording.flush(rows(0, noise(800)), POOL)
    before = (tmp_path / "one" / "recording.wav").read_bytes()
    assert recover(tmp_path / "one", NOTHING_MORE) is None
    assert (tmp_path / "one" / "recording.wav").read_bytes() == before
    recording.flush(rows(800, noise(800)), POOL)
    recording.finish(NOTHING, POOL, {})
    assert recover(tmp_path / "one", NOTHING_MORE) is None  # it is still being completed
    assert sidecar(tmp_path / "one")["state"] == "finishing"
    recording.release()


def test_of_several_workers_that_start_one_repairs_each_recording(tmp_path: Path) -> None:
    def convert(folder: Path, values: dict[str, Any]) -> dict[str, Any]:
        shutil.copy(folder / values["file"], folder / "converted.wav")
        return {"file": "converted.wav"}

    folders = [abandoned(tmp_path / str(number), trim="trim-silence").folder for number in range(20)]
    twice = [folder for folder in folders for _ in range(2)]
    with ThreadPoolExecutor(2) as workers:
        found = list(workers.map(lambda folder: recover(folder, Completion(convert)), twice))
    assert sorted(str(one.folder) for one in found if one is not None) == sorted(str(folder) for folder in folders)
    assert [one.problem for one in found if one is not None] == [None] * 20
    assert {sidecar(folder)["state"] for folder in folders} == {"final"}


def test_what_another_worker_has_completed_meanwhile_is_nothing_to_tell(tmp_path: Path) -> None:
    def convert(folder: Path, values: dict[str, Any]) -> dict[str, Any]:
        (folder / "recording.flac").write_bytes(b"fLaC")
        return {"file": "recording.flac"}

    folder = abandoned(tmp_path / "one", format="flac").folder
    assert recover(folder, Completion(convert)) == (folder, 1.0, None)
    before = sidecar(folder)
    assert recover(folder, Completion(convert)) is None
    assert sidecar(folder) == before
    shutil.rmtree(folder)
    assert recover(folder, Completion(convert)) is None


def test_a_recording_that_only_lacks_its_completion_is_complete(tmp_path: Path) -> None:
    recording = begun(tmp_path / "one")
    recording.ended = "stream_end"
    recording.finish(rows(0, noise(800)), POOL, {"end": "stop"})
    recording.release()
    assert recover(tmp_path / "one", NOTHING_MORE) == (tmp_path / "one", 0.1, None)
    values = sidecar(tmp_path / "one")
    assert (values["state"], values["complete"], values["problems"]) == ("final", True, [])
    assert (values["ended"], values["report"]) == ("stream_end", {"end": "stop"})


@pytest.mark.parametrize("left", ["", '{\n  "state": "rec', "[]"])
def test_a_lost_sidecar_is_made_anew(left: str, tmp_path: Path) -> None:
    folder = abandoned(tmp_path / "one").folder
    (folder / "recording.json").write_text(left)
    assert recover(folder, NOTHING_MORE) == (folder, 1.0, None)
    values = sidecar(folder)
    assert (values["state"], values["file"], values["sample_rate"]) == ("final", "recording.wav", 8000)


def test_a_sidecar_names_no_file_elsewhere(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.wav"
    WavFile(elsewhere, read_header(abandoned(tmp_path / "two").folder / "recording.wav").sound).close()
    before = elsewhere.read_bytes()
    folder = abandoned(tmp_path / "one").folder
    text = (folder / "recording.json").read_text().replace('"recording.wav"', '"../elsewhere.wav"')
    (folder / "recording.json").write_text(text)
    assert recover(folder, NOTHING_MORE) == (folder, 1.0, None)
    assert elsewhere.read_bytes() == before
    assert sidecar(folder)["file"] == "recording.wav"


@pytest.mark.parametrize("octets", [b"", b"RIFF", b"something else entirely"])
def test_what_is_no_recording_is_told_and_left_as_it_is(octets: bytes, tmp_path: Path) -> None:
    folder = abandoned(tmp_path / "one").folder
    (folder / "recording.wav").write_bytes(octets)
    recovered = recover(folder, NOTHING_MORE)
    assert recovered is not None
    assert (recovered.duration, recovered.problem) == (None, "recording.wav is no WAV file of a recording")
    assert (folder / "recording.wav").read_bytes() == octets
    assert read_sidecar(folder)["state"] == "recording"


def test_a_folder_without_sound_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "recording.new").write_bytes(b"RIFF")
    (tmp_path / "file").write_text("no folder")
    assert [recover(folder, NOTHING_MORE) for folder in unfinished(tmp_path)] == [None, None]
    assert list(unfinished(tmp_path / "nowhere")) == []


def test_the_newest_come_first(tmp_path: Path) -> None:
    for name in ("20261120T101500Z-00000001", "20261121T101500Z-00000000", "20261119T101500Z-00000002"):
        Recording(tmp_path / name, stream_info()).create()
    assert [folder.name[:8] for folder in unfinished(tmp_path)] == ["20261121", "20261120", "20261119"]
