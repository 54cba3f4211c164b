"""The agent that is a speech-to-speech model, by OpenAI's Realtime API or one that is compatible with it."""

from gateway.agents.realtime.agent import RealtimeAgent

__all__ = ["RealtimeAgent"]
