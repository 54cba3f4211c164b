"""What the gateway and a worker process say to each other, over a socket that nobody else has an end of.

Each message is msgpack behind its length, four octets, big-endian. For each stream, the gateway asks and waits for the
answer before it asks again:

    Open   -> Opened | Failed
    Frames -> Taken | Failed
    Close  -> Closed | Failed
"""

import struct
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import msgspec

from gateway.errors import SinkError
from gateway.media.frame import FrameTrack
from gateway.sinks.packing import PackedFrame

__all__ = [
    "Answer",
    "Close",
    "Closed",
    "Failed",
    "Frames",
    "Messages",
    "Open",
    "Opened",
    "Published",
    "Request",
    "Taken",
    "encode",
]

MAX_BYTES: Final = 16 * 2**20
_LENGTH: Final = struct.Struct("!I")


Published: TypeAlias = tuple[str, dict[str, Any]]
"""An event of the call: its name and its values."""


class Open(msgspec.Struct, tag=True, frozen=True):
    """Make a sink. `source` is pickled, as it is a class or a function; `info` a `StreamInfo` without its functions."""

    stream: int
    source: bytes
    info: dict[str, Any]


class Frames(msgspec.Struct, tag=True, frozen=True):
    """Give these to the sink."""

    stream: int
    frames: list[PackedFrame]


class Close(msgspec.Struct, tag=True, frozen=True):
    """Close the sink, if it has not failed; the last request of a stream."""

    stream: int


class Opened(msgspec.Struct, tag=True, frozen=True):
    """The sink is open."""

    stream: int
    tracks: list[FrameTrack]


class Taken(msgspec.Struct, tag=True, frozen=True):
    """The sink has taken all of them. `described` is what it tells of itself, `published` what it has told."""

    stream: int
    frames: int
    described: dict[str, Any]
    published: list[Published] = []


class Failed(msgspec.Struct, tag=True, frozen=True):
    """The sink has raised, after it took so many of the frames; it is closed."""

    stream: int
    frames: int
    error: str
    published: list[Published] = []


class Closed(msgspec.Struct, tag=True, frozen=True):
    """The sink is closed."""

    stream: int
    described: dict[str, Any]
    published: list[Published] = []


Request: TypeAlias = Open | Frames | Close
Answer: TypeAlias = Opened | Taken | Failed | Closed


def encode(message: Request | Answer) -> bytes:
    """One message as octets.

    Raises:
        TypeError: A value in it is none that msgpack knows.
        ValueError: It is too long.
    """
    body = msgspec.msgpack.encode(message)
    if len(body) > MAX_BYTES:
        raise ValueError(f"a message of {len(body)} octets, limit {MAX_BYTES}")
    return _LENGTH.pack(len(body)) + body


class Messages:
    """Cuts a stream of octets into messages."""

    def __init__(self, kind: Any) -> None:
        self._decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(kind)
        self._octets = bytearray()

    def receive(self, octets: bytes) -> Iterator[Any]:
        """The messages that are complete with these octets.

        Raises:
            SinkError: The other side does not keep to the rules.
        """
        self._octets += octets
        while len(self._octets) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._octets)
            if length > MAX_BYTES:
                raise SinkError(f"a message of {length} octets, limit {MAX_BYTES}")
            end = _LENGTH.size + length
            if len(self._octets) < end:
                return
            body = bytes(self._octets[_LENGTH.size : end])
            del self._octets[:end]
            try:
                yield self._decoder.decode(body)
            except msgspec.MsgspecError as error:
                raise SinkError(f"a message that is none: {error}") from error
