"""Finding sinks and agents by what the settings call them.

A name is one of our own, or an installed package's (entry points `gateway.sinks` and `gateway.agents`), or
`package.module:Class`. For sinks, more may follow: `wav:/recordings`, `level:?interval=5`; see `gateway/sinks/url.py`.
"""

import importlib
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from importlib.metadata import entry_points
from typing import Any, Final, TypeAlias

from structlog.typing import FilteringBoundLogger

from gateway.agents.base import Agent, AgentFactory
from gateway.agents.echo import Echo
from gateway.agents.ivr import Ivr
from gateway.agents.pipeline.pipeline import Pipeline
from gateway.agents.realtime import RealtimeAgent
from gateway.agents.record_only import RecordOnly
from gateway.agents.websocket import WebSocketAgent
from gateway.config import Settings
from gateway.control.client import DIAL_WINDOW, CallControl, open_session
from gateway.control.limits import SlidingWindow
from gateway.errors import ConfigError, SinkError
from gateway.recordings import open_recorder
from gateway.sinks.base import SinkFactory, SinkSource, StreamInfo
from gateway.sinks.delivery import Delivery, delivery_of
from gateway.sinks.level import level
from gateway.sinks.null import NullSink
from gateway.sinks.process import pickled
from gateway.sinks.url import SinkConfig, SinkUrl
from gateway.sinks.worker import opened
from gateway.transcribe.opening import SERVICES, streaming_source
from gateway.transcribe.pocketsphinx import local_source
from gateway.transcribe.telnyx import telnyx_source

__all__ = ["find_agent", "find_sink", "open_sinks"]

AGENTS: Final[Mapping[str, Callable[..., Agent]]] = {
    "echo": Echo,
    "pipeline": Pipeline,
    "ivr": Ivr,
    "realtime": RealtimeAgent,
    "record-only": RecordOnly,
    "websocket": WebSocketAgent,
}


def _null(config: SinkConfig, settings: Settings) -> SinkSource:
    del settings
    config.only()
    return NullSink


def _level(config: SinkConfig, settings: Settings) -> SinkFactory:
    del settings
    return level(config)


def _transcriber(name: str, config: SinkConfig, settings: Settings) -> SinkSource:
    del settings
    return streaming_source(config, name)


def _pocketsphinx(config: SinkConfig, settings: Settings) -> SinkSource:
    del settings
    return local_source(config)


@asynccontextmanager
async def _telnyx(config: SinkConfig, settings: Settings) -> AsyncIterator[SinkSource]:
    if settings.telnyx_api_key is None:
        raise ConfigError("TELNYX_API_KEY is not set")
    async with open_session() as session:
        key = settings.telnyx_api_key.get_secret_value()
        dials = SlidingWindow(1, DIAL_WINDOW)  # it dials nobody
        control = CallControl(session, settings.telnyx_base_url, key, dials=dials, report=lambda command: None)
        yield telnyx_source(config, control.command)


_Configured: TypeAlias = SinkSource | AbstractAsyncContextManager[SinkSource]

SINKS: Final[Mapping[str, Callable[[SinkConfig, Settings], _Configured]]] = {
    "recorder": open_recorder,
    "wav": open_recorder,
    "level": _level,
    "null": _null,
    **{name: partial(_transcriber, name) for name in SERVICES},
    "pocketsphinx": _pocketsphinx,
    "telnyx": _telnyx,
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


def find_sink(
    text: str, settings: Settings, *, trusted: bool = False, log: FilteringBoundLogger
) -> tuple[str, SinkSource]:
    """A sink for one call that runs already, by its URL: its name, and what makes it.

    Args:
        text: Names one of our own, or an installed package's: whoever asks by HTTP must not have any module imported.
        settings: All of them.
        trusted: It stands in the settings. Else it can name no folder, and no address that our keys would go to.
        log: The gateway's.

    Raises:
        ConfigError: There is no such sink, it cannot be loaded, or it does not take its options.
    """
    try:
        url = SinkUrl.parse(text)
        if url.scheme not in SINKS and not entry_points(group="gateway.sinks", name=url.scheme):
            raise ConfigError(f"there is no such sink; there are: {_names('gateway.sinks', SINKS)}")
        elsewhere = url.path or "://" in str(url.options.values()) or url.options.keys() & {"url", "grammar"}
        if elsewhere and not trusted:
            raise ConfigError("a file, folder or address must stand in the settings")
        name, configured = _find_sink(url, settings, log)
        source = _for_one_call(configured)
        if delivery_of(source).by == "process":
            pickled(source)
    except (SinkError, TypeError, ValueError) as error:
        raise ConfigError(str(error)) from error
    return name, source


def _for_one_call(configured: _Configured) -> SinkSource:
    """What makes a sink, also where something has to be opened for it, which is closed with it then."""
    shared: Any = configured
    if isinstance(shared, type) or not hasattr(shared, "__aenter__"):
        made: SinkSource = shared
        return made

    @asynccontextmanager
    async def open_both(info: StreamInfo) -> AsyncIterator[Any]:
        async with shared as source:
            if delivery_of(source) != Delivery():
                raise SinkError("it can only be opened as the gateway starts: name it in GATEWAY_SINKS")
            async with opened(source, info) as sink:
                yield sink

    return open_both


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
