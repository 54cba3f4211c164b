"""The agent that hands its call to a program of the user's, over a WebSocket: see docs/websocket-agent.md."""

from gateway.agents.websocket.agent import WebSocketAgent

__all__ = ["WebSocketAgent"]
