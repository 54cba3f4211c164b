"""One recording on the disk, in whatever thread: folder, file, sidecar, and what goes wrong with them."""

import json
import resource
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from audio_codecs import Samples
from gateway.sinks.base import StreamInfo
from gateway.sinks.recorder.recording import Piece, Recording, Sound
from tests.gateway.sinks.test_recorder_wav import noise, read_wav


def stream_info(
    *, inbound: int = 8000, played: int = 8000, report: Callable[[], Mapping[str, Any]] = dict
) -> StreamInfo:
    return StreamInfo(
        call_control_id="../../etc/passwd",
        stream_id="stream-1",
        call_session_id="session-1",
        inbound_encoding="PCMU",
        inbound_sample_rate=inbound,
        played_encoding="L16",
        played_sample_rate=played,
        client_state=None,
        custom_parameters={},
        started_at=1795169700.25,
        report=report,
    )


def sidecar(folder: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((folder / "recording.json").read_text("utf-8"))
    return values


def piece(position: int, samples: Samples) -> Piece:
    return position, memoryview(samples.tobytes()).cast("h")


NOTHING = Sound([], [], 0)


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """A disk that refuses: the system lets no file of this process grow beyond `size` octets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_recording_is_a_private_folder_with_a_file_and_a_sidecar(tmp_path: Path) -> None:
    folder = tmp_path / "recordings" / "one"
    recording = Recording(folder, stream_info())
    recording.create()
    assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    assert sorted(path.name for path in folder.iterdir()) == ["recording.json", "recording.wav"]
    assert sidecar(folder)["complete"] is False
    recording.finish(NOTHING, {})
    assert sidecar(folder)["complete"] is True


def test_the_caller_is_left_and_the_application_right(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "one", stream_info())
    recording.create()
    caller, application = noise(4000, 1), noise(1000, 2)
    recording.flush(Sound([piece(0, caller[:2500])], [piece(2000, application[:300])], 3))
    recording.finish(Sound([piece(2500, caller[2500:])], [piece(2300, application[300:])], 2), {})
    sound = read_wav(tmp_path / "one" / "recording.wav")
    assert np.array_equal(sound[:, 0], caller)
    assert np.array_equal(sound[2000:3000, 1], application)
    assert not sound[:2000, 1].any()
    assert not sound[3000:, 1].any()


def test_the_sidecar_says_what_the_file_does_not(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "one", stream_info())
    recording.create()
    recording.flush(Sound([piece(0, noise(8000))], [piece(800, noise(80)), piece(880, noise(80))], 3))
    recording.finish(Sound([], [piece(960, noise(40)), piece(4000, noise(160))], 2), {"lost": [3]})
    assert sidecar(tmp_path / "one") == {
        "complete": True,
        "file": "recording.wav",
        "call_control_id": "../../etc/passwd",
        "stream_id": "stream-1",
        "call_session_id": "session-1",
        "started_at": 1795169700.25,
        "channels": ["inbound", "played"],
        "inbound_encoding": "PCMU",
        "inbound_sample_rate": 8000,
        "played_encoding": "L16",
        "played_sample_rate": 8000,
        "sample_rate": 8000,
        "samples": 8000,
        "duration": 1.0,
        "bytes": 32044,
        "frames_dropped": 0,
        "played_pieces": [[800, 200], [4000, 160]],
        "played_pieces_truncated": False,
        "problems": [],
        "report": {"lost": [3]},
    }
    assert (tmp_path / "one" / "recording.wav").stat().st_size == 32044


def test_the_file_has_the_higher_of_two_rates(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "one", stream_info(inbound=8000, played=16000))
    recording.create()
    caller = np.round(8000 * np.sin(np.arange(8000) / 8000 * 2 * np.pi * 300)).astype(np.int16)
    application = noise(1600)
    recording.flush(Sound([piece(0, caller[:5000])], [piece(3200, application)], 2))
    recording.finish(Sound([piece(5000, caller[5000:])], [], 1), {})
    sound = read_wav(tmp_path / "one" / "recording.wav")
    assert np.array_equal(sound[3200:4800, 1], application)
    assert len(sound) == 16000
    wanted = 8000 * np.sin(np.arange(16000) / 16000 * 2 * np.pi * 300)
    assert np.abs(sound[:, 0] - wanted)[200:-200].max() < 8
    values = sidecar(tmp_path / "one")
    assert (values["sample_rate"], values["duration"], values["played_pieces"]) == (16000, 1.0, [[3200, 1600]])


def test_a_folder_that_cannot_be_made_stops_the_recording(tmp_path: Path) -> None:
    (tmp_path / "recordings").write_text("a file, not a folder")
    recording = Recording(tmp_path / "recordings" / "one", stream_info())
    recording.create()
    assert recording.stopped is not None
    assert recording.stopped.startswith("cannot begin")
    recording.flush(Sound([piece(0, noise(160))], [], 1))
    recording.finish(Sound([piece(160, noise(160))], [], 1), {})
    assert len(recording.problems) == 1
    assert recording.frames_dropped == 2
    assert recording.duration == 0.0


def test_a_folder_that_is_there_already_is_left_alone(tmp_path: Path) -> None:
    first = Recording(tmp_path / "one", stream_info())
    first.create()
    first.finish(Sound([piece(0, noise(160))], [], 1), {})
    second = Recording(tmp_path / "one", stream_info())
    second.create()
    second.finish(Sound([piece(0, noise(320))], [], 1), {})
    assert second.problems
    assert sidecar(tmp_path / "one")["samples"] == len(read_wav(tmp_path / "one" / "recording.wav")) == 160


def test_a_disk_that_refuses_stops_the_recording_and_leaves_it_playable(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "one", stream_info())
    recording.create()
    before, after = noise(8000, 1), noise(40_000, 2)
    recording.flush(Sound([piece(0, before)], [], 50))
    with no_file_beyond(100_000):
        recording.flush(Sound([piece(8000, after)], [], 250))
        assert recording.stopped is not None
        assert recording.stopped.startswith("cannot write")
        recording.finish(Sound([piece(48_000, before)], [], 50), {"end": "stop"})
    assert np.array_equal(read_wav(tmp_path / "one" / "recording.wav")[:, 0], before)
    assert (tmp_path / "one" / "recording.wav").stat().st_size == 32_044
    values = sidecar(tmp_path / "one")
    assert (values["complete"], values["samples"], values["frames_dropped"]) == (False, 8000, 300)
    assert values["problems"] == recording.problems
    assert values["report"] == {"end": "stop"}


def test_a_report_that_json_cannot_say_costs_the_sidecar_and_not_the_sound(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "one", stream_info())
    recording.create()
    recording.finish(Sound([piece(0, noise(160))], [], 1), {"end": object()})
    assert len(read_wav(tmp_path / "one" / "recording.wav")) == 160
    assert sidecar(tmp_path / "one")["complete"] is False
    assert recording.problems[0].startswith("cannot write the sidecar")


def test_what_came_before_a_problem_of_the_stream_is_written(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "one", stream_info())
    recording.create()
    recording.fail("inbound came at 16000 Hz, not at 8000 Hz")
    recording.finish(Sound([piece(0, noise(160))], [], 1), {})
    assert len(read_wav(tmp_path / "one" / "recording.wav")) == 160
    assert sidecar(tmp_path / "one")["complete"] is False
    assert recording.frames_dropped == 0
