"""The service put together: media port, HTTP side, sinks and agent, from the settings."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, Self, TypeAlias

from pydantic import SecretStr
from structlog.typing import FilteringBoundLogger

from audio_codecs import missing_codecs
from gateway.agents.base import AgentFactory
from gateway.agents.failure import OnFailure
from gateway.agents.options import AgentConfig, open_agent
from gateway.agents.warm import WarmAgents, setup_of
from gateway.call import CallOptions
from gateway.call_media import CallMedia
from gateway.choices import check_stream_codec, open_choices
from gateway.cluster.handover import Handover
from gateway.cluster.owners import Owners
from gateway.cluster.slot import WorkerSlot
from gateway.config import Settings, load_settings
from gateway.control.decider import Announcement, Decider, Policy
from gateway.control.http_side import check_settings, open_control, open_http_side
from gateway.control.keys import load_or_make_api_key
from gateway.control.routes import load_routes
from gateway.control.stream_offers import StreamOffers
from gateway.decision import Decision
from gateway.directory import CallDirectory
from gateway.errors import ConfigError, StoreError
from gateway.feed import CallFeed
from gateway.forked_call import ForkOptions
from gateway.kept_calls import restore_calls
from gateway.logs import log_of_libraries, make_log
from gateway.plugins import find_agent, open_sinks
from gateway.process import allow_many_files, loop_factory, tame_the_collector
from gateway.server.admission import Admission, is_loopback_host
from gateway.server.fork import ForkServer
from gateway.server.load import LoopWatch
from gateway.server.media_server import MediaServer
from gateway.server.transport import Limits
from gateway.server.transports import find_transport
from gateway.services.opening import open_services
from gateway.sinks.base import SinkSource
from gateway.sinks.delivery import delivery_of
from gateway.sinks.process import WorkerProcesses
from gateway.sinks.services import SinkServices
from gateway.sinks.watch import StallWatch
from gateway.store.store import open_store
from gateway.transcribe.keeping import keeping_transcripts
from gateway.transcribe.segment import Publish

__all__ = ["Gateway", "Heed", "loop_factory"]

Heed: TypeAlias = Callable[[asyncio.Event, asyncio.Event], None]


class Gateway:
    """The whole service; an async context manager, or a program by `run`.

    Args:
        settings: Read from the environment if None.
        agent: Makes the agent of each call; what the settings name if None.
        agents: Other agents by name, for the rules and the policy to choose from.
        sinks: Sinks for each call by name, beside those that the settings name.
        policy: Decides over each call as Telnyx announces it; where it gives None, the rules of the settings do.
        log: Made from the settings if None.
        clock: Seconds that only ever grow; in tests the event loop's, where that has a clock of its own.
        slot: Which of several workers this is; None where it is the only one.

    Attributes:
        forks: Opens ports for forked calls while the gateway runs; None where the settings name no ports.

    Raises:
        ConfigError: A setting is wrong, or two of them do not go together.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        agent: AgentFactory | None = None,
        agents: Mapping[str, AgentFactory] | None = None,
        sinks: Mapping[str, SinkSource] | None = None,
        policy: Policy | None = None,
        log: FilteringBoundLogger | None = None,
        clock: Callable[[], float] = time.monotonic,
        slot: WorkerSlot | None = None,
    ) -> None:
        self.settings = load_settings() if settings is None else settings
        self._secrets = _secrets_of(self.settings)
        self.log = (
            make_log(self.settings.log_level, self.settings.log_format, secrets=self._secrets) if log is None else log
        )
        if slot is not None:
            self.log = self.log.bind(worker=slot.index)
        self.media_url = ""
        self.http_url = ""
        self.forks: ForkServer | None = None
        self._slot = slot
        self._agent = find_agent(self.settings.agent) if agent is None else agent
        self._agent_name = self.settings.agent if agent is None else None
        self._agents = dict(agents or {})
        self._sinks = dict(sinks or {})
        self._policy = policy
        self._routes = load_routes(self.settings.routes)
        self._clock = clock
        self._stack = AsyncExitStack()
        self._media: MediaServer
        self._admission: Admission
        self._warm_agents: WarmAgents
        _check(self.settings, slot)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            try:
                await self._start(stack)
            except StoreError as error:
                raise ConfigError(f"GATEWAY_DATA_DIR: {error}") from error
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def drain(self) -> bool:
        """Take no new calls, and wait for the running ones as long as the settings say.

        Returns:
            Whether they all ended by themselves.
        """
        timeout = self.settings.drain_timeout
        drains = [self._media.drain(timeout)] + ([self.forks.drain(timeout)] if self.forks is not None else [])
        return all(await asyncio.gather(*drains))

    def run(self, *, heed: Heed | None = None, on_ready: Callable[[str, str], None] | None = None) -> None:
        """Serve until SIGTERM or SIGINT, then drain; a second signal ends the running calls.

        Args:
            heed: Instead of the signals: sets one event when the gateway is to drain, another when it is to end.
            on_ready: Instead of the line on standard output: told the two URLs when both ports accept.
        """
        allow_many_files()
        with log_of_libraries(self.log), asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(self._serve(heed or _heed_signals, on_ready or _say_ready))

    async def _serve(self, heed: Heed, on_ready: Callable[[str, str], None]) -> None:
        stop, force = asyncio.Event(), asyncio.Event()
        heed(stop, force)
        async with self:
            tame_the_collector()
            on_ready(self.media_url, self.http_url)
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
        slot = self._slot or WorkerSlot.alone()
        owners = Owners(slot) if slot.count > 1 else None
        if missing := missing_codecs():
            log.info("codecs to be installed if wanted", missing=missing)
        store = await stack.enter_async_context(
            open_store(
                settings.data_dir / "gateway.db",
                keep_days=settings.keep_days,
                worker=slot.index,
                workers=slot.count,
                log=log,
            )
        )
        feed = CallFeed()
        directory = await restore_calls(
            store,
            longest_call=settings.max_call_seconds + 3600,
            log=log,
            on_change=lambda record: feed.publish_state(record.call_control_id, record.state.name.lower()),
            owners=owners,
        )
        self._admission = Admission(
            settings.media_auth,
            clock=self._clock,
            longest_call=settings.max_call_seconds + 3600,
            key=slot.admission_key,
            worker=slot.index,
        )
        sinks = await open_sinks(settings, stack=stack, log=log)
        config = AgentConfig(
            options=settings.agent_options,
            environment=os.environ,
            speech=settings.speech,
            transcriber=settings.transcriber,
            log=log,
        )
        agent = await open_agent(self._agent, config, stack)
        for source in self._sinks.values():
            delivery_of(source)  # an error now is better than one with each call
        if both := sorted(sinks.keys() & self._sinks.keys()):
            raise ConfigError(f"GATEWAY_SINKS: {both[0]!r} is the name of a sink that the program has brought along")
        choices = await open_choices(
            settings,
            self._routes,
            agent=agent,
            agent_name=self._agent_name,
            agents=self._agents,
            sinks=sinks,
            own_sinks=self._sinks,
            stack=stack,
            log=log,
        )
        decider = Decider(
            self._routes, policy=self._policy, timeout=settings.policy_timeout, check=choices.check, log=log
        )
        media = CallMedia(settings, admission=self._admission, directory=directory, choices=choices, decider=decider)
        services = await self._open_sink_services(stack)
        publish = keeping_transcripts(feed.publish, store)
        self.forks = media.forks = await self._open_forks(stack, directory, media, choices.sinks, services, publish)
        control = await stack.enter_async_context(open_control(settings, store, log, workers=slot.count))
        self._warm_agents = await stack.enter_async_context(WarmAgents(log=log, limit=settings.max_calls))
        options = CallOptions(
            sinks=choices.sinks,
            sink_services=services,
            services=await open_services(settings, sinks=choices.others, stack=stack, log=log),
            agent=agent,
            warm_agents=self._warm_agents,
            agent_failure=OnFailure(settings.agent_apology, hang_up=settings.agent_failed == "hangup"),
            playout_lead=settings.playout_lead_ms / 1000,
            playout_message=settings.playout_message_ms / 1000,
            reorder_window=settings.reorder_ms / 1000,
            max_duration=settings.max_call_seconds,
            publish=publish,
            command=None if control is None else control.command,
        )
        loop = asyncio.get_running_loop()
        load = stack.enter_context(
            LoopWatch(loop.call_later, self._clock, limit=settings.max_loop_lag_ms / 1000, log=log)
        )
        handover = Handover(slot, log=log) if slot.count > 1 else None
        self._media = await stack.enter_async_context(
            MediaServer(
                settings.media_listen,
                transport=find_transport(settings.transport),
                admission=self._admission,
                directory=directory,
                options=options,
                options_for=lambda start: media.call_options(options, start),
                limits=Limits(
                    max_message_bytes=settings.max_message_bytes,
                    ping_interval=settings.ping_interval,
                    ping_timeout=settings.ping_interval,
                    write_timeout=settings.write_timeout,
                ),
                max_calls=slot.share(settings.max_calls),
                start_timeout=settings.start_timeout,
                reconnect_grace=settings.reconnect_grace,
                byte_order=settings.l16_byte_order,
                clock=self._clock,
                log=log,
                overloaded=lambda: load.overloaded,
                pass_on=None if handover is None else handover.give,
            )
        )
        if handover is not None:
            stack.enter_context(handover.taking(self._media.take_over))
        self.media_url = media.stream_url = settings.public_media_url or self._media.url

        def expect(event: Announcement, decision: Decision) -> None:
            expected = media.agent_of(options, decision)
            if expected is not None:
                self._warm_agents.expect(setup_of(event), expected)

        def counters() -> Mapping[str, Any]:
            forks = {} if self.forks is None else self.forks.describe()
            handed = {} if handover is None else handover.describe()
            calls = self._media.describe() | load.describe() | handed | forks
            return calls | services.describe() | self._warm_agents.describe()

        address = await stack.enter_async_context(
            open_http_side(
                settings,
                store=store,
                control=control,
                directory=directory,
                api_key=self._api_key(),
                stream=media.streaming_start,
                decider=decider,
                fork=media.fork_start,
                on_decided=expect,
                hung_up=self._hung_up,
                feed=feed,
                offers=StreamOffers(media.stream_fields, lambda: media.stream_url),
                bind=self._admission.bind_dialled,
                find_call=self._media.find_call,
                owners=owners,
                ready=lambda: not self._media.full,
                unready=lambda: self._media.no_room,
                counters=counters,
                log=log,
            )
        )
        self.http_url = f"http://{address}"
        if settings.media_auth == "none":
            log.warning("media socket open to every program on this machine", setting="GATEWAY_MEDIA_AUTH=none")

    def _hung_up(self, call_control_id: str) -> None:
        self._admission.call_ended(call_control_id)
        self._media.call_over(call_control_id)
        self._warm_agents.call_over(call_control_id)
        if self.forks is not None:
            self.forks.close(call_control_id)

    async def _open_sink_services(self, stack: AsyncExitStack) -> SinkServices:
        """What the sinks of all calls share."""
        settings = self.settings
        budget = settings.sink_budget_ms / 1000
        watch = StallWatch(asyncio.get_running_loop().call_later, self._clock, limit=budget)
        return SinkServices(
            budget=budget,
            preroll=settings.preroll_seconds,
            spill_folder=settings.data_dir / "spill",
            processes=await stack.enter_async_context(WorkerProcesses()),
            watch=stack.enter_context(watch),
        )

    async def _open_forks(
        self,
        stack: AsyncExitStack,
        directory: CallDirectory,
        media: CallMedia,
        sinks: Mapping[str, SinkSource],
        services: SinkServices,
        publish: Publish,
    ) -> ForkServer | None:
        """The ports of forked calls, where the settings name some."""
        settings = self.settings
        if settings.fork_listen is None:
            return None
        options = ForkOptions(
            sinks=sinks,
            sink_services=services,
            reorder_window=settings.reorder_ms / 1000,
            start_timeout=settings.start_timeout,
            silence_timeout=settings.fork_silence_timeout,
            max_duration=settings.max_call_seconds,
            publish=publish,
        )
        return await stack.enter_async_context(
            ForkServer(
                settings.fork_listen,
                public_host=settings.fork_public_host,
                directory=directory,
                options=options,
                options_for=lambda call_control_id: media.fork_options(options, call_control_id),
                clock=self._clock,
                log=self.log,
                share=(0, 1) if self._slot is None else (self._slot.index, self._slot.count),
            )
        )

    def _api_key(self) -> str:
        if self.settings.api_key is not None:
            return self.settings.api_key.get_secret_value()
        key, made = load_or_make_api_key(self.settings.data_dir)
        self._secrets.append(key)
        if made:
            # Shown this once, to the person who starts the gateway, and never logged.
            sys.stderr.write(f"API key, also in {self.settings.data_dir / 'api_key'}: {key}\n")
        return key


