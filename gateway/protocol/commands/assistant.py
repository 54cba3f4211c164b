"""The AI assistant that Telnyx runs in a call: how it hears, thinks and speaks, and what it may do."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, Tag

from gateway.protocol.commands.base import Model, OpenModel, by_json_type, by_key
from gateway.protocol.commands.voice import AssistantVoice

__all__ = [
    "AssistantMessage",
    "AssistantRequest",
    "AssistantTool",
    "BookAppointmentTool",
    "CheckAvailabilityTool",
    "DeveloperMessage",
    "ExternalLlm",
    "FallbackConfig",
    "HangupTool",
    "InterruptionSettings",
    "Message",
    "Participant",
    "RetrievalTool",
    "SystemMessage",
    "ToolMessage",
    "TranscriptionConfig",
    "TransferTool",
    "UserMessage",
    "WebhookTool",
]


class InterruptionSettings(Model):
    """Whether the caller may interrupt."""

    enable: bool | None = None


class TranscriptionConfig(OpenModel):
    """How the assistant hears. Which languages there are depends on the model; so may further keys."""

    language: str | None = None
    model: (
        Literal[
            "deepgram/flux",
            "flux",
            "deepgram/nova-3",
            "deepgram/nova-2",
            "speechmatics/standard",
            "speechmatics/enhanced",
            "speechmatics/linden-1",
            "assemblyai/universal-3-5-pro",
            "assemblyai/universal-streaming",
            "xai/grok-stt",
            "soniox/stt-rt-v4",
            "nvidia/parakeet-v3",
            "omi-health/omi-med-stt-v1",
            "humain/realtime",
            "reson8/turns",
            "cohere/ar-stt",
            "azure/fast",
            "azure/realtime",
            "google/latest_long",
            "distil-whisper/distil-large-v2",
            "openai/whisper-large-v3-turbo",
        ]
        | None
    ) = None


class ExternalLlm(OpenModel):
    """A language model of one's own."""

    model: str | None = None
    base_url: str | None = None
    authentication_method: Literal["token", "certificate"] | None = None
    llm_api_key_ref: str | None = None
    certificate_ref: str | None = None
    token_retrieval_url: str | None = None
    forward_metadata: bool | None = None


class FallbackConfig(OpenModel):
    """The language model for when the first one fails."""

    model: str | None = None
    llm_api_key_ref: str | None = None
    external_llm: ExternalLlm | None = None


class BookAppointment(Model):
    """A booking in Cal.com."""

    api_key_ref: str
    event_type_id: int
    attendee_name: str | None = None
    attendee_timezone: str | None = None


class BookAppointmentTool(Model):
    """The assistant may book an appointment."""

    type: Literal["book_appointment"]
    book_appointment: BookAppointment


class CheckAvailability(Model):
    """A question to Cal.com."""

    api_key_ref: str
    event_type_id: int


class CheckAvailabilityTool(Model):
    """The assistant may ask for free times."""

    type: Literal["check_availability"]
    check_availability: CheckAvailability


class ParameterSchema(OpenModel):
    """A JSON Schema of an object."""

    type: Literal["object"] | None = None
    properties: dict[str, Any] | None = None
    required: list[str] | None = None


class Header(Model):
    """A header of a request; the value may hold a template."""

    name: str | None = None
    value: str | None = Field(None, repr=False)


class WebhookCall(Model):
    """A request that the assistant makes."""

    name: str
    description: str
    url: str
    method: Literal["GET", "POST", "PUT", "DELETE", "PATCH"] | None = None
    headers: list[Header] | None = None
    body_parameters: ParameterSchema | None = None
    path_parameters: ParameterSchema | None = None
    query_parameters: ParameterSchema | None = None


class WebhookTool(Model):
    """The assistant may call a server."""

    type: Literal["webhook"]
    webhook: WebhookCall
    timeout_ms: int | None = None


class HangupDescription(Model):
    """What the assistant is told of hanging up."""

    description: str | None = None


class HangupTool(Model):
    """The assistant may hang up."""

    type: Literal["hangup"]
    hangup: HangupDescription


