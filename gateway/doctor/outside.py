"""How the gateway is reached: its own API, and from outside in the media socket and the route of webhooks.

What is tried is refused on purpose: a media socket with a token that is none, a webhook without a signature. That it
was *this* gateway that refused, its counters tell, which are asked for before and after. So nothing is changed but
these.
"""

import ipaddress
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI

from gateway.config import Settings
from gateway.doctor.finding import Finding, failed, ok, skipped, warning
from gateway.protocol.messages import AUTH_FIELD

__all__ = ["Api", "check_media_url", "check_webhook_url"]

_NO_TOKEN: Final = "A" * 64
_TIMEOUT: Final = 10.0


@dataclass(frozen=True, slots=True)
class Api:
    """The gateway that runs, by its own API.

    Attributes:
        session: With a timeout.
        url: Such as `http://127.0.0.1:8080`.
        key: Its API key.
    """

    session: aiohttp.ClientSession
    url: str
    key: str

    async def counters(self) -> tuple[Mapping[str, Any] | None, Finding]:
        """Its counters; None where there are none to be had."""
        try:
            headers = {"Authorization": f"Bearer {self.key}"}
            async with self.session.get(f"{self.url}/v1/calls", params={"limit": "1"}, headers=headers) as answer:
                if answer.status == 200:
                    counters: Mapping[str, Any] = (await answer.json())["counters"]
                    return counters, ok("gateway", f"runs at {self.url}")
                status = answer.status
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError, KeyError) as error:
            return None, failed(
                "gateway",
                f"nothing of ours answers at {self.url}: {type(error).__name__}",
                "start it (telnyx-gateway serve) with the same settings, and run the doctor beside it",
            )
        remedy = "give the doctor the settings, and the data folder, that the gateway runs with"
        return None, failed("gateway", f"what runs at {self.url} answers with {status}", remedy)


async def check_media_url(settings: Settings, api: Api, *, by_default: str) -> Finding:
    """Open the media socket as Telnyx would, with a token that is none.

    Args:
        settings: Those of the gateway.
        api: The gateway.
        by_default: The media URL where none is set.
    """
    url = settings.public_media_url or by_default
    remedy = "have GATEWAY_PUBLIC_MEDIA_URL lead to the media port: wss://, through a proxy that passes upgrades on"
    if problem := _unreachable(url, settings):
        return failed("media URL", problem, "set GATEWAY_PUBLIC_MEDIA_URL to a wss:// address of this machine")
    if settings.media_auth == "none":
        return skipped("media URL", "without tokens nothing is refused, so nothing can be tried")

    async def refused() -> str | None:
        try:
            async with connect(url, additional_headers={AUTH_FIELD: _NO_TOKEN}, open_timeout=_TIMEOUT, proxy=None):
                return "it lets everybody in: that is another program"
        except InvalidStatus as error:
            status = error.response.status_code
            return None if status == 403 else f"it answers with {status}, want 403"
        except (InvalidHandshake, InvalidURI) as error:
            return f"it speaks no WebSocket: {type(error).__name__}"

    finding = await _tried("media URL", api, refused, ("sockets_refused", "bad_token"), remedy)
    if finding.health == "ok" and url.startswith("ws://") and not _is_local(url):
        return warning("media URL", f"{finding.found}, and is not encrypted", "put TLS in front of it: wss://")
    return finding


async def check_webhook_url(settings: Settings, api: Api, url: str | None) -> Finding:
    """Deliver a webhook without a signature.

    Args:
        settings: Those of the gateway.
        api: The gateway.
        url: What Telnyx's portal has as webhook URL; None where nobody has told.
    """
    target = url or f"{api.url}/webhooks/telnyx"
    remedy = "have it lead to GATEWAY_HTTP_LISTEN (or GATEWAY_WEBHOOK_LISTEN), path /webhooks/telnyx"
    if url is None and settings.webhook_listen is not None:
        target = f"http://{settings.webhook_listen}/webhooks/telnyx"
    elif url is not None and (problem := _unreachable(url, settings)):
        return failed("webhook URL", problem, "give Telnyx an https:// address of this machine")

    async def refused() -> str | None:
        try:
            async with api.session.post(target, json={}, allow_redirects=False) as answer:
                return None if answer.status == 403 else f"it answers with {answer.status}, want 403"
        except (aiohttp.ClientError, ValueError) as error:
            return f"it does not answer: {type(error).__name__}"

    reason = "missing" if settings.telnyx_public_key else "no_key"
    finding = await _tried("webhook URL", api, refused, ("webhooks_refused", reason), remedy)
    if finding.health == "ok" and url is None:
        return warning(
            "webhook URL",
            "reached on this machine only",
            "run the doctor with --webhook-url and what Telnyx's portal has as webhook URL",
        )
    return finding


async def _tried(
    check: str, api: Api, refused: Callable[[], Awaitable[str | None]], counter: tuple[str, str], remedy: str
) -> Finding:
    """Have something refused, and see that it was this gateway that did."""
    before, _ = await api.counters()
    if before is None:
        return skipped(check, "the gateway does not run")
    try:
        problem = await refused()
    except ssl.SSLCertVerificationError as error:
        problem = f"its certificate is not trusted: {error.verify_message}"
        remedy = "get a certificate of a public authority: Telnyx checks it"
    except (TimeoutError, OSError) as error:
        problem = f"it cannot be reached: {type(error).__name__}"
    if problem is not None:
        return failed(check, problem, remedy)
    after, _ = await api.counters()
    if _count(after or {}, counter) <= _count(before, counter):
        return failed(check, "it leads to another gateway: this one has seen nothing", remedy)
    return ok(check, "leads to this gateway, which refuses what it should")


def _count(counters: Mapping[str, Any], counter: tuple[str, str]) -> int:
    return int(counters.get(counter[0], {}).get(counter[1], 0))


def _unreachable(url: str, settings: Settings) -> str | None:
    """Why Telnyx cannot come in there, where the address alone tells."""
    if _is_local(url) and not _is_local(settings.telnyx_base_url):
        return f"{urlsplit(url).hostname} is an address that Telnyx cannot reach"
    return None


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local", ".internal"))
