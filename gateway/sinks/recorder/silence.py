"""Where in a recording anything is to be heard."""

from typing import Any, Final

import numpy as np

__all__ = ["BLOCK_SECONDS", "loud_blocks"]

BLOCK_SECONDS: Final = 0.020
"""Sound is loud or silent for so long, as a whole."""

_SILENCE: Final = 10 ** (-50 / 10) * 32768**2
"""Mean square of -50 dBFS: well above the noise of a quiet line, 24 dB below speech at the level telephony is made for
(ITU-T P.56, G.100.1)."""


def loud_blocks(samples: Any, sample_rate: int) -> list[bool]:
    """Which blocks are loud in any channel; what does not fill a block is left out.

    Args:
        samples: int16, shape (n, channels).
        sample_rate: In Hz.
    """
    length = round(BLOCK_SECONDS * sample_rate)
    count = len(samples) // length
    blocks = samples[: count * length].astype(np.float32).reshape(count, length, -1)
    loud: list[bool] = (np.einsum("nlc,nlc->nc", blocks, blocks) > _SILENCE * length).any(axis=1).tolist()
    return loud
