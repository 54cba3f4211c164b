"""Events of Telnyx's AI assistants."""

from typing import Any, Literal

from pydantic import Field

from gateway.protocol.events.base import BaseEvent, CallPayload, Model, Payload

__all__ = [
    "CallAiGatherEnded",
    "CallAiGatherMessageHistoryUpdated",
    "CallAiGatherPartialResults",
    "CallAnalyzed",
    "CallConversationCreated",
    "CallConversationEnded",
    "CallConversationInsightsGenerated",
    "CallConversationStartFailed",
]


class HistoryMessage(Model):
    """What one side said."""

    role: str | None = None  # assistant, user
    content: str | None = Field(None, repr=False)


class AiGatherPayload(CallPayload):
    """Of `call.ai_gather.*`."""

    message_history: list[HistoryMessage] | None = Field(None, repr=False)


class CallAiGatherMessageHistoryUpdated(BaseEvent):
    """Somebody said something."""

    event_type: Literal["call.ai_gather.message_history_updated"]
    payload: AiGatherPayload = AiGatherPayload()


class PartialResultsPayload(AiGatherPayload):
    """Of `call.ai_gather.partial_results`."""

    partial_results: dict[str, Any] | None = Field(None, repr=False)


class CallAiGatherPartialResults(BaseEvent):
    """Some of the values are known."""

    event_type: Literal["call.ai_gather.partial_results"]
    payload: PartialResultsPayload = PartialResultsPayload()


class AiGatherEndedPayload(AiGatherPayload):
    """Of `call.ai_gather.ended`."""

    result: dict[str, Any] | None = Field(None, repr=False)
    status: str | None = None  # valid, invalid


class CallAiGatherEnded(BaseEvent):
    """The values are known, or will not be."""

    event_type: Literal["call.ai_gather.ended"]
    payload: AiGatherEndedPayload = AiGatherEndedPayload()


class ConversationEvent(BaseEvent):
    """What the events of a conversation have besides."""

    created_at: str | None = None


class ConversationCreatedPayload(CallPayload):
    """Of `call.conversation.created`."""

    conversation_id: str | None = None
    calling_party_type: str | None = None  # pstn, sip


class CallConversationCreated(ConversationEvent):
    """The assistant takes part."""

    event_type: Literal["call.conversation.created"]
    payload: ConversationCreatedPayload = ConversationCreatedPayload()


class StartFailedPayload(CallPayload):
    """Of `call.conversation.start_failed`."""

    assistant_id: str | None = None
    calling_party_type: str | None = None  # pstn, sip
    reason: str | None = None  # invalid_request, service_error


class CallConversationStartFailed(ConversationEvent):
    """The assistant does not take part."""

    event_type: Literal["call.conversation.start_failed"]
    payload: StartFailedPayload = StartFailedPayload()


class ToolFunction(Model):
    """The function of a tool call; its arguments are JSON in a text."""

    name: str | None = None
    arguments: str | None = Field(None, repr=False)


class ToolCall(Model):
    """A call of a tool by the assistant."""

    id: str | None = None
    type: str | None = None  # function
    function: ToolFunction | None = None


class ConversationMessage(Model):
    """What was said, or called."""

    role: str | None = None  # user, assistant, tool, system, developer
    content: str | None = Field(None, repr=False)
    timestamp: str | None = None  # ISO 8601
    tool_call_id: str | None = None
    tool_calls: list[ToolCall] | None = None


class AssistantPayload(CallPayload):
    """Who it was that talked, and for how long."""

    assistant_id: str | None = None
    conversation_id: str | None = None
    duration_sec: int | None = None
    llm_model: str | None = None
    reason: str | None = None
    stt_model: str | None = None
    tts_model_id: str | None = None
    tts_provider: str | None = None
    tts_voice_id: str | None = None


class ConversationEndedPayload(AssistantPayload):
    """Of `call.conversation.ended`."""

    calling_party_type: str | None = None  # pstn, sip
    messages: list[ConversationMessage] | None = Field(None, repr=False)


class CallConversationEnded(ConversationEvent):
    """The assistant has left, also a Conversation Relay."""

    event_type: Literal["call.conversation.ended"]
    payload: ConversationEndedPayload = ConversationEndedPayload()


class InsightResult(Model):
    """One insight; an object where a schema was given for it."""

    insight_id: str | None = None
    result: dict[str, Any] | str | None = Field(None, repr=False)


class InsightsPayload(Payload):
    """Of `call.conversation_insights.generated`."""

    calling_party_type: str | None = None  # pstn, sip
    insight_group_id: str | None = None
    results: list[InsightResult] | None = None


class CallConversationInsightsGenerated(BaseEvent):
    """What a model found in the conversation."""

    event_type: Literal["call.conversation_insights.generated"]
    payload: InsightsPayload = InsightsPayload()


class AnalyzedInsight(Model):
    """One insight."""

    insight_id: str | None = None
    result: str | None = Field(None, repr=False)


class AnalyzedInsights(Model):
    """The insights, once they are there."""

    conversation_insights: list[AnalyzedInsight] | None = None
    status: str | None = None


class ProductCost(Model):
    """What one product cost."""

    product: str | None = None
    cost: str | None = None


class AnalyzedCost(Model):
    """What all of it cost; decimal texts."""

    breakdown: list[ProductCost] | None = None
    currency: str | None = None
    total: str | None = None


class DownloadUrls(Model):
    """Where a recording can be had."""

    mp3: str | None = Field(None, repr=False)
    wav: str | None = Field(None, repr=False)


class AnalyzedRecording(Model):
    """One recording of the call."""

    id: str | None = None
    channels: str | None = None
    download_urls: DownloadUrls | None = None
    start_time: str | None = None
    end_time: str | None = None
    format: str | None = None


class AnalyzedPayload(AssistantPayload):
    """Of `call.analyzed`; `cost` is a text where it is not known."""

    conversation_insights: list[AnalyzedInsights] | None = None
    cost: AnalyzedCost | str | None = None
    recordings: list[AnalyzedRecording] | None = None


class CallAnalyzed(BaseEvent):
    """All that there is to know of a call with an assistant."""

    event_type: Literal["call.analyzed"]
    payload: AnalyzedPayload = AnalyzedPayload()
