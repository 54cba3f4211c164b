"""The HTTP side put together, from the settings: what comes in, what follows from it, what goes out."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import Any

from nacl.signing import VerifyKey
from structlog.typing import FilteringBoundLogger

from gateway.call import Call
from gateway.cluster.owners import Owners
from gateway.cluster.workers import Workers
from gateway.config import Address, Settings
from gateway.control.app import listen, listen_at, make_app, make_webhook_app
from gateway.control.client import DIAL_WINDOW, CallControl, open_session
from gateway.control.decider import Announcement, Decider
from gateway.control.dispatcher import EventDispatcher
from gateway.control.forward import Forwarder, load_or_make_signing_key, open_forwarder, public_key_of
from gateway.control.inbox import Inbox
from gateway.control.limits import SlidingWindow
from gateway.control.media_api import media_routes
from gateway.control.openapi import browsing_routes
from gateway.control.origins import Origins, parse_networks
from gateway.control.policy import CallPolicy
from gateway.control.recordings_api import RecordingsApi
from gateway.control.scopes import ApiKeys, Scope, parse_keys
from gateway.control.sse import EventStreams
from gateway.control.stream_offers import StreamOffers
from gateway.control.told import tell_webhook
from gateway.control.v1_calls import CallsApi
from gateway.control.v2_api import V2Api
from gateway.control.webhooks import WebhookReceiver
from gateway.decision import Decision
from gateway.directory import CallDirectory
from gateway.errors import ConfigError
from gateway.feed import CallFeed
from gateway.protocol.commands import ForkStart, StreamingStart
from gateway.protocol.events import CallHangup, CallTranscription, Event
from gateway.protocol.signature import load_public_key
from gateway.recordings import recordings_folder
from gateway.store.store import Store
from gateway.transcribe.keeping import keeping_transcripts
from gateway.transcribe.telnyx import tell_transcription

__all__ = ["check_settings", "open_control", "open_http_side"]


def check_settings(settings: Settings) -> None:
    """Refuse what the types of the settings let pass.

    Raises:
        ConfigError: Names the setting.
    """
    _public_keys(settings)
    _origins(settings)
    _further_keys(settings)


@asynccontextmanager
async def open_http_side(
    settings: Settings,
    *,
    store: Store,
    control: CallControl | None,
    directory: CallDirectory,
    api_key: str,
    stream: Callable[[str], StreamingStart],
    hung_up: Callable[[str], None],
    ready: Callable[[], bool],
    unready: Callable[[], str | None] = lambda: None,
    counters: Callable[[], Mapping[str, Any]],
    decider: Decider | None = None,
    fork: Callable[[str], Awaitable[ForkStart]] | None = None,
    on_decided: Callable[[Announcement, Decision], None] = lambda event, decision: None,
    feed: CallFeed | None = None,
    offers: StreamOffers | None = None,
    bind: Callable[[str, str], None] | None = None,
    find_call: Callable[[str], Call | None] = lambda call_control_id: None,
    owners: Owners | None = None,
    log: FilteringBoundLogger,
) -> AsyncIterator[Address]:
    """Serve while the context lasts; gives the address with the port that was bound.

    What an earlier process left undone is taken up before anything new comes in.

    Args:
        settings: All of them.
        store: Keeps webhooks and commands.
        control: Sends commands; None: none can be sent.
        directory: The calls.
        api_key: What both APIs want as bearer token; those of the settings are good as well.
        stream: Makes the `streaming_start` of a call, by its `call_control_id`.
        hung_up: Told of each call that has ended, by its `call_control_id`.
        ready: Whether the media side has room for new calls.
        unready: Why it has none.
        counters: Those of the media side, shown with ours.
        decider: Knows what becomes of a call; None: every call is answered and streamed.
        fork: Makes room for a fork of a call and its `fork_start`.
        on_decided: Told of each call that was decided over; must not raise.
        feed: Tells what happens in the calls.
        offers: Fills in where the streams of commands under `/v2` go.
        bind: Told the token and the id of a call that was dialled.
        find_call: The call that runs on a media stream, by its `call_control_id`.
        owners: Know which of several workers has a call; None: there is one only.
        log: Where things are told.
    """
    keys = _public_keys(settings)
    feed = CallFeed() if feed is None else feed
    async with AsyncExitStack() as stack:
        workers = None if owners is None else await stack.enter_async_context(Workers(owners, directory, log=log))
        decider = decider or Decider(log=log)
        policy = await stack.enter_async_context(
            CallPolicy(control, directory, decider=decider, stream=stream, fork=fork, on_decided=on_decided, log=log)
        )

        publish = keeping_transcripts(feed.publish, store)

        def handle(event: Event) -> Awaitable[None] | None:
            tell_webhook(feed, event)
            if type(event) is CallTranscription:
                call = find_call(event.payload.call_control_id or "")
                tell_transcription(event, started_at=None if call is None else call.info.started_at, publish=publish)
            following = policy.handle(event)
            if type(event) is CallHangup and event.payload.call_control_id is not None:
                hung_up(event.payload.call_control_id)
            return following

        handler = handle if workers is None else workers.handling(handle)
        dispatcher = await stack.enter_async_context(EventDispatcher(handler, log=log))
        forwarder = await _open_forwarder(stack, settings, store, log)
        make_inbox = Inbox if workers is None else workers.inbox
        inbox = make_inbox(
            store,
            dispatcher,
            log=log,
            without_store=settings.without_store,
            forward=(lambda event, body: None) if forwarder is None else forwarder.submit,
        )
        webhooks = WebhookReceiver(inbox, keys=keys, origins=_origins(settings), log=log)
        await inbox.recover()
        policy.resume()

        def all_counters() -> Mapping[str, Any]:
            commands = {} if control is None else control.counters()
            forwards = {} if forwarder is None else forwarder.describe()
            told = {**webhooks.counters(), **forwards, **commands, "policies_failed": decider.failed, **feed.counters()}
            between = {} if workers is None else workers.counters()
            return {**counters(), **told, **between, "store": store.describe()}

        def is_ready() -> bool:
            return ready() and (store.failure is None or settings.without_store == "serve")

        def why_unready() -> str | None:
            return unready() or "the store cannot be written"

        streams = EventStreams(feed)
        ours = None if owners is None else owners.is_ours
        calls = CallsApi(directory, store, streams, all_counters, ours=ours)
        v1 = [
            *RecordingsApi(recordings_folder(settings)).routes(),
            *media_routes(find_call, prefix="/calls/{call_control_id:[^/]+}"),
        ]
        v2 = V2Api(control, directory, offers=offers, bind=bind, announced=None if workers is None else workers.know)
        make = partial(
            make_app,
            v2=v2,
            keys=ApiKeys([*_further_keys(settings), (Scope.ADMIN, api_key)]),
            ready=is_ready,
            unready=why_unready,
            log=log,
        )
        if workers is not None:
            inner = make(webhooks=None, v1=[*calls.routes(), *v1], public=workers.routes(calls, all_counters))
            await stack.enter_async_context(listen_at(inner, workers.socket))
            everywhere = workers.everywhere(streams)
            calls = CallsApi(directory, store, streams, all_counters, ours=ours, everywhere=everywhere)
        app = make(
            webhooks=webhooks if settings.webhook_listen is None else None,
            v1=[*calls.routes(), *v1],
            public=browsing_routes(),
            workers=workers,
        )
        app.on_shutdown.append(streams.close)
        if not keys:
            log.warning("every webhook will be refused", missing="TELNYX_PUBLIC_KEY")
        if settings.webhook_listen is not None:
            webhook_app = make_webhook_app(webhooks, ready=is_ready, unready=why_unready, workers=workers)
            address = await stack.enter_async_context(
                listen(webhook_app, settings.webhook_listen, share=workers is not None)
            )
            log.info("webhooks come in", address=str(address))
        yield await stack.enter_async_context(listen(app, settings.http_listen, share=workers is not None))


@asynccontextmanager
async def open_control(
    settings: Settings, store: Store, log: FilteringBoundLogger, *, workers: int = 1
) -> AsyncIterator[CallControl | None]:
    """Give what sends commands while the context lasts; None where there is no key to send them with.

    Each of several workers has its share of the dials.
    """
    if settings.telnyx_api_key is None:
        log.warning("calls are not answered by this gateway", missing="TELNYX_API_KEY")
        yield None
        return
    async with open_session() as session:
        yield CallControl(
            session,
            settings.telnyx_base_url,
            settings.telnyx_api_key.get_secret_value(),
            dials=SlidingWindow(max(1, round(settings.dials_per_second * DIAL_WINDOW / workers)), DIAL_WINDOW),
            report=store.save_command,
        )


async def _open_forwarder(
    stack: AsyncExitStack, settings: Settings, store: Store, log: FilteringBoundLogger
) -> Forwarder | None:
    if settings.forward_url is None:
        return None
    key = load_or_make_signing_key(settings.data_dir)
    log.info("webhooks are forwarded", public_key=public_key_of(key))
    return await stack.enter_async_context(
        open_forwarder(
            settings.forward_url,
            key=key,
            store=store,
            log=log,
            timeout=settings.forward_timeout,
            give_up=settings.forward_give_up,
        )
    )


def _public_keys(settings: Settings) -> list[VerifyKey]:
    with _naming("TELNYX_PUBLIC_KEY"):
        return [load_public_key(key) for key in settings.telnyx_public_key or ()]


def _further_keys(settings: Settings) -> list[tuple[Scope, str]]:
    with _naming("GATEWAY_API_KEYS"):
        return [] if settings.api_keys is None else parse_keys(settings.api_keys.get_secret_value())


def _origins(settings: Settings) -> Origins | None:
    with _naming("GATEWAY_WEBHOOK_ALLOW"):
        allowed = parse_networks(settings.webhook_allow or ())
    with _naming("GATEWAY_TRUSTED_PROXIES"):
        proxies = parse_networks(settings.trusted_proxies or ())
    return Origins(allowed, proxies) if allowed else None


@contextmanager
def _naming(setting: str) -> Iterator[None]:
    """Say which setting an error is about."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{setting}: {error}") from error
