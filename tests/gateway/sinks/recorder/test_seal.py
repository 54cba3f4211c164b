"""Sealed recordings: the same sound with the key, nothing without, and no change that goes unnoticed."""

import base64
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import ConfigError, RecordingError
from gateway.sinks.recorder.complete import Completion
from gateway.sinks.recorder.encoding import ENCODINGS, FileFormat, Layout
from gateway.sinks.recorder.options import RecordingOptions
from gateway.sinks.recorder.recording import Recording
from gateway.sinks.recorder.recover import recover
from gateway.sinks.recorder.seal import SealedFile, SealKey, load_key, unseal
from tests.gateway.sinks.recorder.recordings import no_file_beyond, noise, read_wav, sidecar, stream_info
from tests.gateway.sinks.recorder.test_recording import NOTHING, POOL, played, rows
from tests.gateway.sinks.recorder.test_wav import two

KEY = SealKey(bytes(range(32)))
STEREO = FileFormat(8000, ENCODINGS["linear16"], Layout())


def sealed(path: Path, *, final: bool = True) -> Path:
    """Three chunks of sound: 800 rows, some of them again with more, and a late piece."""
    file = SealedFile(path, STEREO, KEY)
    file.write(0, two(noise(800, 1), np.zeros(800, np.int16)))
    file.write(600, two(noise(1000, 1)[600:], noise(400, 2)))
    file.add(100, 1, noise(50, 3))
    if final:
        file.finish()
    file.close()
    return path


def sound() -> Any:
    rows = two(noise(1000, 1), np.zeros(1000, np.int16))
    rows[:800, 0] = noise(800, 1)
    rows[600:, 0], rows[600:, 1] = noise(1000, 1)[600:], noise(400, 2)
    rows[100:150, 1] = noise(50, 3)
    return rows


def test_the_key_gives_back_what_was_recorded(tmp_path: Path) -> None:
    path = sealed(tmp_path / "a.wav.sealed")
    assert unseal(path, KEY, tmp_path / "a.wav") is True
    assert np.array_equal(read_wav(tmp_path / "a.wav"), sound())


def test_without_the_key_there_is_no_sound(tmp_path: Path) -> None:
    path = sealed(tmp_path / "a.wav.sealed")
    octets = path.read_bytes()
    assert noise(800, 1)[:8].tobytes() not in octets
    with pytest.raises(RecordingError, match="sealed with another key"):
        unseal(path, SealKey(bytes(32)), tmp_path / "a.wav")
    assert not (tmp_path / "a.wav").exists()


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize("layout", [Layout(), Layout((1,)), Layout(mixed=True)], ids=str)
def test_every_format_can_be_sealed(name: str, layout: Layout, tmp_path: Path) -> None:
    from gateway.sinks.recorder.wav import WavFile

    form = FileFormat(8000, ENCODINGS[name], layout)
    files = (SealedFile(tmp_path / "a.wav.sealed", form, KEY), WavFile(tmp_path / "b.wav", form))
    for file in files:
        heard = two(noise(500, 1), noise(500, 2))
        file.write(1000, form.encoding.encode(heard) if form.waits_encoded else heard)
        late = noise(100, 3)
        file.add(200, 1, form.encoding.encode(late) if form.waits_encoded else late)
        file.finish()
        file.close()
    assert unseal(tmp_path / "a.wav.sealed", KEY, tmp_path / "a.wav")
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


@given(cut=st.integers(0, 8000))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_was_written_before_it_was_cut_off_is_there(cut: int, tmp_path: Path) -> None:
    target = tmp_path / "a.wav"
    target.unlink(missing_ok=True)
    path = tmp_path / "a.wav.sealed"
    path.unlink(missing_ok=True)
    octets = sealed(path).read_bytes()
    path.write_bytes(octets[:cut])
    try:
        assert unseal(path, KEY, target) is (cut >= len(octets))
    except RecordingError:
        assert cut < 200  # not even its header is whole
        return
    got = read_wav(target)
    assert np.array_equal(got[:600, 0], sound()[: len(got[:600]), 0])
    assert len(got) in (0, 800, 1000)


