"""The ear in the stream: what was written is what waits, in as few pieces as there were jumps."""

from pathlib import Path

import numpy as np
import pytest

from gateway.errors import SinkError
from gateway.media.frame import AudioFrame, FrameTrack
from gateway.sinks.recorder.recording import Piece, Recording
from gateway.sinks.recorder.sink import RecorderSink
from tests.gateway.sinks.test_recorder_recording import stream_info


def open_sink(*, inbound: int = 8000, played: int = 8000) -> RecorderSink:
    return RecorderSink(Recording(Path("nowhere"), stream_info(inbound=inbound, played=played)))


def frame(track: FrameTrack, timestamp: int, samples: list[int], sample_rate: int = 8000) -> AudioFrame:
    return AudioFrame(track, np.array(samples, np.int16), sample_rate, timestamp)


def readable(pieces: list[Piece]) -> list[tuple[int, list[int]]]:
    return [(position, np.frombuffer(octets, np.int16).tolist()) for position, octets in pieces]


def test_frames_that_follow_each_other_are_one_piece() -> None:
    sink = open_sink()
    sink.write(frame("inbound", 0, [1, -2]))
    sink.write(frame("played", 100, [7]))
    sink.write(frame("inbound", 2, [3]))
    sink.write(frame("played", 101, [8]))
    sink.write(frame("played", 200, [9]))
    sound = sink.take()
    assert readable(sound.inbound) == [(0, [1, -2, 3])]
    assert readable(sound.played) == [(100, [7, 8]), (200, [9])]
    assert sound.frames == 5


def test_what_was_taken_does_not_come_again() -> None:
    sink = open_sink()
    sink.write(frame("inbound", 0, [1, 2]))
    first = sink.take()
    sink.write(frame("inbound", 2, [3]))
    assert readable(first.inbound) == [(0, [1, 2])]
    second = sink.take()
    assert (readable(second.inbound), second.frames) == ([(2, [3])], 1)
    assert sink.take() == ([], [], 0)


def test_every_other_sample_of_an_array_is_a_frame_as_well() -> None:
    sink = open_sink()
    sink.write(AudioFrame("inbound", np.arange(6, dtype=np.int16)[::2], 8000, 0))
    assert readable(sink.take().inbound) == [(0, [0, 2, 4])]


def test_what_waits_is_told_in_seconds() -> None:
    sink = open_sink(inbound=16000)
    sink.write(frame("inbound", 0, [0] * 8000, 16000))
    sink.write(frame("played", 0, [0] * 2000))
    assert sink.seconds_waiting() == 0.5
    sink.take()
    assert sink.seconds_waiting() == 0.0


def test_a_recording_that_stopped_takes_no_frame_and_says_why() -> None:
    sink = open_sink()
    sink.recording.fail("cannot write: the disk is full")
    with pytest.raises(SinkError, match="the disk is full"):
        sink.write(frame("inbound", 0, [1]))
    assert sink.describe() == {"recording": "nowhere", "problems": ["cannot write: the disk is full"]}


def test_a_frame_at_another_rate_stops_the_recording_and_keeps_what_came_before() -> None:
    sink = open_sink()
    sink.write(frame("inbound", 0, [1]))
    with pytest.raises(SinkError, match="inbound came at 16000 Hz, not at 8000 Hz"):
        sink.write(frame("inbound", 500, [1], 16000))
    assert readable(sink.take().inbound) == [(0, [1])]
    assert sink.recording.problems


def test_it_hears_the_caller_and_the_application() -> None:
    assert open_sink().tracks == {"inbound", "played"}
