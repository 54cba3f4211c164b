"""The service put together: media port, HTTP side, sinks and agent, from the settings."""

import asyncio
import importlib
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, Self

import aiohttp
from structlog.typing import FilteringBoundLogger

from gateway.agents.base import Agent, AgentFactory
from gateway.agents.echo import Echo
from gateway.call import CallOptions
from gateway.config import Settings, load_settings
from gateway.control.app import listen, make_app
from gateway.control.client import CallControl
from gateway.control.dispatcher import EventDispatcher
from gateway.control.keys import load_or_make_api_key
from gateway.control.policy import AnswerAndStream
from gateway.control.webhooks import WebhookReceiver
from gateway.directory import CallDirectory
from gateway.errors import ConfigError
from gateway.logs import make_log
from gateway.protocol.commands import StreamingStart
from gateway.protocol.events import CallHangup, Event
from gateway.protocol.signature import load_public_key
from gateway.server.admission import Admission, is_loopback_host
from gateway.server.media_server import MediaServer
from gateway.server.transport import Limits
from gateway.sinks.base import SinkFactory
from gateway.sinks.recorder import Recorder

__all__ = ["Gateway"]

AGENTS: Mapping[str, AgentFactory] = {"echo": Echo}


class Gateway:
    """The whole service; an async context manager, or a program by `run`.

    Args:
        settings: Read from the environment if None.
        agent: Makes the agent of each call; what the settings name if None.
        sinks: Sinks for each call by name, beside those that the settings name.
        log: Made from the settings if None.

    Raises:
        ConfigError: A setting is wrong, or two of them do not go together.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        agent: AgentFactory | None = None,
        sinks: Mapping[str, SinkFactory] | None = None,
        log: FilteringBoundLogger | None = None,
    ) -> None:
        self.settings = load_settings() if settings is None else settings
        self.log = make_log(self.settings.log_level, self.settings.log_format) if log is None else log
        self.media_url = ""
        self.http_url = ""
        self._agent = _find_agent(self.settings.agent) if agent is None else agent
        self._sinks = dict(sinks or {})
        self._stack = AsyncExitStack()
        self._media: MediaServer
        self._admission: Admission
        _check(self.settings)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def drain(self) -> bool:
        """Take no new calls, and wait for the running ones as long as the settings say.

        Returns:
            Whether they all ended by themselves.
        """
        return await self._media.drain(self.settings.drain_timeout)

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain; a second signal ends the running calls."""
        _allow_many_files()
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        stop, force = asyncio.Event(), asyncio.Event()

        def signalled() -> None:
            (force if stop.is_set() else stop).set()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, signalled)
        async with self:
            # Scripts wait for this line on standard output; the log goes to standard error.
            sys.stdout.write(f"ready media={self.media_url} http={self.http_url}\n")
            sys.stdout.flush()
            await stop.wait()
            self.log.info("draining", calls=self._media.calls_running, timeout=self.settings.drain_timeout)
            async with asyncio.TaskGroup() as tasks:
                drain = tasks.create_task(self.drain(), name="drain")
                forced = tasks.create_task(force.wait(), name="second signal")
                await asyncio.wait((drain, forced), return_when=asyncio.FIRST_COMPLETED)
                drain.cancel()
                forced.cancel()
        self.log.info("stopped")

    async def _start(self, stack: AsyncExitStack) -> None:
        settings, log = self.settings, self.log
        directory = CallDirectory()
        self._admission = Admission(
            settings.media_auth, clock=time.monotonic, longest_call=settings.max_call_seconds + 3600
        )
        self._media = await stack.enter_async_context(
            MediaServer(
                settings.media_listen,
                admission=self._admission,
                directory=directory,
                options=CallOptions(
                    sinks=self._sinks | await self._open_sinks(stack),
                    agent=self._agent,
                    playout_lead=settings.playout_lead_ms / 1000,
                    reorder_window=settings.reorder_ms / 1000,
                    max_duration=settings.max_call_seconds,
                ),
                limits=Limits(
                    max_message_bytes=settings.max_message_bytes,
                    ping_interval=settings.ping_interval,
                    ping_timeout=settings.ping_interval,
                    write_timeout=settings.write_timeout,
                ),
                max_calls=settings.max_calls,
                start_timeout=settings.start_timeout,
                byte_order=settings.l16_byte_order,
                clock=time.monotonic,
                log=log,
            )
        )
        self.media_url = settings.public_media_url or self._media.url
        policy = AnswerAndStream(await self._open_control(stack), directory, stream=self._streaming_start, log=log)

        async def handle(event: Event) -> None:
            await policy.handle(event)
            if isinstance(event, CallHangup) and event.payload.call_control_id is not None:
                self._admission.call_ended(event.payload.call_control_id)

        dispatcher = await stack.enter_async_context(EventDispatcher(handle, log=log))
        public_key = settings.telnyx_public_key
        webhooks = WebhookReceiver(
            dispatcher, keys=[load_public_key(public_key)] if public_key is not None else [], log=log
        )

        def counters() -> Mapping[str, Any]:
            return self._media.describe() | webhooks.counters()

        app = make_app(
            webhooks=webhooks,
            directory=directory,
            api_key=self._api_key(),
            ready=lambda: not self._media.full,
            counters=counters,
            log=log,
        )
        address = await stack.enter_async_context(listen(app, settings.http_listen))
        self.http_url = f"http://{address}"
        if settings.media_auth == "none":
            log.warning("media socket open to every program on this machine", setting="GATEWAY_MEDIA_AUTH=none")
        if public_key is None:
            log.warning("every webhook will be refused", missing="TELNYX_PUBLIC_KEY")

    async def _open_sinks(self, stack: AsyncExitStack) -> dict[str, SinkFactory]:
        """The sinks that the settings name."""
        available: dict[str, Callable[[], Recorder]] = {
            "recorder": lambda: Recorder(self.settings.data_dir / "recordings", log=self.log),
        }
        opened: dict[str, SinkFactory] = {}
        for name in self.settings.sinks:
            if name not in available:
                raise ConfigError(f"GATEWAY_SINKS: there is no sink {name!r}; there are: {', '.join(available)}")
            opened[name] = (await stack.enter_async_context(available[name]())).open
        return opened

    async def _open_control(self, stack: AsyncExitStack) -> CallControl | None:
        key = self.settings.telnyx_api_key
        if key is None:
            self.log.warning("calls are not answered by this gateway", missing="TELNYX_API_KEY")
            return None
        session = await stack.enter_async_context(aiohttp.ClientSession())
        return CallControl(session, self.settings.telnyx_base_url, key.get_secret_value())

    def _streaming_start(self, call_control_id: str) -> StreamingStart:
        """What is asked of Telnyx for a call that was answered: both directions in one codec, live."""
        codec, sample_rate = self.settings.stream_codec, self.settings.stream_sample_rate
        return StreamingStart(
            stream_url=self.media_url,
            stream_auth_token=self._admission.issue(call_control_id, asked_codec=(codec, sample_rate)),
            stream_track="inbound_track",
            stream_codec=codec,
            stream_bidirectional_mode="rtp",
            stream_bidirectional_codec=codec,
            stream_bidirectional_sampling_rate=sample_rate,
            stream_bidirectional_target_legs="self",
        )

    def _api_key(self) -> str:
        if self.settings.api_key is not None:
            return self.settings.api_key.get_secret_value()
        key, made = load_or_make_api_key(self.settings.data_dir)
        if made:
            # Shown this once, to the person who starts the gateway, and never logged.
            sys.stderr.write(f"API key, also in {self.settings.data_dir / 'api_key'}: {key}\n")
        return key


