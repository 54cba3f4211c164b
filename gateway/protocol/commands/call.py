"""The commands that begin and end a call."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, Tag

from gateway.protocol.commands.assistant import AssistantRequest
from gateway.protocol.commands.base import Command, Model, NameValue, Uuid, by_json_type
from gateway.protocol.commands.options import (
    Codecs,
    DeepfakeDetection,
    OutgoingLeg,
    RecordOptions,
    SipHeader,
    SoundModifications,
    StreamDetails,
    StreamOptions,
    WebhookOptions,
)
from gateway.protocol.commands.relay import ConversationRelayConfig
from gateway.protocol.commands.transcription import TranscriptionStart

__all__ = ["Answer", "ConferenceConfig", "Dial", "Hangup", "Reject"]

Address = Annotated[str, Field(min_length=1)]  # E.164, or a SIP URI
SupervisorRole = Literal["barge", "whisper", "monitor"]


class ConferenceConfig(Model):
    """The conference that a dialled leg joins."""

    id: Uuid | None = None
    conference_name: str | None = None
    beep_enabled: Literal["always", "never", "on_enter", "on_exit"] | None = None
    early_media: bool | None = None
    end_conference_on_exit: bool | None = None
    soft_end_conference_on_exit: bool | None = None
    hold: bool | None = None
    hold_audio_url: str | None = None
    hold_media_name: str | None = None
    mute: bool | None = None
    start_conference_on_create: bool | None = None
    start_conference_on_enter: bool | None = None
    supervisor_role: Literal[SupervisorRole, "none"] | None = None
    whisper_call_control_ids: list[str] | None = None


class _AnsweredLeg(RecordOptions, WebhookOptions):
    """What `dial` and `answer` say of the leg once it is answered."""

    billing_group_id: Uuid | None = None
    preferred_codecs: Codecs | None = None
    send_silence_when_idle: bool = False
    deepfake_detection: DeepfakeDetection | None = None
    assistant: AssistantRequest | None = None
    conversation_relay_config: ConversationRelayConfig | None = None
    transcription: bool = False
    transcription_config: TranscriptionStart | None = None


class Dial(Command, OutgoingLeg, StreamDetails, _AnsweredLeg):
    """Call somebody. The answer holds the new leg's ids."""

    action = "dial"
    needs: ClassVar = (
        ("bridge_intent", "link_to"),
        ("bridge_on_answer", "link_to"),
        ("park_after_unbridge", "link_to"),
    )

    connection_id: str = Field(min_length=1)  # of the Call Control application
    from_: Address = Field(alias="from", repr=False)
    to: Annotated[
        Annotated[Address, Tag("<text>")] | Annotated[list[Address], Field(min_length=1), Tag("<list>")],
        by_json_type("a text or a list of texts"),
    ] = Field(repr=False)  # several are called at once
    link_to: str | None = None  # a leg, to share its session
    bridge_intent: bool = False
    bridge_on_answer: bool = False
    prevent_double_bridge: bool = False
    conference_config: ConferenceConfig | None = None
    retry_on_timeout: bool = True
    stream_establish_before_call_originate: bool = False
    supervise_call_control_id: str | None = None
    supervisor_role: SupervisorRole = "barge"

    @classmethod
    def path(cls, call_control_id: str = "") -> str:
        """Where the command goes: to no call, as there is none yet."""
        return "/calls"


class Answer(Command, StreamOptions, _AnsweredLeg):
    """Pick up an incoming call. Takes no token, rate or parameters for its stream: `streaming_start` does."""

    action = "answer"

    custom_headers: list[NameValue] | None = None
    sip_headers: list[SipHeader] | None = None
    sound_modifications: SoundModifications | None = None


class Hangup(Command):
    """End a call; on one that has ended already Telnyx says 90018."""

    action = "hangup"

    custom_headers: list[NameValue] | None = None  # of the SIP BYE
    reason: str | None = Field(None, pattern=r'^[^"\\\x00-\x1f\x7f\x{10000}-\x{10ffff}]*$')  # when cancelling a dial


class Reject(Command):
    """Do not pick up; the cause decides what the caller's end is told."""

    action = "reject"

    cause: Literal["CALL_REJECTED", "USER_BUSY", "NOT_FOUND", "TEMPORARILY_UNAVAILABLE"]
