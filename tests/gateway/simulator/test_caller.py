"""What a caller says."""

import numpy as np

from gateway.simulator.caller import Caller


def test_a_caller_says_everything_then_is_silent_then_has_finished() -> None:
    speech = np.arange(1, 201, dtype=np.int16)
    caller = Caller(speech, frame_samples=160, silence_samples=161)
    frames = []
    while not caller.finished:
        frames.append(caller.speak())
    assert [len(frame) for frame in frames] == [160] * 4
    line = np.concatenate(frames)
    np.testing.assert_array_equal(line[:200], speech)
    assert not line[200:].any()
