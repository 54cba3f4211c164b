"""Events of a call's life, and of where it is led."""

from typing import Literal

from pydantic import Field

from gateway.protocol.events.base import BaseEvent, CallPayload, Model, NameValue, Payload

__all__ = [
    "CallAnswered",
    "CallBridged",
    "CallCost",
    "CallDequeued",
    "CallDtmfReceived",
    "CallEnqueued",
    "CallGatherEnded",
    "CallHangup",
    "CallHold",
    "CallInitiated",
    "CallReferCompleted",
    "CallReferFailed",
    "CallReferStarted",
    "CallSipInfoReceived",
    "CallUnhold",
]


class LegPayload(CallPayload):
    """What the three steps of a leg tell; the times are ISO 8601."""

    state: str | None = None
    start_time: str | None = None
    custom_headers: list[NameValue] | None = None
    sip_headers: list[NameValue] | None = None  # User-to-User and Diversion
    tags: list[str] | None = None


class InitiatedPayload(LegPayload):
    """Of `call.initiated`; `state` is parked or bridging."""

    direction: str | None = None  # incoming, outgoing
    caller_id_name: str | None = Field(None, repr=False)
    call_screening_result: str | None = None
    connection_codecs: str | None = None
    offered_codecs: str | None = None
    shaken_stir_attestation: str | None = None
    shaken_stir_validated: bool | None = None


class CallInitiated(BaseEvent):
    """A call came in, or was placed."""

    event_type: Literal["call.initiated"]
    payload: InitiatedPayload = InitiatedPayload()


class CallAnswered(BaseEvent):
    """One side picked up: we, if the call came in."""

    event_type: Literal["call.answered"]
    payload: LegPayload = LegPayload()


class InboundQuality(Model):
    """Of what was received from the far end; all texts."""

    jitter_max_variance: str | None = None
    jitter_packet_count: str | None = None
    mos: str | None = None
    packet_count: str | None = None
    skip_packet_count: str | None = None


class OutboundQuality(Model):
    """Of what was sent to it; all texts."""

    packet_count: str | None = None
    skip_packet_count: str | None = None


class CallQualityStats(Model):
    """How well the sound came through."""

    inbound: InboundQuality | None = None
    outbound: OutboundQuality | None = None


class HangupPayload(LegPayload):
    """Of `call.hangup`."""

    hangup_cause: str | None = None  # normal_clearing, timeout, user_busy, call_rejected, originator_cancel, ...
    hangup_source: str | None = None  # caller, callee, unknown
    sip_hangup_cause: str | None = None  # 200, 486, 603, ... or `unspecified`
    call_quality_stats: CallQualityStats | None = None
    end_time: str | None = None  # in none of the schemas, in real samples


class CallHangup(BaseEvent):
    """The call is over."""

    event_type: Literal["call.hangup"]
    payload: HangupPayload = HangupPayload()


class CallBridged(BaseEvent):
    """The leg is connected with another; the other leg has an event of its own."""

    event_type: Literal["call.bridged"]
    payload: CallPayload = CallPayload()


class CallHold(BaseEvent):
    """The far end put the call on hold."""

    event_type: Literal["call.hold"]
    payload: CallPayload = CallPayload()


class CallUnhold(BaseEvent):
    """The far end took the call up again."""

    event_type: Literal["call.unhold"]
    payload: CallPayload = CallPayload()


class DtmfPayload(CallPayload):
    """Of `call.dtmf.received`."""

    digit: str | None = Field(None, repr=False)


class CallDtmfReceived(BaseEvent):
    """A key was pressed."""

    event_type: Literal["call.dtmf.received"]
    payload: DtmfPayload = DtmfPayload()


class GatherPayload(CallPayload):
    """Of `call.gather.ended`."""

    digits: str | None = Field(None, repr=False)
    status: str | None = None  # valid, invalid, timeout, cancelled, cancelled_amd, call_hangup
    gather_id: str | None = None  # promised by the command, missing in the schema


class CallGatherEnded(BaseEvent):
    """A `gather` of any kind but by AI is over."""

    event_type: Literal["call.gather.ended"]
    payload: GatherPayload = GatherPayload()


class EnqueuedPayload(Payload):
    """Of `call.enqueued`."""

    queue: str | None = None
    current_position: int | None = None
    queue_avg_wait_time_secs: int | None = None


class CallEnqueued(BaseEvent):
    """The call waits in a queue."""

    event_type: Literal["call.enqueued"]
    payload: EnqueuedPayload = EnqueuedPayload()


class DequeuedPayload(Payload):
    """Of `call.dequeued`."""

    queue: str | None = None
    queue_position: int | None = None
    reason: str | None = None  # bridged, bridging-in-process, hangup, leave, timeout
    wait_time_secs: int | None = None


class CallDequeued(BaseEvent):
    """The call left its queue."""

    event_type: Literal["call.dequeued"]
    payload: DequeuedPayload = DequeuedPayload()


class ReferPayload(CallPayload):
    """Of `call.refer.*`."""

    sip_notify_response: int | None = None  # 100, then 200 or a failure's


class CallReferStarted(BaseEvent):
    """The caller's end was asked to call somebody itself."""

    event_type: Literal["call.refer.started"]
    payload: ReferPayload = ReferPayload()


class CallReferCompleted(BaseEvent):
    """It did."""

    event_type: Literal["call.refer.completed"]
    payload: ReferPayload = ReferPayload()


class CallReferFailed(BaseEvent):
    """It did not."""

    event_type: Literal["call.refer.failed"]
    payload: ReferPayload = ReferPayload()


class CallSipInfoReceived(BaseEvent):
    """A SIP INFO message came; no schema tells what the payload holds."""

    event_type: Literal["call.sip_info.received"]
    payload: CallPayload = CallPayload()


class CostPart(Model):
    """One thing that was paid for."""

    call_part: str | None = None
    billed_duration_secs: int | None = None
    cost: str | None = None
    currency: str | None = None
    rate: str | None = None


class CostPayload(Payload):
    """Of `call.cost`; amounts are decimal texts."""

    billed_duration_secs: int | None = None
    billing_group_id: str | None = None
    cost_parts: list[CostPart] | None = None
    occurred_at: str | None = None
    status: str | None = None  # success, error
    total_cost: str | None = None


class CallCost(BaseEvent):
    """What the call cost."""

    event_type: Literal["call.cost"]
    payload: CostPayload = CostPayload()
