"""The contract of a sink: one plain call for each frame, and a life that is a context manager.

A sink that has to wait (for a disk, a socket, a model) says so in its `delivery`; it then gets its frames in a task, a
thread or a process of its own. All others take the frame and return at once: the call that they listen to, and all
other calls, stand still while `write` runs.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from functools import partial
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from gateway.media.frame import AudioFrame, FrameTrack

__all__ = [
    "ALL_TRACKS",
    "BOTH_SIDES",
    "INBOUND",
    "AsyncAudioSink",
    "AudioSink",
    "SinkFactory",
    "SinkSource",
    "StreamInfo",
    "publisher",
]

INBOUND: Final[frozenset[FrameTrack]] = frozenset({"inbound"})
"""What most sinks want: the caller alone. With `outbound` as well, a transcriber would hear the agent speak."""

BOTH_SIDES: Final[frozenset[FrameTrack]] = frozenset({"inbound", "played"})
"""The caller and the application."""

ALL_TRACKS: Final[frozenset[FrameTrack]] = frozenset({"inbound", "outbound", "played"})
"""Every track there can be."""


def _nobody(event_type: str, data: Mapping[str, Any]) -> None:
    """Nobody follows the call."""


def publisher(
    publish: Callable[[str, str, Mapping[str, Any]], None] | None, call_control_id: str
) -> Callable[[str, Mapping[str, Any]], None]:
    """What tells the events of one call by what tells those of all calls, if anything does; without the call itself."""
    return _nobody if publish is None else partial(publish, call_control_id)


class StreamInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Which stream a sink is opened for.

    Attributes:
        call_control_id: Telnyx's id of the call; hostile input, never a path.
        stream_id: Telnyx's id of this stream.
        call_session_id: Telnyx's id that the legs of one call share.
        inbound_encoding: Codec of what comes in, by its RFC 3551 name; the same for both carrier tracks.
        inbound_sample_rate: Real sampling of `inbound` and `outbound` frames, in Hz.
        played_encoding: Codec of what the application plays; empty for a forked call, in which nothing can be played.
        played_sample_rate: Real sampling of `played` frames, in Hz.
        client_state: As Telnyx sent it, base64.
        custom_parameters: As Telnyx sent them.
        started_at: Unix time of the `start` message.
        report: The stream's counters, gap ledger and end, as JSON-ready values; complete once the sink closes. Empty
            in a worker process. Raises ReferenceError where nobody has the call any more, after every sink has closed.
        publish: Tells an event of this call, by its dotted name and JSON-ready values, to everybody who follows the
            call; returns at once and never raises. In a worker process, they are told with the answer to the frames.
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
    publish: Callable[[str, Mapping[str, Any]], None] = _nobody


class AudioSink(Protocol):
    """Takes the frames of one stream.

    A sink may have a method `describe()` as well: JSON-ready values for the call's record, such as where a recording
    lies. It is called from the event loop, whoever calls `write`, and for the last time when the sink has closed.

    Attributes:
        tracks: The tracks it wants to hear.
    """

    tracks: frozenset[FrameTrack]

    def write(self, frame: AudioFrame) -> None:
        """Take one frame; return at once, unless the sink's `delivery` is by thread or process.

        Frames of one track come in the order of their timestamps, none missing and none twice, unless the sink's own
        buffer overflows or it fails; that is counted.

        Raises:
            SinkError: The sink is stopped and closed, the call goes on. Any other exception counts as that.
        """


class AsyncAudioSink(Protocol):
    """The same for a sink that waits on the event loop: its `delivery` is by task.

    Attributes:
        tracks: See `AudioSink`.
    """

    tracks: frozenset[FrameTrack]

    async def write(self, frame: AudioFrame) -> None:
        """Take one frame, waiting if need be; meanwhile the next ones are kept in the sink's buffer."""


SinkFactory: TypeAlias = Callable[[StreamInfo], AbstractAsyncContextManager[AudioSink]]
"""Opens a sink for one stream; leaving the context closes it, whatever ended the stream."""

SinkSource: TypeAlias = Callable[
    [StreamInfo],
    AudioSink
    | AsyncAudioSink
    | AbstractAsyncContextManager[AudioSink | AsyncAudioSink]
    | AbstractContextManager[AudioSink | AsyncAudioSink],
]
"""What makes the sink of one stream: a class, or a function such as a `SinkFactory`.

What it gives is the sink, or a context manager that opens and closes it. It may have an attribute `delivery`: how the
sink wants its frames.
"""
