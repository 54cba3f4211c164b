"""The contract of a sink: one plain call for each frame, and a life that is a context manager.

A sink that has to wait (for a disk, a socket, a model) takes the frame, returns, and waits somewhere else: the call
that it listens to, and all others, stand still while `write` runs.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeAlias

import msgspec

from gateway.media.frame import AudioFrame, FrameTrack

__all__ = ["INBOUND", "AudioSink", "SinkFactory", "StreamInfo"]

INBOUND: frozenset[FrameTrack] = frozenset({"inbound"})
"""What most sinks want: the caller alone. With `outbound` as well, a transcriber would hear the agent speak."""


class StreamInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Which stream a sink is opened for.

    Attributes:
        call_control_id: Telnyx's id of the call; hostile input, never a path.
        stream_id: Telnyx's id of this stream.
        call_session_id: Telnyx's id that the legs of one call share.
        inbound_encoding: Codec of what comes in, by its RFC 3551 name; the same for both carrier tracks.
        inbound_sample_rate: Real sampling of `inbound` and `outbound` frames, in Hz.
        played_encoding: Codec of what the application plays.
        played_sample_rate: Real sampling of `played` frames, in Hz.
        client_state: As Telnyx sent it, base64.
        custom_parameters: As Telnyx sent them.
        started_at: Unix time of the `start` message.
        report: The stream's counters, gap ledger and end, as JSON-ready values; complete once the sink closes.
    """

    call_control_id: str
    stream_id: str
    call_session_id: str | None
    inbound_encoding: str
    inbound_sample_rate: int
    played_encoding: str
    played_sample_rate: int
    client_state: str | None
    custom_parameters: Mapping[str, str]
    started_at: float
    report: Callable[[], Mapping[str, Any]]


class AudioSink(Protocol):
    """Takes the frames of one stream.

    A sink may have a method `describe()` as well: JSON-ready values for the call's record, such as where a recording
    lies.

    Attributes:
        tracks: The tracks it wants to hear.
    """

    tracks: frozenset[FrameTrack]

    def write(self, frame: AudioFrame) -> None:
        """Take one frame; return at once.

        Frames of one track come in the order of their timestamps, none missing and none twice.

        Raises:
            SinkError: The sink is stopped and closed, the call goes on. Any other exception counts as that.
        """


SinkFactory: TypeAlias = Callable[[StreamInfo], AbstractAsyncContextManager[AudioSink]]
"""Opens a sink for one stream; leaving the context closes it, whatever ended the stream."""