class TransferTarget(Model):
    """Somebody to transfer to."""

    to: str = Field(repr=False)
    name: str | None = None


class TransferTargets(Model):
    """Whom the assistant may choose from; a text is the name of a dynamic variable."""

    targets: Annotated[
        Annotated[list[TransferTarget], Tag("<list>")] | Annotated[str, Tag("<text>")],
        by_json_type("a list of targets or a text"),
    ]
    from_: str | None = Field(None, alias="from", repr=False)


class TransferTool(Model):
    """The assistant may transfer the call."""

    type: Literal["transfer"]
    transfer: TransferTargets


class Buckets(Model):
    """Documents that Telnyx stores."""

    bucket_ids: list[str]
    max_num_results: int | None = None


class RetrievalTool(Model):
    """The assistant may look things up."""

    type: Literal["retrieval"]
    retrieval: Buckets


AssistantTool: TypeAlias = Annotated[
    Annotated[BookAppointmentTool, Tag("<book_appointment>")]
    | Annotated[CheckAvailabilityTool, Tag("<check_availability>")]
    | Annotated[WebhookTool, Tag("<webhook>")]
    | Annotated[HangupTool, Tag("<hangup>")]
    | Annotated[TransferTool, Tag("<transfer>")]
    | Annotated[RetrievalTool, Tag("<retrieval>")],
    by_key("type", "book_appointment", "check_availability", "webhook", "hangup", "transfer", "retrieval"),
]


DynamicVariable: TypeAlias = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[bool, Tag("<boolean>")] | Annotated[int | float, Tag("<number>")],
    by_json_type("a text, a number, true or false"),
]


class AssistantRequest(Model):
    """A stored assistant, and what is different in this call."""

    id: str
    name: str | None = None
    instructions: str | None = None
    greeting: str | None = Field(None, max_length=3000)
    model: str | None = None
    llm_api_key_ref: str | None = None
    openai_api_key_ref: str | None = None  # the older name of the one before
    external_llm: ExternalLlm | None = None
    fallback_config: FallbackConfig | None = None
    dynamic_variables: dict[str, DynamicVariable] | None = None
    tools: list[AssistantTool] | None = None
    mcp_servers: list[dict[str, Any]] | None = Field(None, repr=False)
    observability_settings: dict[str, Any] | None = Field(None, repr=False)
    transcription: TranscriptionConfig | None = None
    voice_settings: AssistantVoice | None = None


class Participant(Model):
    """A leg that takes part in an assistant's conversation."""

    id: str  # its call_control_id
    role: Literal["user"]
    name: str | None = None
    on_hangup: Literal["continue_conversation", "end_conversation"] | None = None


class UserMessage(Model):
    """What the caller said."""

    role: Literal["user"]
    content: str
    metadata: dict[str, Any] | None = None


class ToolFunction(Model):
    """The function of a tool call."""

    name: str


class ToolCall(Model):
    """A call of a tool by the assistant."""

    id: str
    type: Literal["function"]
    function: ToolFunction


class AssistantMessage(Model):
    """What the assistant said, or called."""

    role: Literal["assistant"]
    content: str | None = None
    metadata: dict[str, Any] | None = None
    tool_calls: list[ToolCall] | None = None


class ToolMessage(Model):
    """What a tool answered."""

    role: Literal["tool"]
    content: str
    tool_call_id: str
    metadata: dict[str, Any] | None = None


class SystemMessage(Model):
    """What the assistant is told, by its operator."""

    role: Literal["system"]
    content: str
    metadata: dict[str, Any] | None = None


class DeveloperMessage(Model):
    """What the assistant is told, by the application."""

    role: Literal["developer"]
    content: str
    metadata: dict[str, Any] | None = None


Message: TypeAlias = Annotated[
    Annotated[UserMessage, Tag("<user>")]
    | Annotated[AssistantMessage, Tag("<assistant>")]
    | Annotated[ToolMessage, Tag("<tool>")]
    | Annotated[SystemMessage, Tag("<system>")]
    | Annotated[DeveloperMessage, Tag("<developer>")],
    by_key("role", "user", "assistant", "tool", "system", "developer"),
]
