"""A real-time media gateway between Telnyx calls and voice applications.

from gateway import Agent, Call, Gateway

class Parrot(Agent):
    async def run(self, call: Call) -> None:
        async for item in call:
            ...

Gateway(agent=Parrot).run()
"""

from gateway.agents.base import Agent, CallSetup
from gateway.call import Call, EndReason
from gateway.config import Settings, load_settings
from gateway.control.decider import Policy
from gateway.decision import Decision
from gateway.errors import MediaServiceError, SinkError
from gateway.gateway import Gateway
from gateway.items import CallItem, Dtmf, MarkReached, PlaybackFinished, SpeechEnded, SpeechStarted
from gateway.media.frame import AudioFrame
from gateway.playback import Playback
from gateway.services.gather import Gathered
from gateway.sinks.base import (
    BOTH_SIDES,
    INBOUND,
    AsyncAudioSink,
    AudioSink,
    SinkFactory,
    SinkSource,
    StreamInfo,
)
from gateway.sinks.delivery import Declared, Delivery, Restart
from gateway.sinks.recorder import RecordingOptions
from gateway.sinks.url import SinkConfig

__all__ = [
    "BOTH_SIDES",
    "INBOUND",
    "Agent",
    "AsyncAudioSink",
    "AudioFrame",
    "AudioSink",
    "Call",
    "CallItem",
    "CallSetup",
    "Decision",
    "Declared",
    "Delivery",
    "Dtmf",
    "EndReason",
    "Gateway",
    "Gathered",
    "MarkReached",
    "MediaServiceError",
    "Playback",
    "PlaybackFinished",
    "Policy",
    "RecordingOptions",
    "Restart",
    "Settings",
    "SinkConfig",
    "SinkError",
    "SinkFactory",
    "SinkSource",
    "SpeechEnded",
    "SpeechStarted",
    "StreamInfo",
    "load_settings",
]
