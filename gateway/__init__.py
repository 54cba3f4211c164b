"""A real-time media gateway between Telnyx calls and voice applications.

from gateway import Agent, Call, Gateway

class Parrot(Agent):
    async def run(self, call: Call) -> None:
        async for item in call:
            ...

Gateway(agent=Parrot).run()
"""

from gateway.agents.base import Agent
from gateway.call import Call, CallItem, EndReason
from gateway.config import Settings, load_settings
from gateway.gateway import Gateway
from gateway.media.frame import AudioFrame
from gateway.protocol.messages import Dtmf, MarkReached
from gateway.sinks.base import AudioSink, SinkFactory, StreamInfo

__all__ = [
    "Agent",
    "AudioFrame",
    "AudioSink",
    "Call",
    "CallItem",
    "Dtmf",
    "EndReason",
    "Gateway",
    "MarkReached",
    "Settings",
    "SinkFactory",
    "StreamInfo",
    "load_settings",
]