@given(at=st.integers(0, 8000), bit=st.integers(0, 7))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_change_never_goes_unnoticed(at: int, bit: int, tmp_path: Path) -> None:
    target = tmp_path / "a.wav"
    target.unlink(missing_ok=True)
    path = tmp_path / "a.wav.sealed"
    path.unlink(missing_ok=True)
    octets = bytearray(sealed(path).read_bytes())
    octets[at % len(octets)] ^= 1 << bit
    path.write_bytes(octets)
    try:
        whole = unseal(path, KEY, target)
    except RecordingError:
        return
    assert not whole  # a length was changed: it ends too early


def test_a_full_disk_leaves_what_was_written(tmp_path: Path) -> None:
    file = SealedFile(tmp_path / "a.wav.sealed", STEREO, KEY)
    file.write(0, two(noise(800, 1), noise(800, 2)))
    with no_file_beyond(5000), pytest.raises(OSError, match="File too large"):
        file.write(800, two(noise(8000, 3), noise(8000, 4)))
    file.finish()
    file.close()
    assert unseal(tmp_path / "a.wav.sealed", KEY, tmp_path / "a.wav") is False
    assert np.array_equal(read_wav(tmp_path / "a.wav"), two(noise(800, 1), noise(800, 2)))


def test_a_crash_leaves_a_recording_that_is_recovered_without_the_key(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    recording = Recording(folder, stream_info(), RecordingOptions(), key=KEY)
    recording.origin = 0
    recording.create()
    recording.flush(rows(0, noise(8000, 1)), POOL)
    recording.flush(played(4000, noise(160, 2)), POOL)
    recording.release()
    whole = (folder / "recording.wav.sealed").stat().st_size
    with (folder / "recording.wav.sealed").open("ab") as file:
        file.write(b"\x90\x01\0\0 the beginning of a chunk")
    assert recover(folder, Completion()) == (folder, None, None)
    assert (folder / "recording.wav.sealed").stat().st_size == whole
    values = sidecar(folder)
    assert (values["state"], values["complete"], values["duration"]) == ("final", False, None)
    assert unseal(folder / "recording.wav.sealed", KEY, tmp_path / "a.wav") is False
    got = read_wav(tmp_path / "a.wav")
    assert np.array_equal(got[:, 0], noise(8000, 1))
    assert np.array_equal(got[4000:4160, 1], noise(160, 2))


def test_a_sealed_recording_is_whole_in_the_end(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "one", stream_info(), RecordingOptions(channels="single"), key=KEY)
    recording.origin = 0
    recording.create()
    recording.finish(rows(0, noise(8000, 1)), POOL, {})
    recording.flush(NOTHING, POOL)
    values = sidecar(tmp_path / "one")
    assert (values["file"], values["samples"], values["complete"]) == ("recording.wav.sealed", 8000, True)
    assert unseal(tmp_path / "one" / "recording.wav.sealed", KEY, tmp_path / "a.wav") is True
    assert np.array_equal(read_wav(tmp_path / "a.wav")[:, 0], noise(8000, 1))


def test_a_key_is_32_octets_as_base64(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(base64.b64encode(bytes(KEY)) + b"\n")
    assert load_key(path) == KEY
    for text, complaint in (
        (b"", "holds 0 octets"),
        (b"not base64!", "no key"),
        (base64.b64encode(os.urandom(31)), "31"),
    ):
        path.write_bytes(text)
        with pytest.raises(ConfigError, match=complaint):
            load_key(path)
    with pytest.raises(ConfigError, match="cannot read"):
        load_key(tmp_path / "nowhere")


@pytest.mark.parametrize("octets", [b"", b"RIFF", b"telnyx-gateway sealed recording 1\n\xff\xff\xff\xff{"])
def test_what_is_not_sealed_is_refused(octets: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.wav.sealed").write_bytes(octets)
    with pytest.raises(RecordingError):
        unseal(tmp_path / "a.wav.sealed", KEY, tmp_path / "a.wav")
