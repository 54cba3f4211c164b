"""What is the same for all calls of one gateway."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.agents.base import AgentFactory
from gateway.agents.failure import OnFailure
from gateway.agents.warm import WarmAgents
from gateway.protocol.commands import Command
from gateway.services.options import ServiceOptions
from gateway.sinks.base import SinkSource
from gateway.sinks.services import SinkServices

__all__ = ["CallOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """How calls are run. Seconds.

    Attributes:
        sinks: What makes the sinks of each call, by name.
        sink_services: What the sinks of all calls share.
        agent: Makes the agent of each call; None for no agent.
        warm_agents: What made agents early.
        agent_failure: What is done for a caller whose agent has failed.
        playout_lead: How far ahead of its time sound is sent.
        playout_message: How much sound one message may hold, where more than 20 ms waits.
        reorder_window: How long a gap waits for the packets that belong there, and a key for those pressed before it.
        max_duration: Longest stream.
        agent_grace: How long an agent may go on after the call's end.
        services: What the media services of all calls share.
        publish: Tells an event of a call, by its `call_control_id`, to everybody who follows it; must not raise.
        command: Sends a command for a call, by its `call_control_id`; raises `ControlError`.
    """

    sinks: Mapping[str, SinkSource]
    sink_services: SinkServices | None = None
    agent: AgentFactory | None = None
    warm_agents: WarmAgents | None = None
    agent_failure: OnFailure = field(default_factory=OnFailure)
    playout_lead: float = 0.16
    playout_message: float = 0.02
    reorder_window: float = 0.06
    max_duration: float = 14_400.0
    agent_grace: float = 5.0
    services: ServiceOptions = field(default_factory=ServiceOptions)
    publish: Callable[[str, str, Mapping[str, Any]], None] | None = None
    command: Callable[[str, Command], Awaitable[Mapping[str, Any]]] | None = None
