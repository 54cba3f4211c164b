"""The tone that tells the person on the leg that a recording begins (`play_beep`).

A sink only listens, so whoever begins a recording in a call says it: `call.send_audio(beep(8000), 8000)`, and then
opens the recorder. 1400 Hz for a fifth of a second is the tone of recorders on telephone lines (47 CFR 64.501, as it
was until 2017: 1260 to 1540 Hz, 0.17 to 0.25 s).
"""

from typing import Final

import numpy as np

from audio_codecs import Samples

__all__ = ["beep"]

_HERTZ: Final = 1400
_SECONDS: Final = 0.2
_AMPLITUDE: Final = 4096  # -18 dBFS: heard over speech, and no fright
_RAMP: Final = 0.005  # seconds, so that it does not click


def beep(sample_rate: int) -> Samples:
    """The tone: int16, shape (n,).

    Args:
        sample_rate: In Hz, at least 8000.
    """
    time = np.arange(round(_SECONDS * sample_rate)) / sample_rate
    envelope = np.minimum(1, np.minimum(time, time[::-1]) / _RAMP)
    tone: Samples = np.round(_AMPLITUDE * envelope * np.sin(2 * np.pi * _HERTZ * time)).astype(np.int16)
    return tone
