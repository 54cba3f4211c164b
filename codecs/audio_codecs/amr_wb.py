"""AMR-WB: the wideband codec of mobile networks, 20 ms in 132 to 477 bits.

FFmpeg decodes it. Nobody offers an encoder as a package for Python, so sending needs libvo-amrwbenc of the operating
system, and is refused with its name where that is missing.

A decoder's rule for frames that are not speech: comfort noise (SID) and no data are silence, as FFmpeg has no decoder
for the one and the other is what stands between two of them; speech that was lost or damaged on its way to Telnyx is
concealed.

Source: 3GPP TS 26.190, 26.193; ITU-T G.722.2; RFC 4867.
"""

import ctypes
import sys
import weakref
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from audio_codecs.amr_payload import SID, AmrFrame, AmrPayload, build_payload, parse_payload
from audio_codecs.pyav import PacketDecoder
from audio_codecs.samples import CodecError, Samples
from audio_codecs.wire import Wire

__all__ = ["AmrWb", "load_encoder"]

_SAMPLE_RATE: Final = 16_000
_FRAME: Final = 320  # samples
_LIBRARY: Final = "libvo-amrwbenc.dylib" if sys.platform == "darwin" else "libvo-amrwbenc.so.0"
_USUAL_MODE: Final = 2  # 12.65 kbit/s, the highest that every network has
_HIGHEST_MODE: Final = 8  # 23.85 kbit/s
_MAX_FRAME_OCTETS: Final = 61
_NO_DATA: Final = 15
_FADE_FRAMES: Final = 3


class AmrWb:
    """One direction of one stream.

    Args:
        wire: Is told the layout and the mode that are heard, and tells what is to be sent.

    Raises:
        CodecError: PyAV is not installed.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._decoder = PacketDecoder("AMR-WB", "amrwb", _SAMPLE_RATE)
        self._encoder: Encoder | None = None
        self._last = b""  # frame of speech
        self._faded = 0  # frames concealed since

    def decode(self, payload: bytes) -> Samples:
        """Decode the next payload.

        Returns:
            int16, shape (320 k,), for the k frames in it; 16,000 Hz.

        Raises:
            CodecError: It has neither layout of RFC 4867.
        """
        parsed = parse_payload(payload)
        self._wire.octet_aligned = parsed.octet_aligned
        self._wire.mode_request = parsed.mode_request
        pieces = [self._decode(frame) for frame in parsed.frames]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def encode(self, samples: Samples) -> bytes:
        """Encode whole frames, int16 of shape (320 k,), to one payload, as the other end lays out its own.

        Raises:
            CodecError: They are no whole frames, or libvo-amrwbenc is not there.
        """
        if len(samples) % _FRAME:
            raise CodecError(f"AMR-WB encodes {_FRAME} samples at a time, and {len(samples)} are no multiple")
        if self._encoder is None:
            self._encoder = Encoder()
        request = self._wire.mode_request
        mode = request if request <= _HIGHEST_MODE else _USUAL_MODE
        encode = self._encoder.encode
        frames = tuple(encode(samples[at : at + _FRAME], mode) for at in range(0, len(samples), _FRAME))
        return build_payload(AmrPayload(frames, octet_aligned=self._wire.octet_aligned))

    def conceal(self, n: int) -> Samples:
        """Make up the next n samples, int16 of shape (n,): the last frame of speech again, fading out in 60 ms."""
        pieces = [np.zeros(0, np.int16)] + [self._conceal_frame() for _ in range(-(-n // _FRAME))]
        return np.concatenate(pieces)[:n]

    def _decode(self, frame: AmrFrame) -> Samples:
        if frame.frame_type in (SID, _NO_DATA):
            return np.zeros(_FRAME, np.int16)
        if frame.frame_type > _HIGHEST_MODE or not frame.good:
            return self._conceal_frame()
        self._last, self._faded = frame.stored, 0
        return _to_int16(self._speech(self._last))

    def _speech(self, stored: bytes) -> npt.NDArray[np.float32]:
        frame = self._decoder.decode(stored)
        return np.frombuffer(memoryview(frame.planes[0]), np.float32, frame.samples)

    def _conceal_frame(self) -> Samples:
        done = self._faded
        if not self._last:
            return np.zeros(_FRAME, np.int16)
        if done == _FADE_FRAMES:  # what the decoder knows of the past would make it come back with a blast
            self._last = b""
            self._decoder.begin_anew()
            return np.zeros(_FRAME, np.int16)
        self._faded += 1
        gain = (1 - (done + np.arange(1, _FRAME + 1) / _FRAME) / _FADE_FRAMES).astype(np.float32)
        return _to_int16(self._speech(self._last) * gain)


class Encoder:
    """libvo-amrwbenc's encoder of one stream.

    Raises:
        CodecError: The library is not there.
    """

    def __init__(self) -> None:
        self._library = load_encoder()
        self._state = self._library.E_IF_init()
        weakref.finalize(self, self._library.E_IF_exit, self._state)
        self._octets = ctypes.create_string_buffer(_MAX_FRAME_OCTETS)

    def encode(self, samples: Samples, mode: int) -> AmrFrame:
        """Encode 20 ms, int16 of shape (320,)."""
        samples = np.ascontiguousarray(samples)
        length = self._library.E_IF_encode(self._state, mode, samples.ctypes.data, self._octets, 0)
        return AmrFrame(mode, good=True, octets=self._octets.raw[1:length])


@lru_cache(maxsize=1)
def load_encoder(name: str = _LIBRARY) -> ctypes.CDLL:
    """Load the library that encodes.

    Raises:
        CodecError: It is not there; says what to install.
    """
    try:
        library = ctypes.CDLL(name)
    except OSError as error:
        raise CodecError(
            f"AMR-WB cannot be sent without {name}, which is not installed here: "
            "apt-get install libvo-amrwbenc0 (Debian, Ubuntu)"
        ) from error
    library.E_IF_init.restype = ctypes.c_void_p
    library.E_IF_exit.argtypes = [ctypes.c_void_p]
    library.E_IF_encode.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
    return library


def _to_int16(samples: npt.NDArray[np.float32]) -> Samples:
    rounded: Samples = np.clip(np.rint(samples * 32768), -32768, 32767).astype(np.int16)
    return rounded
