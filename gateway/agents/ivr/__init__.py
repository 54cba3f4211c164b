"""The agent that is a menu: `press 1 for ...`, read from a TOML file."""

from gateway.agents.ivr.agent import Ivr

__all__ = ["Ivr"]
