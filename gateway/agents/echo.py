"""The agent that says what it hears: the first thing to try, and what the benchmarks measure."""

from gateway.agents.base import Agent
from gateway.call import Call
from gateway.media.frame import AudioFrame
from gateway.sinks.base import INBOUND

__all__ = ["Echo"]


class Echo(Agent):
    """Plays every inbound frame back, in the wake-up it came in."""

    async def run(self, call: Call) -> None:
        """Listen until the call ends."""
        call.listen(_EchoSink(call))
        await call.wait_ended()


class _EchoSink:
    __slots__ = ("_call",)

    tracks = INBOUND

    def __init__(self, call: Call) -> None:
        self._call = call

    def write(self, frame: AudioFrame) -> None:
        if frame.concealed and not frame.samples.any():
            return  # the hole of a reconnect comes at once: said again, it would delay all that follows
        self._call.send_audio(frame.samples, frame.sample_rate)