def _check(settings: Settings) -> None:
    """Refuse settings that are fine each by itself and wrong together."""
    if settings.media_auth == "none" and not is_loopback_host(settings.media_listen.host):
        raise ConfigError(
            "GATEWAY_MEDIA_AUTH: none is for a loopback address only, "
            f"and GATEWAY_MEDIA_LISTEN is {settings.media_listen}"
        )
    if settings.stream_codec != "L16" and settings.stream_sample_rate != 8000:
        raise ConfigError(f"GATEWAY_STREAM_SAMPLE_RATE: {settings.stream_codec} has 8000 Hz only")
    if settings.public_media_url is None and settings.media_listen.host in ("0.0.0.0", "::"):  # noqa: S104 - compared
        raise ConfigError("GATEWAY_PUBLIC_MEDIA_URL: say where Telnyx finds this gateway, as it listens everywhere")
    if settings.telnyx_public_key is not None:
        try:
            load_public_key(settings.telnyx_public_key)
        except ConfigError as error:
            raise ConfigError(f"TELNYX_PUBLIC_KEY: {error}") from error


def _find_agent(name: str | None) -> AgentFactory | None:
    if name is None or name in AGENTS:
        return None if name is None else AGENTS[name]
    module_name, colon, attribute = name.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")  # the user's own module lies where the command is given, not where it is installed
    try:
        agent = getattr(importlib.import_module(module_name), attribute) if colon else None
    except (ImportError, AttributeError, TypeError, ValueError) as error:  # the last two: `.module` and no module
        raise ConfigError(f"GATEWAY_AGENT: {name!r} cannot be loaded: {error}") from error
    if not (isinstance(agent, type) and issubclass(agent, Agent)):
        raise ConfigError(
            f"GATEWAY_AGENT: {name!r} is no agent; want one of {', '.join(AGENTS)}, or package.module:Class"
        )
    return agent


def _allow_many_files() -> None:
    """Raise the soft limit on open files to the hard one: a call needs two, and 1024 is the usual soft limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Take uvloop where it is installed: a third less CPU for the same calls."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
