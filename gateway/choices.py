"""The agents and sinks that calls can be given, opened once; which of them a call gets, a decision says."""

import os
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

from structlog.typing import FilteringBoundLogger

from audio_codecs import CodecError, open_codec
from gateway.agents.base import AgentFactory
from gateway.agents.options import AgentConfig, open_agent
from gateway.call import CallOptions
from gateway.config import Settings
from gateway.control.routes import Route
from gateway.decision import Decision
from gateway.errors import ConfigError
from gateway.forked_call import ForkOptions
from gateway.plugins import find_agent, open_sinks
from gateway.sinks.base import SinkSource

__all__ = ["Choices", "check_stream_codec", "open_choices"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What decisions can name.

    Attributes:
        settings: What holds where a decision says nothing.
        agent: The agent of a call whose decision names none; None for no agent.
        agents: The others, by name.
        sinks: The sinks of a call whose decision names none, by the names that its record has.
        others: Sinks by what decisions call them: the name for a record, and what makes the sink.
    """

    settings: Settings
    agent: AgentFactory | None
    agents: Mapping[str, AgentFactory]
    sinks: Mapping[str, SinkSource]
    others: Mapping[str, tuple[str, SinkSource]]

    def check(self, decision: Decision) -> None:
        """Find out whether a decision can be carried out.

        Raises:
            ConfigError: It names what there is not.
        """
        if decision.agent and decision.agent not in self.agents:
            raise ConfigError(f"there is no agent {decision.agent!r}")
        for name in decision.sinks or ():
            if name not in self.others:
                raise ConfigError(f"there is no sink {name.partition('?')[0]!r}")
        if decision.media == "fork" and self.settings.fork_listen is None:
            raise ConfigError("a fork needs GATEWAY_FORK_LISTEN")
        if decision.action == "answer" and decision.media == "stream":
            check_stream_codec(*decision.stream_codec((self.settings.stream_codec, self.settings.stream_sample_rate)))

    def call_options(self, usual: CallOptions, decision: Decision) -> CallOptions:
        """How a call is run that is streamed."""
        if decision.agent is None and decision.sinks is None:
            return usual
        return replace(usual, agent=self._agent(decision), sinks=self._sinks(decision))

    def fork_options(self, usual: ForkOptions, decision: Decision) -> ForkOptions:
        """How a call is run that is forked."""
        return usual if decision.sinks is None else replace(usual, sinks=self._sinks(decision))

    def _agent(self, decision: Decision) -> AgentFactory | None:
        if decision.agent is None:
            return self.agent
        return self.agents.get(decision.agent)  # what an earlier process knew may be gone

    def _sinks(self, decision: Decision) -> Mapping[str, SinkSource]:
        if decision.sinks is None:
            return self.sinks
        chosen: dict[str, SinkSource] = {}
        for text in dict.fromkeys(decision.sinks):
            if text in self.others:
                name, source = self.others[text]
                number = sum(other.partition(" ")[0] == name for other in chosen) + 1
                chosen[name if number == 1 else f"{name} {number}"] = source
        return chosen


async def open_choices(
    settings: Settings,
    routes: Sequence[Route],
    *,
    agent: AgentFactory | None,
    agent_name: str | None,
    agents: Mapping[str, AgentFactory],
    sinks: Mapping[str, SinkSource],
    own_sinks: Mapping[str, SinkSource],
    stack: AsyncExitStack,
    log: FilteringBoundLogger,
) -> Choices:
    """Open what the rules name beside what the settings name.

    Args:
        settings: All of them.
        routes: The rules.
        agent: What the settings or the program name as agent, opened.
        agent_name: What the settings call it; None where the program has brought it along, or there is none.
        agents: Those that the program has brought along, by name.
        sinks: What the settings name, opened, in their order.
        own_sinks: Those that the program has brought along, by name.
        stack: Closes what was opened.
        log: Where things are told.

    Raises:
        ConfigError: A rule names what there is not, or cannot be opened; tells the rule's number.
    """
    others = {
        text: (name.partition(" ")[0], source)
        for text, (name, source) in zip(settings.sinks, sinks.items(), strict=True)
    }
    others |= {name: (name, source) for name, source in own_sinks.items()}
    known = {name: await _open_agent(settings, factory, {}, stack, log) for name, factory in agents.items()}
    if agent is not None and agent_name is not None:
        known.setdefault(agent_name, agent)
    for number, route in enumerate(routes, 1):
        try:
            key = route.agent_key(number)
            if key and key not in known:
                factory = agents.get(route.agent or "") or find_agent(route.agent)
                assert factory is not None
                known[key] = await _open_agent(settings, factory, route.agent_options or {}, stack, log)
            for text in route.sinks or ():
                if text not in others:
                    others[text] = await _open_sink(settings, text, stack, log)
            choices = Choices(settings=settings, agent=agent, agents=known, sinks={**sinks, **own_sinks}, others=others)
            choices.check(route.decision(number))
        except ConfigError as error:
            text = str(error).removeprefix("GATEWAY_AGENT: ").removeprefix("GATEWAY_SINKS: ")
            raise ConfigError(f"GATEWAY_ROUTES: rule {number}: {text}") from error
    return Choices(settings=settings, agent=agent, agents=known, sinks={**sinks, **own_sinks}, others=others)


async def _open_agent(
    settings: Settings,
    factory: AgentFactory,
    options: Mapping[str, Any],
    stack: AsyncExitStack,
    log: FilteringBoundLogger,
) -> AgentFactory:
    config = AgentConfig(
        options=options, environment=os.environ, speech=settings.speech, transcriber=settings.transcriber, log=log
    )
    opened = await open_agent(factory, config, stack)
    assert opened is not None
    return opened


async def _open_sink(
    settings: Settings, text: str, stack: AsyncExitStack, log: FilteringBoundLogger
) -> tuple[str, SinkSource]:
    opened = await open_sinks(settings.model_copy(update={"sinks": (text,)}), stack=stack, log=log)
    ((name, source),) = opened.items()
    return name, source


def check_stream_codec(encoding: str, sample_rate: int) -> None:
    """Find out whether Telnyx can be asked for a stream in this codec.

    Raises:
        ConfigError: It has another rate, or is not installed.
    """
    if encoding in ("PCMU", "PCMA", "G722") and sample_rate != 8000:
        raise ConfigError(f"SAMPLE_RATE: {encoding} has 8000 Hz only")
    try:
        open_codec(encoding, sample_rate, to_send=True)
    except CodecError as error:
        raise ConfigError(f"CODEC: {error}") from error
