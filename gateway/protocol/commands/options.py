"""Fields that several commands share, and the objects in them."""

from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import AfterValidator, Field

from gateway.protocol.commands.base import (
    Count,
    HttpMethod,
    HttpUrl,
    HttpUrls,
    Model,
    NameValue,
    WebSocketUrl,
    comma_separated,
)

__all__ = [
    "AnsweringMachineDetection",
    "AnsweringMachineDetectionConfig",
    "DeepfakeDetection",
    "DialogflowConfig",
    "DigitsOnAnswer",
    "RecordOptions",
    "RetriesPolicy",
    "SipHeader",
    "SoundModifications",
    "StreamCodec",
    "StreamOptions",
    "Track",
    "WebhookOptions",
]

StreamCodec: TypeAlias = Literal["PCMU", "PCMA", "G722", "OPUS", "AMR-WB", "L16"]
SamplingRate: TypeAlias = Literal[8000, 16000, 22050, 24000, 48000]
Track: TypeAlias = Literal["inbound_track", "outbound_track", "both_tracks"]
DigitsOnAnswer: TypeAlias = Annotated[str, Field(max_length=64, pattern=r"^[0-9A-DwW*#]*$")]
Codecs: TypeAlias = Annotated[str, Field(pattern=comma_separated("G722 PCMU PCMA G729 OPUS VP8 H264"))]
AnsweringMachineDetection: TypeAlias = Literal[
    "premium",
    "premium_ios_call_screening_detection",
    "detect",
    "detect_beep",
    "detect_words",
    "greeting_end",
    "disabled",
]


def _at_most_a_minute(delays: list[int]) -> list[int]:
    if sum(delays) > 60_000:
        raise ValueError(f"the delays sum up to {sum(delays)} ms, limit 60000 ms")
    return delays


class SipHeader(NameValue):
    """The one standard header that may be set; all others are custom headers."""

    name: Literal["User-to-User"]


class RetriesPolicy(Model):
    """When to deliver a webhook again: at most five delays in milliseconds, a minute in sum."""

    retries_ms: Annotated[list[Count], Field(max_length=5), AfterValidator(_at_most_a_minute)] | None = None


class WebhookOptions(Model):
    """Where the webhooks of this call go."""

    webhook_url: HttpUrl | None = None
    webhook_url_method: HttpMethod = "POST"
    webhook_urls: dict[str, HttpUrls] | None = None  # by event type
    webhook_urls_method: HttpMethod = "POST"
    webhook_retries_policies: dict[str, RetriesPolicy] | None = None  # by event type


class RecordOptions(Model):
    """Recording that begins by itself."""

    record: Literal["record-from-answer"] | None = None
    record_channels: Literal["single", "dual"] = "dual"
    record_custom_file_name: str | None = Field(None, min_length=1, max_length=40)
    record_format: Literal["wav", "mp3"] = "mp3"
    record_max_length: int = Field(0, ge=0, le=43_200)  # seconds; 0 is unlimited
    record_timeout_secs: Count = 0  # seconds of silence after speech; 0 is never
    record_track: Literal["both", "inbound", "outbound"] = "both"
    record_trim: Literal["trim-silence"] | None = None


class DialogflowConfig(Model):
    """What Dialogflow does beside answering."""

    analyze_sentiment: bool = False
    partial_automated_agent_reply: bool = False


class StreamOptions(Model):
    """A media stream, as far as every command that opens one can describe it."""

    stream_url: WebSocketUrl | None = Field(None, repr=False)
    stream_track: Track = "inbound_track"
    stream_codec: Literal[StreamCodec, "default"] = "default"  # Telnyx to us; `default` is the leg's own codec
    stream_bidirectional_mode: Literal["mp3", "rtp"] = "mp3"  # what we send; `rtp` is codec octets without header
    stream_bidirectional_codec: StreamCodec = "PCMU"  # us to Telnyx, in mode `rtp`
    stream_bidirectional_target_legs: Literal["both", "self", "opposite"] = "opposite"


class StreamDetails(StreamOptions):
    """A media stream, with what `answer` cannot say of it."""

    stream_bidirectional_sampling_rate: SamplingRate = 8000  # Hz
    stream_auth_token: str | None = Field(None, max_length=4000, repr=False)
    enable_dialogflow: bool = False
    dialogflow_config: DialogflowConfig | None = None


class SoundModifications(Model):
    """How a voice is changed."""

    octaves: float | None = None
    pitch: float | None = None
    semitone: float | None = None
    track: str = "outbound"


class DeepfakeDetection(Model):
    """Whether the caller's voice is a machine's."""

    enabled: bool
    rtp_timeout: int = Field(30, ge=5, le=120)  # seconds
    timeout: int = Field(15, ge=5, le=60)  # seconds


class AnsweringMachineDetectionConfig(Model):
    """When silence and speech make a machine."""

    after_greeting_silence_millis: int = 800
    beep_detection_profile: Literal["both", "freq_only"] | None = None
    beep_max_frequency_hz: int | None = None
    beep_min_frequency_hz: int | None = None
    beep_min_tone_duration_millis: int | None = None
    beep_spectral_confirmation: bool | None = None
    beep_spectral_min_purity: float | None = Field(None, ge=0, le=1)
    beep_spectral_reject_fax_cng: bool | None = None
    beep_spectral_window_millis: int | None = None
    between_words_silence_millis: int = 50
    greeting_duration_millis: int = 3500
    greeting_silence_duration_millis: int = 1500
    greeting_total_analysis_time_millis: int = 5000
    initial_silence_millis: int = 3500
    maximum_number_of_words: int = 5
    maximum_word_length_millis: int = 3500
    prompt_end_timeout_millis: int = 5000
    silence_threshold: int = 256
    total_analysis_time_millis: int = 3500


class OutgoingLeg(Model):
    """What `dial` and `transfer` say of the leg they make."""

    exclusive: ClassVar = (("audio_url", "media_name"),)

    answering_machine_detection: AnsweringMachineDetection = "disabled"
    answering_machine_detection_config: AnsweringMachineDetectionConfig | None = None
    audio_url: str | None = None  # played when the leg is answered
    media_name: str | None = None
    custom_headers: list[NameValue] | None = None
    sip_headers: list[SipHeader] | None = None
    diversion: str | None = None  # E.164
    from_display_name: str | None = Field(None, max_length=128)
    media_encryption: Literal["disabled", "SRTP", "DTLS"] = "disabled"
    park_after_unbridge: Literal["self"] | None = None
    privacy: Literal["id", "none"] | None = None
    route_to_mobile: bool = False
    send_digits_on_answer: DigitsOnAnswer | None = None
    sip_auth_username: str | None = Field(None, repr=False)
    sip_auth_password: str | None = Field(None, repr=False)
    sip_region: Literal["US", "Europe", "Canada", "Australia", "Middle East"] = "US"
    sip_transport_protocol: Literal["UDP", "TCP", "TLS"] = "UDP"
    sound_modifications: SoundModifications | None = None
    time_limit_secs: int = Field(14_400, ge=30, le=14_400)  # of the leg, seconds
    timeout_secs: int = Field(30, ge=5, le=600)  # of the ringing, seconds
