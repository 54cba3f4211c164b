"""The usual WebSocket frames, read and written directly: RFC 6455 section 5.2.

Nearly every segment on a media socket is one whole text frame, and nearly all that is sent is one too. The library's
parser is a generator that can stop at any octet, which none of these needs: by a profile at 300 calls it took a fifth
of the interpreter's time for a frame of sound. What is anything else (fragments, control frames, half a frame, a fault)
is left to the library.
"""

import struct
from collections.abc import Callable
from typing import cast

try:
    from websockets.speedups import apply_mask
except ImportError:  # where the library has no wheel
    from websockets.utils import apply_mask

__all__ = ["client_frame", "frame_size", "read_text", "write_text"]

_FINAL_TEXT = 0x81
_SIZE_16 = 126
_MASK_BIT = 0x80
_MASKED_SIZE_16 = _MASK_BIT | _SIZE_16
_READ_HEAD = struct.Struct("!BBH4s").unpack_from
_HEAD_BYTES = 8
_HEAD_16 = struct.Struct("!BBH").pack
_HEAD_64 = struct.Struct("!BBQ").pack

_unmask = cast("Callable[[bytes, bytes], bytes]", apply_mask)


def read_text(data: bytes, at: int, max_bytes: int) -> tuple[bytes, int] | None:
    """Read the text frame at `at`, where a whole one stands there with a size of 16 bits: every frame of sound.

    Args:
        data: What came from a client, with no fragmented message under way.
        at: A frame's first octet.
        max_bytes: A longer text is left.

    Returns:
        The text, unmasked, and where the next frame begins; None for anything else, which is the library's to judge.
    """
    if len(data) - at < _HEAD_BYTES:
        return None
    first, second, size, key = _READ_HEAD(data, at)
    start = at + _HEAD_BYTES
    end = start + size
    if first != _FINAL_TEXT or second != _MASKED_SIZE_16 or end > len(data) or size > max_bytes:
        return None
    return _unmask(data[start:end], key), end


def frame_size(payload_size: int) -> int:
    """How many octets a client's frame takes, with its head and its mask."""
    return payload_size + (6 if payload_size < _SIZE_16 else 8 if payload_size < 65536 else 14)


def write_text(text: bytes) -> bytes:
    """Make a server's text frame: a header of two to ten octets, and the text."""
    size = len(text)
    if size < _SIZE_16:
        head = bytes((_FINAL_TEXT, size))
    elif size < 65536:
        head = _HEAD_16(_FINAL_TEXT, _SIZE_16, size)
    else:
        head = _HEAD_64(_FINAL_TEXT, _SIZE_16 + 1, size)
    return head + text


def client_frame(first: int, payload: bytes) -> bytes:
    """Make a client's frame: `first` is its first octet, and its mask is four zeros."""
    size = len(payload)
    if size < _SIZE_16:
        head = bytes((first, _MASK_BIT | size))
    elif size < 65536:
        head = _HEAD_16(first, _MASKED_SIZE_16, size)
    else:
        head = _HEAD_64(first, _MASKED_SIZE_16 + 1, size)
    return head + bytes(4) + payload
