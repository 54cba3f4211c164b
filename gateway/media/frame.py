"""The frame: a stretch of sound of one track, as the sinks get it."""

from typing import Literal, TypeAlias

import msgspec

from audio_codecs import Samples

FrameTrack: TypeAlias = Literal["inbound", "outbound", "played"]
"""Whose sound a frame holds.

`inbound` is what the person on the leg says; `outbound` what that person hears, as Telnyx reports it (only where both
tracks were asked for); `played` what the application played, told once it was due to be heard, a tenth of a second at a
time.
"""


class AudioFrame(msgspec.Struct, frozen=True, gc=False):
    """Decoded sound of one track, usually 20 ms; more of what was played.

    Attributes:
        track: Whose sound it is.
        samples: int16, shape (n,), mono. Shared by all sinks: do not write to it.
        sample_rate: Real sampling, in Hz (G.722: 16000).
        timestamp: Position of the first sample on the track's time line, in samples; the call's first is 0.
        payload: The codec octets the samples came from; empty where the frame is concealed.
        concealed: The packet was lost and the samples were made up.
    """

    track: FrameTrack
    samples: Samples
    sample_rate: int
    timestamp: int
    payload: bytes = b""
    concealed: bool = False
