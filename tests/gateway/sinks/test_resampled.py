"""One conversion for many: positions, jumps, and what the filter holds back."""

import numpy as np
import pytest

from audio_codecs import Samples
from gateway.media.frame import AudioFrame
from gateway.media.resample import Resampler
from gateway.sinks.resampled import Resampled
from tests.fakes import ListSink, noise
from tests.gateway.sinks.streams import cut


def convert(sample_rate: int, *frames: AudioFrame) -> list[AudioFrame]:
    sink = ListSink()
    resampled = Resampled(sample_rate, lambda write, error: pytest.fail(str(error)), sink.write)
    for frame in frames:
        resampled.write(frame)
    resampled.finish()
    resampled.finish()  # the second time, there is nothing left
    return sink.frames


def once(sound: Samples, from_rate: int, to_rate: int, tail: int) -> Samples:
    return Resampler(from_rate, to_rate).push(np.concatenate((sound, np.zeros(tail, np.int16))))


@pytest.mark.parametrize(
    ("from_rate", "to_rate", "tail"), [(8000, 16_000, 24), (16_000, 8000, 48), (48_000, 8000, 144), (8000, 22_050, 24)]
)
def test_frames_in_a_row_sound_as_if_they_were_one(from_rate: int, to_rate: int, tail: int) -> None:
    sound = noise(from_rate)
    frames = convert(to_rate, *cut(sound, sample_rate=from_rate))
    assert np.array_equal(np.concatenate([frame.samples for frame in frames]), once(sound, from_rate, to_rate, tail))
    ends = [frame.timestamp + len(frame.samples) for frame in frames]
    assert [frame.timestamp for frame in frames] == [0, *ends[:-1]]
    assert {len(frame.samples) for frame in frames[:-1]} == {to_rate // 50}


def test_a_jump_ends_one_piece_and_begins_another_at_its_place() -> None:
    first, second = noise(1600, 1), noise(1600, 2)
    frames = convert(16_000, *cut(first, "played"), *cut(second, "played", start=8000))
    assert [frame.timestamp for frame in frames] == [
        *(320 * n for n in range(11)),
        *(16_000 + 320 * n for n in range(11)),
    ]
    sound = [np.concatenate([frame.samples for frame in frames[:11]]), np.concatenate([f.samples for f in frames[11:]])]
    assert np.array_equal(sound[0], once(first, 8000, 16_000, 24))
    assert np.array_equal(sound[1], once(second, 8000, 16_000, 24))
    assert {frame.track for frame in frames} == {"played"}


def test_a_piece_that_begins_before_the_tail_of_the_last_one_ends_waits_for_it() -> None:
    frames = convert(16_000, *cut(noise(160)), *cut(noise(160), start=170))
    assert [(frame.timestamp, len(frame.samples)) for frame in frames] == [(0, 320), (320, 48), (368, 320), (688, 48)]


def test_a_track_that_changes_its_rate_goes_on_at_its_place() -> None:
    frames = convert(24_000, *cut(noise(160)), *cut(noise(320), start=320, sample_rate=16_000))
    assert [(frame.timestamp, len(frame.samples)) for frame in frames] == [(0, 480), (480, 72), (552, 480), (1032, 36)]


def test_what_was_made_up_stays_marked() -> None:
    frames = convert(16_000, AudioFrame("inbound", noise(160), 8000, 0, concealed=True), *cut(noise(160), start=160))
    assert [frame.concealed for frame in frames] == [True, False, False]


def test_without_a_frame_there_is_nothing_to_finish() -> None:
    assert convert(16_000) == []
