"""G.711: one octet a sample, mu-law (PCMU) and A-law (PCMA).

The arithmetic is audioop's: the standard library's up to Python 3.12, the audioop-lts package from 3.13. Its decoder
equals the ITU-T formula for all 256 codes of both laws. Its encoder is not the nearest level for 889 (mu-law) and
498 (A-law) of the 65,536 samples; those differ by one level at a decision boundary.

Source: ITU-T G.711 (1988) tables 1a to 2b; RFC 3551 section 4.5.14, payload types 0 and 8.
"""

import audioop
from typing import Any

import numpy as np

from audio_codecs.samples import Samples

_INT16 = np.dtype(np.int16)  # numpy would look it up for each packet


def decode_ulaw(payload: bytes) -> Samples:
    """Expand PCMU octets to linear PCM.

    Args:
        payload: One octet a sample, mono; 8000 Hz in telephony. May be empty.

    Returns:
        int16, shape (len(payload),), within ±32124: the 14-bit values of G.711, times 4. Read-only.
    """
    return np.frombuffer(audioop.ulaw2lin(payload, 2), _INT16)


def decode_alaw(payload: bytes) -> Samples:
    """Expand PCMA octets to linear PCM.

    Args:
        payload: One octet a sample, mono; 8000 Hz in telephony. May be empty.

    Returns:
        int16, shape (len(payload),), within ±32256: the 13-bit values of G.711, times 8. Read-only.
    """
    return np.frombuffer(audioop.alaw2lin(payload, 2), _INT16)


def encode_ulaw(samples: Samples) -> bytes:
    """Compress linear PCM, int16 of shape (n,), to n PCMU octets."""
    sound: Any = samples  # to numpy's type stubs an array is no buffer before Python 3.12
    try:
        return audioop.lin2ulaw(sound, 2)
    except ValueError:  # it does not lie in one piece
        return audioop.lin2ulaw(np.ascontiguousarray(samples).data, 2)


def encode_alaw(samples: Samples) -> bytes:
    """Compress linear PCM, int16 of shape (n,), to n PCMA octets."""
    sound: Any = samples  # to numpy's type stubs an array is no buffer before Python 3.12
    try:
        return audioop.lin2alaw(sound, 2)
    except ValueError:  # it does not lie in one piece
        return audioop.lin2alaw(np.ascontiguousarray(samples).data, 2)
