"""Finding sinks and agents by what the settings call them.

A name is one of our own, or an installed package's (entry points `gateway.sinks` and `gateway.agents`), or
`package.module:Class`. For sinks, more may follow: `wav:/recordings`, `level:?interval=5`; see `gateway/sinks/url.py`.
"""

import importlib
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from importlib.metadata import entry_points
from typing import Any, Final, TypeAlias

from structlog.typing import FilteringBoundLogger

from gateway.agents.base import Agent, AgentFactory
from gateway.agents.echo import Echo
from gateway.config import Settings
from gateway.errors import ConfigError, SinkError
from gateway.recordings import open_recorder
from gateway.sinks.base import SinkFactory, SinkSource
from gateway.sinks.delivery import delivery_of
from gateway.sinks.level import level
from gateway.sinks.null import NullSink
from gateway.sinks.process import pickled
from gateway.sinks.url import SinkConfig, SinkUrl

__all__ = ["find_agent", "open_sinks"]

AGENTS: Final[Mapping[str, AgentFactory]] = {"echo": Echo}


def _null(config: SinkConfig, settings: Settings) -> SinkSource:
    del settings
    config.only()
    return NullSink


def _level(config: SinkConfig, settings: Settings) -> SinkFactory:
    del settings
    return level(config)


_Configured: TypeAlias = SinkSource | AbstractAsyncContextManager[SinkSource]

SINKS: Final[Mapping[str, Callable[[SinkConfig, Settings], _Configured]]] = {
    "recorder": open_recorder,
    "wav": open_recorder,
    "level": _level,
    "null": _null,
}


def find_agent(name: str | None) -> AgentFactory | None:
    """What makes the agent of each call; None for none.

    Raises:
        ConfigError: There is no such agent, or it cannot be loaded.
    """
    if name is None or name in AGENTS:
        return None if name is None else AGENTS[name]
    try:
        agent = _installed("gateway.agents", name)
        if agent is None and ":" in name:
            agent = _imported(name)
    except Exception as error:
        raise ConfigError(f"GATEWAY_AGENT: {name!r} cannot be loaded: {error}") from error
    if not (isinstance(agent, type) and issubclass(agent, Agent)):
        names = _names("gateway.agents", AGENTS)
        raise ConfigError(f"GATEWAY_AGENT: {name!r} is no agent; want one of {names}, or package.module:Class")
    return agent


async def open_sinks(settings: Settings, *, stack: AsyncExitStack, log: FilteringBoundLogger) -> dict[str, SinkSource]:
    """What makes the sinks of each call, by name; what they share lives as long as the stack.

    Raises:
        ConfigError: There is no such sink, it cannot be loaded, or it does not take its options.
    """
    sources: dict[str, SinkSource] = {}
    for text in settings.sinks:
        shown = text.partition("?")[0]  # options may hold keys
        try:
            name, configured = _find_sink(SinkUrl.parse(text), settings, log)
            shared: Any = configured
            if not isinstance(shared, type) and hasattr(shared, "__aenter__"):
                shared = await stack.enter_async_context(shared)
            if not callable(shared):
                raise ConfigError(f"{type(shared).__name__} makes no sinks")
            if delivery_of(shared).by == "process":
                pickled(shared)
        except (ConfigError, SinkError, TypeError, ValueError) as error:
            raise ConfigError(f"GATEWAY_SINKS: {shown!r}: {error}") from error
        number = sum(other.partition(" ")[0] == name for other in sources) + 1
        sources[name if number == 1 else f"{name} {number}"] = shared
    return sources


def _find_sink(url: SinkUrl, settings: Settings, log: FilteringBoundLogger) -> tuple[str, _Configured]:
    """The sink's name, for logs and reports, and what makes it, or will when it is entered."""
    config = SinkConfig(path=url.path, options=url.options, data_dir=settings.data_dir, log=log)
    if url.scheme in SINKS:
        return url.scheme, SINKS[url.scheme](config, settings)
    name = url.scheme
    try:
        found = _installed("gateway.sinks", name)
        if found is None and url.path:
            name, config = f"{url.scheme}:{url.path}", replace(config, path="")
            found = _imported(name)
    except Exception as error:
        raise ConfigError(f"it cannot be loaded: {error}") from error
    if found is None:
        names = _names("gateway.sinks", SINKS)
        raise ConfigError(f"there is no such sink; there are: {names}, and package.module:Class")
    configure = getattr(found, "configure", None)
    if configure is not None:
        return name, configure(config)
    config.only()
    return name, found


def _installed(group: str, name: str) -> Any:
    """What an installed package offers by this name; None if none does."""
    offers = {(point.value, point.dist and point.dist.name): point for point in entry_points(group=group, name=name)}
    if len({value for value, _ in offers}) > 1:
        packages = ", ".join(sorted(str(package) for _, package in offers))
        raise ConfigError(f"more than one package offers {name!r}: {packages}")
    return next(iter(offers.values())).load() if offers else None


def _imported(name: str) -> Any:
    """What `package.module:Class` leads to."""
    module, _, attribute = name.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")  # the user's own module lies where the command is given, not where it is installed
    return getattr(importlib.import_module(module), attribute)


def _names(group: str, own: Mapping[str, object]) -> str:
    return ", ".join([*own, *sorted({point.name for point in entry_points(group=group)} - set(own))])
