"""What an agent is told once, as the gateway starts: its options, and where it finds keys and speech.

An agent's class that has a class method `configure(config)` is asked by it, once, for what makes the agent of each
call: a function, or an async context manager around one for what all calls share, such as an HTTP session.
"""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from structlog.typing import FilteringBoundLogger

from gateway.agents.base import AgentFactory
from gateway.errors import ConfigError

__all__ = ["AgentConfig", "AgentOptions", "open_agent"]

Options = TypeVar("Options", bound="AgentOptions")


class AgentOptions(BaseModel):
    """The options of one kind of agent; a name that it does not have is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """What an agent's `configure` is given.

    Attributes:
        options: GATEWAY_AGENT_OPTIONS, or the table `[agent_options]`.
        environment: Where keys are looked for.
        speech: GATEWAY_SPEECH, the service that says texts; None for none.
        transcriber: GATEWAY_TRANSCRIBER, what transcribes calls; None for none.
        log: The gateway's.
    """

    options: Mapping[str, Any]
    log: FilteringBoundLogger
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    speech: str | None = None
    transcriber: str | None = None

    def read(self, model: type[Options]) -> Options:
        """The options as this model has them.

        Raises:
            ConfigError: There is another one, or a value is wrong. Names every one of them, and shows no value.
        """
        try:
            return model.model_validate(dict(self.options))
        except ValidationError as error:
            problems = error.errors(include_url=False, include_input=False, include_context=False)
            raise ConfigError("\n".join(_explain(problem, model) for problem in problems)) from None

    def key(self, name: str) -> str | None:
        """The key of a service, by the name of its environment variable; None where it is not set, or empty."""
        return self.environment.get(name) or None


def _explain(problem: Any, model: type[AgentOptions]) -> str:
    name = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"]
    if problem["type"] == "extra_forbidden":
        message = f"there is no such option; there are: {', '.join(model.model_fields)}"
    return f"GATEWAY_AGENT_OPTIONS: {name}: {message}"


async def open_agent(agent: AgentFactory | None, config: AgentConfig, stack: AsyncExitStack) -> AgentFactory | None:
    """What makes the agent of each call, told its options; what the agents share lives as long as the stack.

    Args:
        agent: The agent's class, or a function that makes one; None for none.
        config: What its `configure` is given.
        stack: Closes what the agents share.

    Raises:
        ConfigError: It takes no options, or not these.
    """
    configure = getattr(agent, "configure", None)
    if configure is None:
        if config.options:
            raise ConfigError("GATEWAY_AGENT_OPTIONS: the agent takes no options")
        return agent
    configured: AgentFactory | AbstractAsyncContextManager[AgentFactory] = configure(config)
    if isinstance(configured, AbstractAsyncContextManager):
        return await stack.enter_async_context(configured)
    return configured
