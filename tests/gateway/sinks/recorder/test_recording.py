"""One recording on the disk, in whatever thread: folder, file, sidecar, and what goes wrong with them."""

import stat
from pathlib import Path
from typing import Any

import numpy as np

from audio_codecs import Samples
from gateway.sinks.recorder.complete import Completion
from gateway.sinks.recorder.options import RecordingOptions
from gateway.sinks.recorder.recording import Late, Recording, Sound
from gateway.sinks.recorder.window import Block, BlockPool, Stretch
from tests.gateway.sinks.recorder.recordings import no_file_beyond, noise, read_wav, sidecar, stream_info

POOL = BlockPool(8000, np.dtype(np.int16), 0)
NOTHING = Sound([], [], 0)


def rows(position: int, left: Samples, frames: int = 1) -> Sound:
    """Sound of the caller alone."""
    block = Block(max(len(left), POOL.length), np.dtype(np.int16))
    block.heard[: len(left), 0] = left
    return Sound([Stretch(position, block, len(left))], [], frames)


def played(position: int, samples: Samples, frames: int = 1) -> Sound:
    return Sound([], [Late("played", position, samples)], frames)


def begun(folder: Path, **options: Any) -> Recording:
    recording = Recording(folder, stream_info(), RecordingOptions(**options))
    recording.origin = 0
    recording.create()
    return recording


def test_a_recording_is_a_private_folder_with_a_file_and_a_sidecar(tmp_path: Path) -> None:
    folder = tmp_path / "recordings" / "one"
    recording = begun(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    assert sorted(path.name for path in folder.iterdir()) == ["recording.json", "recording.wav"]
    assert (sidecar(folder)["state"], sidecar(folder)["complete"]) == ("recording", False)
    recording.finish(NOTHING, POOL, {})
    assert (sidecar(folder)["state"], sidecar(folder)["complete"]) == ("finishing", True)
    assert recording.written


def test_a_name_of_ones_own_gets_the_time(tmp_path: Path) -> None:
    recording = begun(tmp_path / "one", custom_file_name="booking_4711")
    recording.finish(NOTHING, POOL, {})
    assert sidecar(tmp_path / "one")["file"] == "booking_4711-1795169700.wav"
    assert (tmp_path / "one" / "booking_4711-1795169700.wav").is_file()


def test_the_sidecar_says_what_the_file_does_not(tmp_path: Path) -> None:
    recording = begun(tmp_path / "one")
    recording.origin = 800
    recording.flush(rows(800, noise(8000)), POOL)
    for position, length in ((1600, 160), (1760, 40), (4800, 160)):
        recording.pieces.add(position, length)
    recording.pauses.append([2000, 100])
    recording.ended = "stream_end"
    recording.finish(played(1600, noise(160), 4), POOL, {"lost": [3]})
    values = Completion().complete(tmp_path / "one")
    assert values == sidecar(tmp_path / "one")
    digest = values.pop("sha256")
    assert len(digest) == 64
    assert values == {
        "state": "final",
        "format": 2,
        "complete": True,
        "file": "recording.wav",
        "call_control_id": "../../etc/passwd",
        "stream_id": "stream-1",
        "call_session_id": "session-1",
        "started_at": 1795169700.25,
        "options": RecordingOptions().model_dump(),
        "channels": ["inbound", "played"],
        "encoding": "linear16",
        "inbound_encoding": "PCMU",
        "inbound_sample_rate": 8000,
        "played_encoding": "L16",
        "played_sample_rate": 8000,
        "sample_rate": 8000,
        "origin": 800,
        "samples": 8000,
        "duration": 1.0,
        "ended": "stream_end",
        "frames_dropped": 0,
        "pauses": [[1200, 100]],
        "played_pieces": [[800, 200], [4000, 160]],
        "played_pieces_truncated": False,
        "problems": [],
        "report": {"lost": [3]},
        "bytes": 32_080,
    }
    assert (tmp_path / "one" / "recording.wav").stat().st_size == 32_080


def test_a_folder_that_cannot_be_made_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "recordings").write_text("a file, not a folder")
    recording = begun(tmp_path / "recordings" / "one")
    assert recording.problems[0].startswith("cannot begin")
    recording.flush(rows(0, noise(160)), POOL)
    recording.finish(rows(160, noise(160)), POOL, {})
    assert len(recording.problems) == 1
    assert recording.frames_dropped == 2
    assert recording.duration == 0.0
    assert not recording.written


def test_a_folder_that_is_there_already_is_left_alone(tmp_path: Path) -> None:
    first = begun(tmp_path / "one")
    first.finish(rows(0, noise(160)), POOL, {})
    second = begun(tmp_path / "one")
    second.finish(rows(0, noise(320)), POOL, {})
    assert second.problems
    assert sidecar(tmp_path / "one")["samples"] == len(read_wav(tmp_path / "one" / "recording.wav")) == 160


def test_a_disk_that_refuses_stops_the_recording_and_leaves_it_playable(tmp_path: Path) -> None:
    recording = begun(tmp_path / "one")
    before, after = noise(8000, 1), noise(40_000, 2)
    recording.flush(rows(0, before, 50), POOL)
    with no_file_beyond(100_000):
        recording.flush(rows(8000, after, 250), POOL)
        assert recording.problems[0].startswith("cannot write")
        recording.finish(rows(48_000, before, 50), POOL, {"end": "stop"})
    assert np.array_equal(read_wav(tmp_path / "one" / "recording.wav")[:, 0], before)
    assert (tmp_path / "one" / "recording.wav").stat().st_size == 32_080
    values = sidecar(tmp_path / "one")
    assert (values["complete"], values["samples"], values["frames_dropped"]) == (False, 8000, 300)
    assert values["problems"] == recording.problems
    assert values["report"] == {"end": "stop"}


def test_a_report_that_json_cannot_say_costs_the_sidecar_and_not_the_sound(tmp_path: Path) -> None:
    recording = begun(tmp_path / "one")
    recording.finish(rows(0, noise(160)), POOL, {"end": object()})
    assert len(read_wav(tmp_path / "one" / "recording.wav")) == 160
    assert sidecar(tmp_path / "one")["complete"] is False
    assert recording.problems[0].startswith("cannot write the sidecar")
    assert not recording.written


def test_what_came_before_a_problem_of_the_stream_is_written(tmp_path: Path) -> None:
    recording = begun(tmp_path / "one")
    recording.fail("inbound came at 16000 Hz, not at 8000 Hz")
    recording.finish(rows(0, noise(160)), POOL, {})
    assert len(read_wav(tmp_path / "one" / "recording.wav")) == 160
    assert sidecar(tmp_path / "one")["complete"] is False
    assert recording.frames_dropped == 0


def test_blocks_come_back_whatever_happens(tmp_path: Path) -> None:
    pool = BlockPool(8000, np.dtype(np.int16), 0)
    recording = begun(tmp_path / "one")
    for sound in (rows(0, noise(160)), rows(-1000, noise(160)), rows(160, noise(160))):
        recording.flush(sound, pool)
        assert pool.take() is sound.stretches[0].block
    assert recording.problems
