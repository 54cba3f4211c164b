"""The webhook events: what Telnyx tells of a call, beside its media stream.

Webhooks come in any order, some twice, and their schema calls every field optional; so do the models here. What a
model does not name is kept. A field whose value has not the documented type counts as absent and stands, as it came,
in the event's `unreadable`: one odd field must not cost the whole event. What an event cannot do without is its id,
its type, and, where there is one, a `call_control_id` that is a text. An event of a kind that has no model is an
`UnknownEvent`, with its payload as it came.

Values that a schema enumerates are texts here, and documented beside their field: a new one is no error.

To add an event, write its model in the file of its family and name it in `Event`.

Source: Telnyx, "Voice API Webhooks", the OpenAPI description of July 2026 and the Python package 4.189.0.
"""

from typing import Annotated, Final, TypeAlias, cast, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.errors import RemoteProtocolError
from gateway.protocol.events.ai import (
    CallAiGatherEnded,
    CallAiGatherMessageHistoryUpdated,
    CallAiGatherPartialResults,
    CallAnalyzed,
    CallConversationCreated,
    CallConversationEnded,
    CallConversationInsightsGenerated,
    CallConversationStartFailed,
)
from gateway.protocol.events.base import BaseEvent, Payload
from gateway.protocol.events.call import (
    CallAnswered,
    CallBridged,
    CallCost,
    CallDequeued,
    CallDtmfReceived,
    CallEnqueued,
    CallGatherEnded,
    CallHangup,
    CallHold,
    CallInitiated,
    CallReferCompleted,
    CallReferFailed,
    CallReferStarted,
    CallSipInfoReceived,
    CallUnhold,
)
from gateway.protocol.events.conference import (
    ConferenceCreated,
    ConferenceEnded,
    ConferenceParticipantJoined,
    ConferenceParticipantLeft,
    ConferenceParticipantPlaybackEnded,
    ConferenceParticipantPlaybackStarted,
    ConferenceParticipantSpeakEnded,
    ConferenceParticipantSpeakStarted,
    ConferencePlaybackEnded,
    ConferencePlaybackStarted,
    ConferenceRecordingSaved,
    ConferenceSpeakEnded,
    ConferenceSpeakStarted,
)
from gateway.protocol.events.detection import (
    CallDeepfakeDetectionError,
    CallDeepfakeDetectionResult,
    CallMachineDetectionEnded,
    CallMachineGreetingEnded,
    CallMachinePremiumCallScreeningDetected,
    CallMachinePremiumDetectionEnded,
    CallMachinePremiumDetectionStarted,
    CallMachinePremiumGreetingEnded,
)
from gateway.protocol.events.media import (
    CallForkStarted,
    CallForkStopped,
    CallPlaybackEnded,
    CallPlaybackStarted,
    CallRecordingError,
    CallRecordingSaved,
    CallRecordingTranscriptionSaved,
    CallSpeakEnded,
    CallSpeakStarted,
    CallTranscription,
    SiprecFailed,
    SiprecStarted,
    SiprecStopped,
    StreamingFailed,
    StreamingStarted,
    StreamingStopped,
)
from gateway.protocol.events.payment import CallPaymentCompleted, CallPaymentProgress

__all__ = [
    "EVENTS",
    "BaseEvent",
    "CallAiGatherEnded",
    "CallAiGatherMessageHistoryUpdated",
    "CallAiGatherPartialResults",
    "CallAnalyzed",
    "CallAnswered",
    "CallBridged",
    "CallConversationCreated",
    "CallConversationEnded",
    "CallConversationInsightsGenerated",
    "CallConversationStartFailed",
    "CallCost",
    "CallDeepfakeDetectionError",
    "CallDeepfakeDetectionResult",
    "CallDequeued",
    "CallDtmfReceived",
    "CallEnqueued",
    "CallForkStarted",
    "CallForkStopped",
    "CallGatherEnded",
    "CallHangup",
    "CallHold",
    "CallInitiated",
    "CallMachineDetectionEnded",
    "CallMachineGreetingEnded",
    "CallMachinePremiumCallScreeningDetected",
    "CallMachinePremiumDetectionEnded",
    "CallMachinePremiumDetectionStarted",
    "CallMachinePremiumGreetingEnded",
    "CallPaymentCompleted",
    "CallPaymentProgress",
    "CallPlaybackEnded",
    "CallPlaybackStarted",
    "CallRecordingError",
    "CallRecordingSaved",
    "CallRecordingTranscriptionSaved",
    "CallReferCompleted",
    "CallReferFailed",
    "CallReferStarted",
    "CallSipInfoReceived",
    "CallSpeakEnded",
    "CallSpeakStarted",
    "CallTranscription",
    "CallUnhold",
    "ConferenceCreated",
    "ConferenceEnded",
    "ConferenceParticipantJoined",
    "ConferenceParticipantLeft",
    "ConferenceParticipantPlaybackEnded",
    "ConferenceParticipantPlaybackStarted",
    "ConferenceParticipantSpeakEnded",
    "ConferenceParticipantSpeakStarted",
    "ConferencePlaybackEnded",
    "ConferencePlaybackStarted",
    "ConferenceRecordingSaved",
    "ConferenceSpeakEnded",
    "ConferenceSpeakStarted",
    "Event",
    "KnownEvent",
    "Payload",
    "SiprecFailed",
    "SiprecStarted",
    "SiprecStopped",
    "StreamingFailed",
    "StreamingStarted",
    "StreamingStopped",
    "UnknownEvent",
    "parse_event",
]


