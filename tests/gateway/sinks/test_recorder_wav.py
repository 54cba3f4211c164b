"""The file: exact, wherever the channels are, and playable after every write."""

import stat
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audio_codecs import Samples
from gateway.sinks.recorder.wav import MAX_SAMPLES, Segment, WavFile


def read_wav(path: Path) -> Samples:
    """Both channels as a player sees them: int16, shape (n, 2)."""
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (2, 2)
        octets = file.readframes(file.getnframes())
    return np.frombuffer(octets, "<i2").reshape(-1, 2).astype(np.int16)


def noise(length: int, seed: int = 0) -> Samples:
    return np.random.default_rng(seed).integers(-32768, 32768, length, dtype=np.int16)


Gaps = st.one_of(st.integers(0, 50), st.integers(7_900, 8_100), st.integers(20_000, 60_000))
Turns = st.lists(
    st.lists(st.tuples(st.integers(0, 1), Gaps, st.integers(0, 200)), max_size=5),
    max_size=6,
)


@given(turns=Turns, rewind=st.booleans())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_file_is_what_was_written_wherever_the_channels_are(
    turns: list[list[tuple[int, int, int]]], tmp_path: Path, *, rewind: bool
) -> None:
    path = tmp_path / "random.wav"
    path.unlink(missing_ok=True)
    wav = WavFile(path, 8000)
    model = np.zeros((0, 2), np.int16)
    ends = [0, 0]
    for number, turn in enumerate(turns):
        if rewind:  # what stands there is written over
            ends = [end // 2 for end in ends]
        segments = []
        for channel, gap, length in turn:
            position = ends[channel] + gap
            ends[channel] = position + length
            segments.append(Segment(channel, position, noise(length, number)))
            if length > 0:
                model = np.pad(model, ((0, max(0, ends[channel] - len(model))), (0, 0)))
                model[position : position + length, channel] = noise(length, number)
        wav.write(reversed(segments))
        assert np.array_equal(read_wav(path), model)
    wav.close()
    assert np.array_equal(read_wav(path), model)
    assert path.stat().st_size == wav.size == 44 + 4 * len(model)


def test_a_file_without_sound_is_playable(tmp_path: Path) -> None:
    wav = WavFile(tmp_path / "a.wav", 16000)
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert (file.getnframes(), file.getframerate(), file.getnchannels()) == (0, 16000, 2)
    wav.close()


def test_a_file_is_private_and_replaces_none(tmp_path: Path) -> None:
    WavFile(tmp_path / "a.wav", 8000).close()
    assert stat.S_IMODE((tmp_path / "a.wav").stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        WavFile(tmp_path / "a.wav", 8000)


def test_channels_an_hour_apart_cost_neither_memory_nor_disk(tmp_path: Path) -> None:
    path, hour = tmp_path / "a.wav", 3600 * 8000
    wav = WavFile(path, 8000)
    left, right = noise(160, 1), noise(160, 2)
    wav.write([Segment(0, 0, left), Segment(1, hour, right)])
    wav.write([Segment(0, 160, left), Segment(1, hour + 160, right)])
    wav.close()
    assert path.stat().st_blocks * 512 < 1_000_000 < path.stat().st_size
    with wave.open(str(path)) as file:
        assert file.getnframes() == hour + 320
        start = np.frombuffer(file.readframes(400), "<i2").reshape(-1, 2)
        file.setpos(hour)
        end = np.frombuffer(file.readframes(320), "<i2").reshape(-1, 2)
    assert np.array_equal(start[:320, 0], np.tile(left, 2))
    assert not start[320:].any()
    assert not start[:, 1].any()
    assert np.array_equal(end[:, 1], np.tile(right, 2))
    assert not end[:, 0].any()


def test_a_file_takes_as_much_as_its_header_can_tell_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    wav = WavFile(path, 48000)
    wav.write([Segment(1, MAX_SAMPLES - 10, noise(10))])
    with pytest.raises(OSError, match="do not fit"):
        wav.write([Segment(0, 0, noise(10)), Segment(1, MAX_SAMPLES, noise(1))])
    wav.close()
    assert path.stat().st_size == 44 + 4 * MAX_SAMPLES
    with wave.open(str(path)) as file:
        assert file.getnframes() == MAX_SAMPLES
        assert not any(file.readframes(10))  # a refused write has written nothing
        file.setpos(MAX_SAMPLES - 10)
        assert np.array_equal(np.frombuffer(file.readframes(10), "<i2")[1::2], noise(10))


def test_a_position_before_the_beginning_is_refused(tmp_path: Path) -> None:
    wav = WavFile(tmp_path / "a.wav", 8000)
    with pytest.raises(ValueError, match="-5 is before"):
        wav.write([Segment(0, -5, noise(10))])
    wav.close()
    assert len(read_wav(tmp_path / "a.wav")) == 0
