"""What is made of a recording in the end: trimmed, in its format; and the old file is there until the new one is."""

import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audio_codecs import Samples
from gateway.errors import RecordingError
from gateway.sinks.recorder.complete import Completion
from gateway.sinks.recorder.convert import Done, Job, convert
from gateway.sinks.recorder.converter import Converter, refusal
from gateway.sinks.recorder.encoding import ENCODINGS, FileFormat, Layout
from gateway.sinks.recorder.options import RecordingOptions
from gateway.sinks.recorder.riff import read_header
from gateway.sinks.recorder.wav import WavFile
from tests.gateway.sinks.recorder.recordings import noise, read_wav, sidecar
from tests.gateway.sinks.recorder.test_recording import POOL, begun, rows

SECOND = 8000


def tones() -> Samples:
    """Six seconds: the caller speaks from 1.5 to 4, the application from 3 to 4.5; what surrounds that is no sound."""
    time = np.arange(6 * SECOND) / SECOND
    sound = (noise(12 * SECOND).reshape(-1, 2) // 3000).astype(np.int16)
    for channel, start, end, hertz in ((0, 1.5, 4.0, 440), (1, 3.0, 4.5, 1000)):
        where = (time >= start) & (time < end)
        sound[where, channel] = 8000 * np.sin(2 * np.pi * hertz * time[where])
    return sound


def wav(path: Path, sound: Samples, *, encoding: str = "linear16") -> Path:
    form = FileFormat(SECOND, ENCODINGS[encoding], Layout())
    file = WavFile(path, form)
    file.write(0, form.encoding.encode(sound) if form.waits_encoded else sound)
    file.finish()
    file.close()
    return path


def job(source: Path, target: Path, **fields: Any) -> Job:
    values: dict[str, Any] = {"source": str(source), "target": str(target), "format": "wav", "trim": False}
    return Job(**values | fields)


def decoded(path: Path) -> tuple[int, Samples]:
    """What another program makes of a file: rate, and samples of shape (n, channels)."""
    av = pytest.importorskip("av")
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="s16", layout=stream.layout, rate=stream.rate)
        parts = [part.to_ndarray() for frame in container.decode(audio=0) for part in resampler.resample(frame)]
        return stream.rate, np.concatenate(parts, axis=1).reshape(-1, stream.channels)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_silence_at_both_ends_is_taken_away_and_nothing_else(encoding: str, tmp_path: Path) -> None:
    sound = tones()
    done = convert(job(wav(tmp_path / "a.wav", sound, encoding=encoding), tmp_path / "b.wav", trim=True))
    assert done == Done(start=round(1.4 * SECOND), samples=round(3.2 * SECOND))
    whole, trimmed = (tmp_path / "a.wav").read_bytes(), (tmp_path / "b.wav").read_bytes()
    form, offset, data_bytes = read_header(tmp_path / "b.wav")
    assert (form.encoding.name, data_bytes) == (encoding, done.samples * form.frame_bytes)
    assert trimmed[offset:] == whole[offset + done.start * form.frame_bytes :][:data_bytes]


def test_a_recording_without_any_sound_stays_as_it_is(tmp_path: Path) -> None:
    silence = np.zeros((2 * SECOND, 2), np.int16)
    assert convert(job(wav(tmp_path / "a.wav", silence), tmp_path / "b.wav", trim=True)).samples == 2 * SECOND
    empty = np.zeros((0, 2), np.int16)
    assert convert(job(wav(tmp_path / "c.wav", empty), tmp_path / "d.wav", trim=True)).samples == 0


def test_flac_is_exact(tmp_path: Path) -> None:
    sound = noise(25 * SECOND).reshape(-1, 2)
    convert(job(wav(tmp_path / "a.wav", sound), tmp_path / "a.flac", format="flac"))
    sample_rate, samples = decoded(tmp_path / "a.flac")
    assert sample_rate == SECOND
    assert np.array_equal(samples, sound)


def test_what_the_process_of_a_killed_gateway_still_writes_does_no_harm(tmp_path: Path) -> None:
    sound = noise(2 * SECOND).reshape(-1, 2)
    with (tmp_path / "a.flac").open("wb") as left:
        left.write(b"x" * 20_000)
        left.flush()
        convert(job(wav(tmp_path / "a.wav", sound), tmp_path / "a.flac", format="flac"))
        left.write(b"x" * 20_000)
        left.flush()
    assert np.array_equal(decoded(tmp_path / "a.flac")[1], sound)


