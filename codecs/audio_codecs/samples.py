"""What every codec decodes to and encodes from."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Samples: TypeAlias = npt.NDArray[np.int16]
"""Linear PCM: int16 in the machine's byte order, shape (n,), mono."""


class CodecError(ValueError):
    """A payload cannot be decoded, or a codec is not to be had here."""
