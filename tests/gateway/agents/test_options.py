"""What agents are told at the start."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import structlog

from gateway import Agent, Call
from gateway.agents.base import AgentFactory
from gateway.agents.echo import Echo
from gateway.agents.options import AgentConfig, AgentOptions, open_agent
from gateway.errors import ConfigError


class Options(AgentOptions):
    name: str
    loudness: float = 1.0


def config(**options: Any) -> AgentConfig:
    return AgentConfig(options=options, log=structlog.get_logger(), environment={"A_KEY": "secret", "EMPTY": ""})


class Greeter(Agent):
    closed = 0

    def __init__(self, options: Options) -> None:
        self.options = options

    @classmethod
    def configure(cls, config: AgentConfig) -> AgentFactory:
        options = config.read(Options)
        return lambda: cls(options)

    async def run(self, call: Call) -> None: ...


class Sharing(Greeter):
    @classmethod
    @asynccontextmanager
    async def configure(cls, config: AgentConfig) -> AsyncIterator[AgentFactory]:  # type: ignore[override]
        options = config.read(Options)
        yield lambda: cls(options)
        cls.closed += 1


async def opened(agent: Any, **options: Any) -> Any:
    async with AsyncExitStack() as stack:
        make = await open_agent(agent, config(**options), stack)
        return None if make is None else make()


async def test_an_agent_is_made_with_its_options() -> None:
    agent = await opened(Greeter, name="Ada")
    assert agent.options == Options(name="Ada")


async def test_what_agents_share_is_closed_with_the_stack() -> None:
    before = Sharing.closed
    agent = await opened(Sharing, name="Ada", loudness=2)
    assert agent.options.loudness == 2.0
    assert Sharing.closed == before + 1


async def test_an_agent_without_options_is_as_it_was() -> None:
    assert isinstance(await opened(Echo), Echo)
    assert await opened(None) is None
    with pytest.raises(ConfigError, match="GATEWAY_AGENT_OPTIONS: the agent takes no options"):
        await opened(Echo, name="Ada")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({}, "GATEWAY_AGENT_OPTIONS: name: Field required"),
        ({"name": "a", "nmae": "b"}, "GATEWAY_AGENT_OPTIONS: nmae: there is no such option; there are: name, loudness"),
        ({"name": "a", "loudness": "sk-secret"}, "GATEWAY_AGENT_OPTIONS: loudness: Input should be a valid number"),
    ],
)
async def test_options_that_are_wrong_are_named_and_their_values_are_not(
    options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint) as error:
        await opened(Greeter, **options)
    assert "sk-secret" not in str(error.value)


def test_keys_come_from_the_environment_and_are_not_shown() -> None:
    told = config()
    assert (told.key("A_KEY"), told.key("EMPTY"), told.key("OTHER")) == ("secret", None, None)
    assert "secret" not in repr(told)
