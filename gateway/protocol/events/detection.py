"""Events of what Telnyx finds out about who speaks: a person, a machine, a forged voice."""

from typing import Literal

from gateway.protocol.events.base import BaseEvent, CallPayload, Payload

__all__ = [
    "CallDeepfakeDetectionError",
    "CallDeepfakeDetectionResult",
    "CallMachineDetectionEnded",
    "CallMachineGreetingEnded",
    "CallMachinePremiumCallScreeningDetected",
    "CallMachinePremiumDetectionEnded",
    "CallMachinePremiumDetectionStarted",
    "CallMachinePremiumGreetingEnded",
]


class MachinePayload(CallPayload):
    """Of `call.machine.*`; which results there are depends on the event."""

    result: str | None = None


class CallMachineDetectionEnded(BaseEvent):
    """Result: human, machine, not_sure."""

    event_type: Literal["call.machine.detection.ended"]
    payload: MachinePayload = MachinePayload()


class CallMachineGreetingEnded(BaseEvent):
    """Result: beep_detected, ended, not_sure."""

    event_type: Literal["call.machine.greeting.ended"]
    payload: MachinePayload = MachinePayload()


class CallMachinePremiumDetectionStarted(BaseEvent):
    """Premium detection listens."""

    event_type: Literal["call.machine.premium.detection.started"]
    payload: CallPayload = CallPayload()


class CallMachinePremiumDetectionEnded(BaseEvent):
    """Result: human_residence, human_business, machine, silence, fax_detected, not_sure."""

    event_type: Literal["call.machine.premium.detection.ended"]
    payload: MachinePayload = MachinePayload()


class CallMachinePremiumGreetingEnded(BaseEvent):
    """Result: beep_detected, no_beep_detected, prompt_ended."""

    event_type: Literal["call.machine.premium.greeting.ended"]
    payload: MachinePayload = MachinePayload()


class CallMachinePremiumCallScreeningDetected(BaseEvent):
    """Result: screening. A phone asks who calls, and for what."""

    event_type: Literal["call.machine.premium.call_screening.detected"]
    payload: MachinePayload = MachinePayload()


class DeepfakeResultPayload(Payload):
    """Of `call.deepfake_detection.result`."""

    result: str | None = None  # real, fake, silence_timeout
    score: float | None = None
    consistency: float | None = None


class CallDeepfakeDetectionResult(BaseEvent):
    """What was found of a voice."""

    event_type: Literal["call.deepfake_detection.result"]
    payload: DeepfakeResultPayload = DeepfakeResultPayload()


class DeepfakeErrorPayload(Payload):
    """Of `call.deepfake_detection.error`."""

    error_message: str | None = None  # detection_timeout, rtp_timeout, dfd_connection_error, dfd_stream_error


class CallDeepfakeDetectionError(BaseEvent):
    """Nothing was found out of a voice."""

    event_type: Literal["call.deepfake_detection.error"]
    payload: DeepfakeErrorPayload = DeepfakeErrorPayload()