class UnknownEvent(BaseEvent):
    """An event of a kind this version does not act on; what it says besides is in `payload.model_extra`."""

    event_type: str
    payload: Payload = Payload()


KnownEvent: TypeAlias = (
    CallInitiated
    | CallAnswered
    | CallHangup
    | CallBridged
    | CallHold
    | CallUnhold
    | CallDtmfReceived
    | CallGatherEnded
    | CallEnqueued
    | CallDequeued
    | CallReferStarted
    | CallReferCompleted
    | CallReferFailed
    | CallSipInfoReceived
    | CallCost
    | StreamingStarted
    | StreamingStopped
    | StreamingFailed
    | CallForkStarted
    | CallForkStopped
    | SiprecStarted
    | SiprecStopped
    | SiprecFailed
    | CallPlaybackStarted
    | CallPlaybackEnded
    | CallSpeakStarted
    | CallSpeakEnded
    | CallRecordingSaved
    | CallRecordingError
    | CallRecordingTranscriptionSaved
    | CallTranscription
    | CallMachineDetectionEnded
    | CallMachineGreetingEnded
    | CallMachinePremiumDetectionStarted
    | CallMachinePremiumDetectionEnded
    | CallMachinePremiumGreetingEnded
    | CallMachinePremiumCallScreeningDetected
    | CallDeepfakeDetectionResult
    | CallDeepfakeDetectionError
    | CallAiGatherMessageHistoryUpdated
    | CallAiGatherPartialResults
    | CallAiGatherEnded
    | CallConversationCreated
    | CallConversationStartFailed
    | CallConversationEnded
    | CallConversationInsightsGenerated
    | CallAnalyzed
    | CallPaymentProgress
    | CallPaymentCompleted
    | ConferenceCreated
    | ConferenceEnded
    | ConferenceParticipantJoined
    | ConferenceParticipantLeft
    | ConferencePlaybackStarted
    | ConferencePlaybackEnded
    | ConferenceParticipantPlaybackStarted
    | ConferenceParticipantPlaybackEnded
    | ConferenceSpeakStarted
    | ConferenceSpeakEnded
    | ConferenceParticipantSpeakStarted
    | ConferenceParticipantSpeakEnded
    | ConferenceRecordingSaved
)
Event: TypeAlias = KnownEvent | UnknownEvent

EVENTS: Final[dict[str, type[BaseEvent]]] = {
    get_args(model.model_fields["event_type"].annotation)[0]: model for model in get_args(KnownEvent)
}
"""Every event by its type."""


class _Webhook(BaseModel):
    data: Annotated[KnownEvent, Field(discriminator="event_type")]


def parse_event(body: bytes) -> Event:
    """Read the body of a webhook, version 2 of Telnyx's format.

    Args:
        body: Raw, and already verified; still treated as hostile.

    Raises:
        RemoteProtocolError: Not a webhook. Says which field is wrong and how, without quoting the body.
    """
    try:
        event: Event = _Webhook.model_validate_json(body).data
    except ValidationError:
        event = _parse_leniently(body)
    event.__dict__["body"] = body  # where the property looks first
    return event


class _Data(BaseModel):
    model_config = ConfigDict(extra="allow")

    event_type: Annotated[str, Field(min_length=1, max_length=128)]


class _Envelope(BaseModel):
    data: _Data


def _parse_leniently(body: bytes) -> Event:
    """The same for an event that is unknown, spelt in another way, or has a field of the wrong type."""
    try:
        data = _Envelope.model_validate_json(body).data.model_dump()
        event_type = _SPELLINGS.get(_letters(data["event_type"]), data["event_type"])
        model = EVENTS.get(event_type, UnknownEvent)
        return cast("Event", model.read(data | {"event_type": event_type}))
    except ValidationError as error:
        raise RemoteProtocolError(f"not a webhook: {_explain(error)}") from error


def _letters(spelling: str) -> str:
    """What is the same in `call.streaming.started`, `streaming_started` and `callStreamingStarted`."""
    return spelling.translate(_DOTS).lower().removeprefix("call")


_DOTS: Final = str.maketrans("", "", "._-")
_SPELLINGS: Final = {_letters(event_type): event_type for event_type in EVENTS} | {"leftqueue": "call.dequeued"}
"""Telnyx's own pages, its schema's names and reports of what was delivered do not spell every event alike."""


def _explain(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in problem["loc"]) or "body"
    return f"{where}: {problem['msg']}"
