"""The file: exact, wherever the channels are, and playable while it grows."""

import stat
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.sinks.recorder.encoding import ENCODINGS, FileFormat, Layout
from gateway.sinks.recorder.riff import read_header
from gateway.sinks.recorder.wav import WavFile
from tests.gateway.sinks.recorder.recordings import noise, read_wav

STEREO = FileFormat(8000, ENCODINGS["linear16"], Layout())


def two(left: Any, right: Any) -> Any:
    return np.column_stack((left, right))


Gaps = st.one_of(st.integers(0, 50), st.integers(7_900, 8_100), st.integers(20_000, 60_000))
Turns = st.lists(st.tuples(st.sampled_from(["rows", "left", "right"]), Gaps, st.integers(1, 200)), max_size=15)


@given(turns=Turns)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_file_is_what_was_written_wherever_the_channels_are(
    turns: list[tuple[str, int, int]], tmp_path: Path
) -> None:
    path = tmp_path / "random.wav"
    path.unlink(missing_ok=True)
    wav = WavFile(path, STEREO)
    model = np.zeros((0, 2), np.int16)
    ends = {"rows": 0, "left": 0, "right": 0}
    for number, (what, gap, length) in enumerate(turns):
        position = ends[what] + gap
        ends[what] = position + length
        model = np.pad(model, ((0, max(0, ends[what] - len(model))), (0, 0)))
        sound = noise(length, number)
        if what == "rows":
            wav.write(position, two(sound, sound[::-1]))
            model[position : ends[what]] = two(sound, sound[::-1])
        else:
            column = ["left", "right"].index(what)
            wav.add(position, column, sound)
            model[position : ends[what], column] = sound
        assert np.array_equal(read_wav(path), model)
    wav.finish()
    wav.close()
    assert np.array_equal(read_wav(path), model)
    assert path.stat().st_size == wav.size == 80 + 4 * len(model)


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize("layout", [Layout(), Layout((0,)), Layout((1,)), Layout(mixed=True)], ids=str)
def test_every_format_says_what_it_is_and_is_silent_where_nothing_was_written(
    name: str, layout: Layout, tmp_path: Path
) -> None:
    sound = FileFormat(8000, ENCODINGS[name], layout)
    path = tmp_path / "a.wav"
    wav = WavFile(path, sound)
    dtype, silence = sound.waiting
    heard = np.full((300, 2), silence, dtype)
    heard[:] = sound.encoding.encode(np.full((300, 2), 8031, np.int16)) if sound.waits_encoded else 8031
    wav.write(300_001, heard)
    wav.add(200_000, 1, heard[:100, 1])
    wav.finish()
    wav.close()
    found, offset, data_bytes = read_header(path)
    assert (found.encoding.name, found.layout.channels, found.sample_rate) == (name, layout.channels, 8000)
    assert data_bytes == 300_301 * sound.frame_bytes
    assert path.stat().st_size == offset + data_bytes + data_bytes % 2
    octets = path.read_bytes()[offset : offset + data_bytes]
    samples = sound.encoding.decode(np.frombuffer(octets, sound.encoding.dtype).reshape(-1, layout.channels))
    loud = np.flatnonzero(np.abs(samples).max(axis=1) > 100)
    early = range(200_000, 200_100) if layout.mixed or 1 in layout.tracks else ()
    assert loud.tolist() == [*early, *range(300_001, 300_301)]
    assert np.abs(samples[300_001:]).min() > (15_000 if layout.mixed else 7_700)


def test_a_file_can_be_played_while_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    wav = WavFile(path, STEREO)
    assert len(read_wav(path)) == 0
    rows = two(noise(800, 1), noise(800, 2))
    wav.write(0, rows)
    assert np.array_equal(read_wav(path), rows)
    assert read_header(path).data_bytes == 3200
    wav.close()


