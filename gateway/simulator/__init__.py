"""Telnyx's side of a call, without an account: REST, signed webhooks, and the media WebSocket."""

from gateway.simulator.call import SimulatedCall
from gateway.simulator.simulator import Simulator, run_simulator

__all__ = ["SimulatedCall", "Simulator", "run_simulator"]
