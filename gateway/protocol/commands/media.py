"""The commands that lead a call's sound elsewhere, or change it on its way."""

from typing import Annotated, ClassVar, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from gateway.protocol.commands.base import Command, Model, NameValue, Uuid, wrong
from gateway.protocol.commands.options import StreamDetails, Track

__all__ = [
    "ForkStart",
    "ForkStop",
    "NoiseSuppressionEngineConfig",
    "SiprecStart",
    "SiprecStop",
    "StreamingStart",
    "StreamingStop",
    "SuppressionStart",
    "SuppressionStop",
]


def _zero_or_90(seconds: int) -> int:
    if 0 < seconds < 90:
        raise PydanticCustomError("greater_than_equal", "Input should be 0, which is never, or at least 90")
    return seconds


SessionTimeout: TypeAlias = Annotated[int, Field(ge=0), AfterValidator(_zero_or_90)]
UdpTarget: TypeAlias = Annotated[str, Field(pattern=r"^udp:(?:[0-9A-Za-z.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$")]


class StreamingStart(Command, StreamDetails):
    """Open a media socket for an answered call."""

    action = "streaming_start"

    custom_parameters: list[NameValue] | None = None  # come back in the stream's `start`


class StreamingStop(Command):
    """End one stream of a call, or all of them where no `stream_id` is given."""

    action = "streaming_stop"

    stream_id: Uuid | None = None


class ForkStart(Command):
    """Send copies of the leg's RTP packets by UDP, each direction to a port of its own."""

    action = "fork_start"

    rx: UdpTarget | None = None  # what comes from the far end
    tx: UdpTarget | None = None  # what goes to it
    stream_type: Literal["decrypted"] = "decrypted"  # with which both targets are needed

    @model_validator(mode="after")
    def _both_directions(self) -> Self:
        for name in ("rx", "tx"):
            if getattr(self, name) is None:
                raise wrong(self, name, PydanticCustomError("missing", "Field required"))
        return self


class ForkStop(Command):
    """End a fork, whose `stream_type` must be the one it was started with: the two defaults do not match."""

    action = "fork_stop"

    stream_type: Literal["raw", "decrypted"] = "raw"


class SiprecStart(Command):
    """Record by SIPREC, with a connector that the account has."""

    action = "siprec_start"

    command_id: ClassVar[None] = None  # type: ignore[misc]  # takes none
    connector_name: str | None = None
    include_metadata_custom_headers: bool | None = None
    secure: bool | None = None
    session_timeout_secs: SessionTimeout = 1800
    sip_transport: Literal["udp", "tcp", "tls"] = "udp"
    siprec_track: Track = "both_tracks"


class SiprecStop(Command):
    """End SIPREC."""

    action = "siprec_stop"


class NoiseSuppressionEngineConfig(Model):
    """Each engine reads its own few of these."""

    attenuation_limit: int = Field(100, ge=0, le=100)
    enhancement_level: float | None = Field(None, ge=0, le=1)
    family: Literal["sparrow", "quail"] | None = None
    mode: Literal["standard", "advanced"] | None = None
    model: (
        Literal["krisp-viva-tel-v2.kef", "krisp-viva-tel-lite-v1.kef", "krisp-viva-pro-v1.kef", "krisp-viva-ss-v1.kef"]
        | None
    ) = None
    size: Literal["s", "l", "xs", "xxs", "vf_l", "vf_1_1_l"] | None = None
    suppression_level: float | None = Field(None, ge=0, le=100)
    voice_gain: float | None = Field(None, ge=0.1, le=4)


class SuppressionStart(Command):
    """Suppress noise in one direction or both."""

    action = "suppression_start"

    direction: Literal["inbound", "outbound", "both"] = "inbound"
    noise_suppression_engine: Literal[
        "Denoiser",
        "DeepFilterNet",
        "Krisp",
        "AiCoustics",
        "aic_l_quail",
        "aic_l_rook",
        "aic_s_quail",
        "aic_s_rook",
        "quail_voice_focus_s",
        "quail_voice_focus_xs",
        "A",
        "B",
        "C",
        "D",
    ] = "Denoiser"  # the letters are legacy names of the first four
    noise_suppression_engine_config: NoiseSuppressionEngineConfig | None = None


class SuppressionStop(Command):
    """Let noise through again."""

    action = "suppression_stop"