@pytest.mark.parametrize("form", ["opus", "mp3"])
def test_in_a_compressed_file_everybody_keeps_a_channel_and_a_place(form: str, tmp_path: Path) -> None:
    source = wav(tmp_path / "a.wav", tones())
    convert(job(source, tmp_path / "a.x", format=form))
    sample_rate, samples = decoded(tmp_path / "a.x")
    assert abs(len(samples) / sample_rate - 6) < 0.1
    loud = np.abs(samples.astype(int)).reshape(len(samples), 2)
    for channel, start, end in ((0, 1.5, 4.0), (1, 3.0, 4.5)):
        inside = loud[round((start + 0.1) * sample_rate) : round((end - 0.1) * sample_rate), channel]
        outside = np.concatenate(
            (loud[: round((start - 0.1) * sample_rate), channel], loud[round((end + 0.1) * sample_rate) :, channel])
        )
        assert np.percentile(inside, 90) > 6000
        assert outside.max() < 400
    assert (tmp_path / "a.x").stat().st_size < source.stat().st_size / 2


def test_a_source_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"something else")
    with pytest.raises(RecordingError, match="no WAV"):
        convert(job(tmp_path / "a.wav", tmp_path / "b.wav"))


# --- in a process of its own --------------------------------------------------------------------------------------


def recorded(folder: Path, sound: Samples, **options: Any) -> Path:
    """A recording whose sound is all there."""
    recording = begun(folder, **options)
    recording.pieces.add(3 * SECOND, 12_000)
    recording.finish(rows(0, sound), POOL, {})
    recording.release()
    return folder


def test_a_recording_becomes_what_was_asked_for(tmp_path: Path) -> None:
    converter = Converter()
    try:
        completion = Completion(convert=converter)
        first = recorded(tmp_path / "one", tones()[:, 0], format="flac", trim="trim-silence", custom_file_name="a")
        completion.complete(first)
        second = recorded(tmp_path / "two", noise(800), trim="trim-silence")  # the same process does it
        completion.complete(second)
    finally:
        converter.close()
    assert sorted(path.name for path in first.iterdir()) == ["a-1795169700.flac", "recording.json"]
    values = sidecar(first)
    octets = (first / "a-1795169700.flac").read_bytes()
    assert (values["file"], values["bytes"]) == ("a-1795169700.flac", len(octets))
    assert values["sha256"] == hashlib.sha256(octets).hexdigest()
    assert (values["state"], values["complete"], values["problems"]) == ("final", True, [])
    assert (values["samples"], values["duration"], values["origin"]) == (21_600, 2.7, 11_200)
    assert values["trimmed"] == [11_200, 15_200]
    assert values["played_pieces"] == [[12_800, 8800]]
    assert np.array_equal(decoded(first / "a-1795169700.flac")[1][:, 0], tones()[11_200:32_800, 0])
    assert np.array_equal(read_wav(second / "recording.wav")[:, 0], noise(800))


@pytest.mark.parametrize(
    ("program", "complaint"),
    [
        ("raise SystemExit(3)", "it has ended"),
        ("import time; time.sleep(60)", "it took too long"),
        ("print('{', flush=True)", "truncated"),
        ('print(\'{"error": "no such codec"}\', flush=True)', "no such codec"),
    ],
)
def test_a_conversion_that_fails_leaves_the_recording_and_says_so(program: str, complaint: str, tmp_path: Path) -> None:
    converter = Converter((sys.executable, "-c", f"import sys; sys.stdin.readline(); {program}"), least_time=0.2)
    folder = recorded(tmp_path / "one", noise(800), format="mp3")
    try:
        Completion(convert=converter).complete(folder)
    finally:
        converter.close()
    values = sidecar(folder)
    (problem,) = values["problems"]
    assert problem.startswith("cannot convert: ")
    assert complaint in problem
    assert (values["state"], values["file"], values["complete"]) == ("final", "recording.wav", True)
    assert np.array_equal(read_wav(folder / "recording.wav")[:, 0], noise(800))
    assert sorted(path.name for path in folder.iterdir()) == ["recording.json", "recording.wav"]


def test_what_cannot_be_made_is_told_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(RecordingOptions(), sealed=True) is None
    assert refusal(RecordingOptions(format="mp3", trim="trim-silence"), sealed=False) is None
    assert "sealed" in (refusal(RecordingOptions(trim="trim-silence"), sealed=True) or "")
    monkeypatch.setitem(sys.modules, "av", None)
    assert refusal(RecordingOptions(format="wav", trim="trim-silence"), sealed=False) is None
