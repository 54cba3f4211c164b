"""The commands that bring a call to somebody else."""

from typing import Annotated, ClassVar, Literal, Self, TypeAlias

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from gateway.protocol.commands.base import Base64, Command, NameValue, Uuid, comma_separated, wrong
from gateway.protocol.commands.options import OutgoingLeg, RecordOptions, SipHeader, WebhookOptions

__all__ = ["Bridge", "Enqueue", "LeaveQueue", "Refer", "Transfer"]

Codecs: TypeAlias = Annotated[str, Field(pattern=comma_separated("G722 PCMU PCMA G729 OPUS VP8 H264 AMR-WB"))]
MuteDtmf: TypeAlias = Literal["none", "both", "self", "opposite"]
# fmt: off
Ringtone: TypeAlias = Literal[
    "at", "au", "be", "bg", "br", "ch", "cl", "cn", "cz", "de", "dk", "ee", "es", "fi", "fr", "gr", "hu", "il", "in",
    "it", "jp", "lt", "mx", "my", "nl", "no", "nz", "ph", "pl", "pt", "ru", "se", "sg", "th", "tw", "uk", "us-old",
    "us", "ve", "za",
]
# fmt: on


class Bridge(Command, RecordOptions):
    """Connect this leg with another leg, with the first call of a queue, or with a video room: one of the three.

    Telnyx's schema requires `call_control_id` always and its text excludes it beside the other two; the text is
    followed.
    """

    action = "bridge"
    exclusive: ClassVar = (("call_control_id", "queue", "video_room_id"),)
    needs: ClassVar = (("video_room_context", "video_room_id"),)

    call_control_id: str | None = Field(None, min_length=1)  # of the other leg
    queue: str | None = None
    video_room_id: Uuid | None = None
    video_room_context: str | None = None
    hold_after_unbridge: bool | None = None
    mute_dtmf: MuteDtmf = "none"
    park_after_unbridge: Literal["self"] | None = None
    play_ringtone: bool = False
    prevent_double_bridge: bool = False
    ringtone: Ringtone = "us"

    @model_validator(mode="after")
    def _with_whom(self) -> Self:
        if self.call_control_id is self.queue is self.video_room_id is None:
            raise wrong(self, "call_control_id", PydanticCustomError("missing", "Field required"))
        return self


class Transfer(Command, OutgoingLeg, RecordOptions, WebhookOptions):
    """Call somebody, and connect this leg with the new one."""

    action = "transfer"

    to: str = Field(min_length=1, repr=False)  # E.164, or a SIP URI
    from_: str | None = Field(None, alias="from", repr=False)  # E.164; else the number that this leg had called
    early_media: bool = True
    mute_dtmf: MuteDtmf = "none"
    preferred_codecs: Codecs | None = None
    target_leg_client_state: Base64 | None = Field(None, repr=False)  # of the new leg


class Refer(Command):
    """Ask the caller's end to call somebody itself, by SIP REFER."""

    action = "refer"

    sip_address: str = Field(min_length=1)  # SIP URI
    custom_headers: list[NameValue] | None = None
    sip_headers: list[SipHeader] | None = None
    sip_auth_username: str | None = Field(None, repr=False)
    sip_auth_password: str | None = Field(None, repr=False)


class Enqueue(Command):
    """Put a call into a queue, which is made where there is none of that name."""

    action = "enqueue"

    queue_name: str = Field(min_length=1)
    keep_after_hangup: bool = False
    max_size: int = 100  # of a queue that is made now
    max_wait_time_secs: int | None = None


class LeaveQueue(Command):
    """Take a call out of its queue."""

    action = "leave_queue"
