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

__all__ = ["frame_size", "read_texts", "write_text"]

_FINAL_TEXT = 0x81
_MASKED = 0x80
_SIZE_16 = 126
_HEAD_16 = struct.Struct("!BBH").pack
_HEAD_64 = struct.Struct("!BBQ").pack

_unmask = cast("Callable[[bytes, bytes], bytes]", apply_mask)


def read_texts(data: bytes, max_bytes: int) -> tuple[list[bytes], int]:
    """Read the whole text frames that `data` begins with.

    Args:
        data: What came from a client, beginning at a frame's first octet, with no fragmented message under way.
        max_bytes: A longer text is left.

    Returns:
        The texts, unmasked, and how many octets they took; the rest begins with something else, or is not all there.
    """
    texts: list[bytes] = []
    at, end = 0, len(data)
    while end - at > 6 and data[at] == _FINAL_TEXT:
        size = data[at + 1] - _MASKED
        key = at + 2
        if size == _SIZE_16:
            size = data[at + 2] << 8 | data[at + 3]
            key = at + 4
        elif not 0 <= size < _SIZE_16:
            break
        stop = key + 4 + size
        if stop > end or size > max_bytes:
            break
        texts.append(_unmask(data[key + 4 : stop], data[key : key + 4]))
        at = stop
    return texts, at


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