def test_a_file_is_private_and_replaces_none(tmp_path: Path) -> None:
    wav = WavFile(tmp_path / "a.wav", STEREO)
    assert stat.S_IMODE((tmp_path / "a.wav").stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        WavFile(tmp_path / "a.wav", STEREO)
    with pytest.raises(BlockingIOError):  # it is being written
        WavFile(tmp_path / "a.wav", STEREO, repair=True)
    wav.close()
    WavFile(tmp_path / "a.wav", STEREO, repair=True).close()


def test_channels_an_hour_apart_cost_neither_memory_nor_disk(tmp_path: Path) -> None:
    path, hour = tmp_path / "a.wav", 3600 * 8000
    wav = WavFile(path, STEREO)
    left, right = noise(160, 1), noise(160, 2)
    wav.add(0, 0, left)
    wav.add(hour, 1, right)
    wav.add(160, 0, left)
    wav.finish()
    wav.close()
    assert path.stat().st_blocks * 512 < 1_000_000 < path.stat().st_size
    with wave.open(str(path)) as file:
        assert file.getnframes() == hour + 160
        start = np.frombuffer(file.readframes(400), "<i2").reshape(-1, 2)
        file.setpos(hour)
        end = np.frombuffer(file.readframes(160), "<i2").reshape(-1, 2)
    assert np.array_equal(start[:320, 0], np.tile(left, 2))
    assert not start[320:].any()
    assert not start[:, 1].any()
    assert np.array_equal(end[:, 1], right)
    assert not end[:, 0].any()


def test_above_4_gib_it_becomes_rf64(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    wav = WavFile(path, FileFormat(48_000, ENCODINGS["linear16"], Layout()))
    last = 2**30 + 1000
    wav.write(0, two(noise(100, 1), noise(100, 2)))
    wav.write(last, two(noise(10, 3), noise(10, 4)))
    wav.finish()
    wav.close()
    assert read_header(path).data_bytes == 4 * (last + 10)
    with path.open("rb") as file:
        assert file.read(4) == b"RF64"
    av = pytest.importorskip("av")
    with av.open(str(path)) as container:  # what another program makes of it
        assert container.streams.audio[0].duration == last + 10
        first = next(container.decode(audio=0)).to_ndarray().reshape(-1, 2)
        assert np.array_equal(first[:100], two(noise(100, 1), noise(100, 2)))


def test_just_below_4_gib_it_is_still_riff(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    wav = WavFile(path, STEREO)
    length = (2**32 - 1 - 72) // 4 - 1
    wav.write(length - 10, two(noise(10), noise(10)))
    wav.finish()
    wav.close()
    with wave.open(str(path)) as file:
        assert file.getnframes() == length
        file.setpos(length - 10)
        assert np.array_equal(np.frombuffer(file.readframes(10), "<i2")[::2], noise(10))


@pytest.mark.parametrize("final", [False, True])
def test_repair_keeps_whole_rows_and_makes_the_header_true(tmp_path: Path, *, final: bool) -> None:
    path = tmp_path / "a.wav"
    mono = FileFormat(8000, ENCODINGS["PCMU"], Layout((0,)))
    wav = WavFile(path, mono)
    wav.put(0, np.full((333, 1), 17, np.uint8))
    if final:
        wav.finish()  # and an octet to make it even
    wav.close()
    repaired = WavFile(path, read_header(path).sound, repair=True)
    repaired.finish()
    repaired.close()
    assert read_header(path).data_bytes == repaired.samples == 333
    assert path.stat().st_size == 94 + 334


def test_half_a_row_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    wav = WavFile(path, STEREO)
    wav.write(0, two(noise(10, 1), noise(10, 2)))
    wav.close()
    with path.open("ab") as file:
        file.write(b"\x01\x02\x03")
    repaired = WavFile(path, STEREO, repair=True)
    repaired.finish()
    repaired.close()
    assert np.array_equal(read_wav(path), two(noise(10, 1), noise(10, 2)))
