"""What becomes of a call: decided once, when it is announced, and kept with what is known of it."""

from typing import Final, Literal, TypeAlias, get_args

import msgspec

__all__ = ["Action", "Cause", "Decision", "Encoding", "Media", "TargetLegs", "Track"]

Action: TypeAlias = Literal["answer", "reject", "ignore"]
Media: TypeAlias = Literal["stream", "fork", "none"]
Cause: TypeAlias = Literal["CALL_REJECTED", "USER_BUSY", "NOT_FOUND", "TEMPORARILY_UNAVAILABLE"]
Encoding: TypeAlias = Literal["PCMU", "PCMA", "L16", "G722", "OPUS", "AMR-WB"]
Track: TypeAlias = Literal["inbound_track", "outbound_track", "both_tracks"]
TargetLegs: TypeAlias = Literal["self", "opposite", "both"]

_ALLOWED: Final = {
    "action": get_args(Action),
    "media": get_args(Media),
    "cause": get_args(Cause),
    "codec": (*get_args(Encoding), None),
    "sample_rate": (8000, 16000, 22050, 24000, 48000, None),
    "mode": ("rtp", "mp3", None),
    "track": get_args(Track),
    "target_legs": get_args(TargetLegs),
}


class Decision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is done with a call. What is None is as the settings say.

    Attributes:
        action: `answer` it, and have its sound; `reject` it; or `ignore` it, as somebody else looks after it. A call
            that was dialled needs no answer and cannot be rejected: its sound is asked for when it is answered.
        media: How its sound comes: as a `stream`, both ways; as a `fork` of RTP, to listen only; or not at all.
        cause: What a rejected caller is told.
        codec: Of the stream, both ways.
        sample_rate: Of the stream, in Hz.
        mode: `rtp`, or `mp3` for files that are played.
        track: What of the call the stream brings.
        target_legs: Who hears what is played: `self` is the leg that is streamed.
        agent: What answers the caller: a name, as `GATEWAY_AGENT`; empty for nobody.
        sinks: Where the sound goes: names, as `GATEWAY_SINKS`.
        rule: The name of the rule that decided it, for the operator.

    Raises:
        ValueError: One of these is something else.
    """

    action: Action = "answer"
    media: Media = "stream"
    cause: Cause = "CALL_REJECTED"
    codec: Encoding | None = None
    sample_rate: int | None = None
    mode: Literal["rtp", "mp3"] | None = None
    track: Track = "inbound_track"
    target_legs: TargetLegs = "self"
    agent: str | None = None
    sinks: tuple[str, ...] | None = None
    rule: str | None = None

    def __post_init__(self) -> None:
        for name, allowed in _ALLOWED.items():
            value = getattr(self, name)
            if value not in allowed:
                wanted = ", ".join(str(one) for one in allowed if one is not None)
                raise ValueError(f"{name} is {str(value)[:60]!r}, want one of {wanted}")
        for name in ("agent", "rule"):
            if not isinstance(getattr(self, name), str | None):
                raise ValueError(f"{name} is {type(getattr(self, name)).__name__}, want a text")  # noqa: TRY004
        sinks: object = self.sinks  # whatever somebody has handed in
        if sinks is not None and not (isinstance(sinks, tuple) and all(isinstance(name, str) for name in sinks)):
            raise ValueError("sinks is no tuple of names")

    def stream_codec(self, default: tuple[Encoding, int]) -> tuple[Encoding, int]:
        """Encoding and rate of the stream; a codec that is named without a rate has 16 kHz where it has a choice."""
        encoding = self.codec or default[0]
        usual = default[1] if encoding == default[0] else 8000 if encoding in ("PCMU", "PCMA", "G722") else 16_000
        return encoding, self.sample_rate or usual
