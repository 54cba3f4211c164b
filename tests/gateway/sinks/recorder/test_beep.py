"""The tone before a recording."""

import numpy as np
import pytest

from gateway.sinks.recorder.beep import beep


@pytest.mark.parametrize("sample_rate", [8000, 16_000, 22_050, 48_000])
def test_the_tone_is_heard_and_does_not_click(sample_rate: int) -> None:
    tone = beep(sample_rate)
    assert len(tone) == round(0.2 * sample_rate)
    spectrum = np.abs(np.fft.rfft(tone))
    assert abs(int(spectrum.argmax()) * sample_rate / len(tone) - 1400) < 10
    assert 3900 < np.abs(tone).max() <= 4096
    assert np.abs(tone[[0, -1]]).max() < 100
