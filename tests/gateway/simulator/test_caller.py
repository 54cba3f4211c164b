"""The person on the leg who says one thing."""

import numpy as np

from audio_codecs import Samples
from gateway.simulator.caller import Caller


def all_said(caller: Caller, *, most: int = 100) -> list[Samples]:
    frames = []
    for _ in range(most):
        frame = caller.speak()
        if caller.finished:
            break
        frames.append(frame)
    return frames


def test_speech_is_cut_into_frames_and_followed_by_silence() -> None:
    caller = Caller(np.arange(1, 251, dtype=np.int16), frame_samples=100, silence_samples=150)
    frames = all_said(caller)
    assert [len(frame) for frame in frames] == [100] * 5
    line = np.concatenate(frames)
    np.testing.assert_array_equal(line[:250], np.arange(1, 251))
    assert not line[250:].any()
    assert not caller.speak().any()


def test_a_caller_with_nothing_to_say_hangs_up_at_once() -> None:
    caller = Caller(np.zeros(0, np.int16), frame_samples=100, silence_samples=0)
    caller.hear(caller.speak())
    assert caller.finished


def test_a_caller_who_stays_is_silent_for_ever() -> None:
    caller = Caller(np.ones(30, np.int16), frame_samples=100, silence_samples=None)
    frames = all_said(caller, most=1000)
    assert len(frames) == 1000
    assert frames[0].tolist() == [1] * 30 + [0] * 70
    assert not any(frame.any() for frame in frames[1:])
