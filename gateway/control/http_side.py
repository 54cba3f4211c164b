"""The HTTP side put together, from the settings: what comes in, what follows from it, what goes out."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

from nacl.signing import VerifyKey
from structlog.typing import FilteringBoundLogger

from gateway.config import Address, Settings
from gateway.control.app import listen, make_app
from gateway.control.client import DIAL_WINDOW, CallControl, open_session
from gateway.control.dispatcher import EventDispatcher
from gateway.control.inbox import Inbox
from gateway.control.limits import SlidingWindow
from gateway.control.origins import Origins, parse_networks
from gateway.control.policy import AnswerAndStream
from gateway.control.webhooks import WebhookReceiver
from gateway.directory import CallDirectory
from gateway.errors import ConfigError
from gateway.protocol.commands import StreamingStart
from gateway.protocol.events import CallHangup, Event
from gateway.protocol.signature import load_public_key
from gateway.store.store import Store

__all__ = ["check_settings", "open_control", "open_http_side"]


def check_settings(settings: Settings) -> None:
    """Refuse what the types of the settings let pass.

    Raises:
        ConfigError: Names the setting.
    """
    _public_keys(settings)
    _origins(settings)


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
    counters: Callable[[], Mapping[str, Any]],
    log: FilteringBoundLogger,
) -> AsyncIterator[Address]:
    """Serve while the context lasts; gives the address with the port that was bound.

    What an earlier process left undone is taken up before anything new comes in.

    Args:
        settings: All of them.
        store: Keeps webhooks and commands.
        control: Sends commands; None: none can be sent.
        directory: The calls.
        api_key: What `/v1` wants as bearer token.
        stream: Makes the `streaming_start` of a call, by its `call_control_id`.
        hung_up: Told of each call that has ended, by its `call_control_id`.
        ready: Whether the media side has room for new calls.
        counters: Those of the media side, shown with ours.
        log: Where things are told.
    """
    keys = _public_keys(settings)
    async with AsyncExitStack() as stack:
        policy = await stack.enter_async_context(AnswerAndStream(control, directory, stream=stream, log=log))

        def handle(event: Event) -> Awaitable[None] | None:
            following = policy.handle(event)
            if type(event) is CallHangup and event.payload.call_control_id is not None:
                hung_up(event.payload.call_control_id)
            return following

        dispatcher = await stack.enter_async_context(EventDispatcher(handle, log=log))
        inbox = Inbox(store, dispatcher, log=log, without_store=settings.without_store)
        webhooks = WebhookReceiver(inbox, keys=keys, origins=_origins(settings), log=log)
        await inbox.recover()
        policy.resume()

        def all_counters() -> Mapping[str, Any]:
            commands = {} if control is None else control.counters()
            return {**counters(), **webhooks.counters(), **commands, "store": store.describe()}

        app = make_app(
            webhooks=webhooks,
            directory=directory,
            store=store,
            api_key=api_key,
            ready=lambda: ready() and (store.failure is None or settings.without_store == "serve"),
            counters=all_counters,
            log=log,
        )
        if not keys:
            log.warning("every webhook will be refused", missing="TELNYX_PUBLIC_KEY")
        yield await stack.enter_async_context(listen(app, settings.http_listen))


@asynccontextmanager
async def open_control(
    settings: Settings, store: Store, log: FilteringBoundLogger
) -> AsyncIterator[CallControl | None]:
    """Give what sends commands while the context lasts; None where there is no key to send them with."""
    if settings.telnyx_api_key is None:
        log.warning("calls are not answered by this gateway", missing="TELNYX_API_KEY")
        yield None
        return
    async with open_session() as session:
        yield CallControl(
            session,
            settings.telnyx_base_url,
            settings.telnyx_api_key.get_secret_value(),
            dials=SlidingWindow(round(settings.dials_per_second * DIAL_WINDOW), DIAL_WINDOW),
            report=store.save_command,
        )


def _public_keys(settings: Settings) -> list[VerifyKey]:
    with _naming("TELNYX_PUBLIC_KEY"):
        return [load_public_key(key) for key in settings.telnyx_public_key or ()]


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