def _secrets_of(settings: Settings) -> list[str]:
    """What no log line may hold."""
    values = (getattr(settings, name) for name in type(settings).model_fields)
    return [value.get_secret_value() for value in values if isinstance(value, SecretStr)]


def _check(settings: Settings, slot: WorkerSlot | None) -> None:
    """Refuse settings that are fine each by itself and wrong together, or want what is not installed."""
    if settings.workers > 1 and slot is None:
        raise ConfigError("GATEWAY_WORKERS: several are for `telnyx-gateway serve`, as each is a program of its own")
    ports = settings.fork_listen
    if ports is not None and ports.last - ports.first + 1 < 4 * settings.workers:
        raise ConfigError(
            f"GATEWAY_FORK_LISTEN: {ports} has less than four ports for each of {settings.workers} workers"
        )
    find_transport(settings.transport)
    if settings.media_auth == "none" and not is_loopback_host(settings.media_listen.host):
        raise ConfigError(
            "GATEWAY_MEDIA_AUTH: none is for a loopback address only, "
            f"and GATEWAY_MEDIA_LISTEN is {settings.media_listen}"
        )
    try:
        check_stream_codec(settings.stream_codec, settings.stream_sample_rate)
    except ConfigError as error:
        raise ConfigError(f"GATEWAY_STREAM_{error}") from error
    if settings.public_media_url is None and settings.media_listen.host in ("0.0.0.0", "::"):  # noqa: S104 - compared
        raise ConfigError("GATEWAY_PUBLIC_MEDIA_URL: say where Telnyx finds this gateway, as it listens everywhere")
    everywhere = settings.fork_listen is not None and settings.fork_listen.host in ("0.0.0.0", "::")  # noqa: S104 - too
    if everywhere and settings.fork_public_host is None:
        raise ConfigError("GATEWAY_FORK_PUBLIC_HOST: say where Telnyx finds this gateway, as it listens everywhere")
    OnFailure(settings.agent_apology).check(speaks=settings.speech is not None)
    check_settings(settings)


def _heed_signals(drain: asyncio.Event, end: asyncio.Event) -> None:
    def signalled() -> None:
        (end if drain.is_set() else drain).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, signalled)


def _say_ready(media_url: str, http_url: str) -> None:
    # Scripts wait for this line on standard output; the log goes to standard error.
    sys.stdout.write(f"ready media={media_url} http={http_url}\n")
    sys.stdout.flush()
