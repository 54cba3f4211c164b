"""Where sound stands in the file, and how it sounds at another rate."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio_codecs import Samples
from gateway.sinks.recorder.channel import Channel, Placed


def tone(length: int, sample_rate: int, hertz: float = 440.0) -> Samples:
    return np.round(8000 * np.sin(2 * np.pi * hertz * np.arange(length) / sample_rate)).astype(np.int16)


def put_together(placed: list[Placed]) -> tuple[int, Samples]:
    """One gapless piece out of many."""
    start = end = placed[0][0]
    for position, samples in placed:
        assert position == end
        end += len(samples)
    return start, np.concatenate([samples for _, samples in placed])


def test_at_the_files_rate_nothing_changes() -> None:
    channel = Channel(8000, 8000)
    first, second = tone(160, 8000), tone(320, 8000)
    placed = [*channel.place(0, first), *channel.place(160, second), *channel.place(5000, first), *channel.finish()]
    assert [position for position, _ in placed] == [0, 160, 5000]
    for (_, samples), wanted in zip(placed, (first, second, first), strict=True):
        assert np.array_equal(samples, wanted)


@pytest.mark.parametrize(("sample_rate", "file_rate"), [(8000, 16000), (8000, 48000), (16000, 24000), (22050, 48000)])
def test_at_another_rate_sound_is_where_it_was_and_as_long_as_it_was(sample_rate: int, file_rate: int) -> None:
    channel = Channel(sample_rate, file_rate)
    placed = [*channel.place(3 * sample_rate, tone(sample_rate, sample_rate)), *channel.finish()]
    start, samples = put_together(placed)
    assert start == 3 * file_rate
    assert abs(len(samples) - file_rate) <= 1
    middle = slice(file_rate // 10, -file_rate // 10)
    wanted = tone(len(samples), file_rate)
    error = np.abs(samples.astype(int) - wanted)[middle]
    # Half a sample of the file is the most by which the delay's whole number can be off.
    assert error.max() <= 8 + 8000 * 2 * np.pi * 440 / file_rate / 2


@given(cuts=st.lists(st.integers(1, 3999), unique=True, max_size=20).map(sorted))
@settings(max_examples=30, deadline=None)
def test_how_the_sound_is_cut_makes_no_difference(cuts: list[int]) -> None:
    sound = tone(4000, 8000)
    whole = Channel(8000, 24000)
    wanted = put_together([*whole.place(80, sound), *whole.finish()])
    channel = Channel(8000, 24000)
    placed: list[Placed] = []
    for start, end in zip([0, *cuts], [*cuts, 4000], strict=True):
        placed.extend(channel.place(80 + start, sound[start:end]))
    placed.extend(channel.finish())
    start, samples = put_together(placed)
    assert start == wanted[0]
    assert np.abs(samples.astype(int) - wanted[1]).max() <= 1  # sums of floats in another order


def test_after_a_jump_sound_starts_afresh_at_its_own_place() -> None:
    channel = Channel(8000, 16000)
    loud = np.full(800, 20_000, np.int16)
    first = list(channel.place(0, loud))
    second = list(channel.place(1000, np.zeros(800, np.int16)))
    _, rest = second[0]
    assert put_together([*first, second[0]])[1].shape == (1600,)
    assert rest.any()
    start, silence = second[1]
    assert start == 2000
    assert not silence.any()


def test_pieces_never_overlap_though_positions_are_rounded() -> None:
    channel = Channel(22050, 48000)
    end = position = 0
    for length in (331, 1, 440, 7, 441, 29):
        for start, samples in [*channel.place(position, np.ones(length, np.int16))]:
            assert start >= end
            end = start + len(samples)
        position += length + 1


def test_a_channel_without_sound_has_nothing_left() -> None:
    assert list(Channel(8000, 16000).finish()) == []
