"""Frames as octets, for where they leave the process: a spill file, a worker process."""

from collections.abc import Iterable

import msgspec
import numpy as np

from gateway.media.frame import AudioFrame, FrameTrack

__all__ = ["PackedFrame", "pack", "unpack"]


class PackedFrame(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An `AudioFrame` whose samples are octets: int16 in the machine's byte order."""

    track: FrameTrack
    samples: bytes
    sample_rate: int
    timestamp: int
    payload: bytes
    concealed: bool


def pack(frames: Iterable[AudioFrame]) -> list[PackedFrame]:
    """Make frames ready for msgspec."""
    return [
        PackedFrame(
            frame.track, frame.samples.tobytes(), frame.sample_rate, frame.timestamp, frame.payload, frame.concealed
        )
        for frame in frames
    ]


def unpack(packed: Iterable[PackedFrame]) -> list[AudioFrame]:
    """Make frames of them again; their samples cannot be written to."""
    return [
        AudioFrame(
            one.track,
            np.frombuffer(one.samples, np.int16),
            one.sample_rate,
            one.timestamp,
            one.payload,
            one.concealed,
        )
        for one in packed
    ]
