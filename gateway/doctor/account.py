"""Telnyx's side: whether the API takes the key, and whether the clocks agree."""

import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Final

import aiohttp

from gateway.config import Settings
from gateway.control.http_side import check_settings
from gateway.doctor.finding import Finding, failed, ok, skipped, warning
from gateway.errors import ConfigError

__all__ = ["check_account", "check_public_key"]

_SKEW_ALLOWED: Final = 300.0  # seconds: what a webhook's signature may be off
_SKEW_USUAL: Final = 30.0


def check_public_key(settings: Settings) -> Finding:
    """Whether webhooks can be trusted at all."""
    if not settings.telnyx_public_key:
        return failed(
            "public key",
            "TELNYX_PUBLIC_KEY is not set, so every webhook is refused",
            "copy it from the portal of Telnyx: Account, Keys & Credentials, Public Key",
        )
    try:
        check_settings(settings)
    except ConfigError as error:
        return failed("public key", str(error), "copy it from the portal again: base64 of 32 octets")
    return ok("public key", f"{len(settings.telnyx_public_key)} set, of the right form")


async def check_account(
    settings: Settings, session: aiohttp.ClientSession, *, clock: Callable[[], float] = time.time
) -> list[Finding]:
    """Ask Telnyx's API for the balance, which Telnyx itself recommends as the check of a key: it changes nothing.

    Args:
        settings: Those of the gateway.
        session: With a timeout.
        clock: Unix time, in seconds.

    Source: Telnyx, "Make the first API request".
    """
    if settings.telnyx_api_key is None:
        remedy = "make a key in the portal of Telnyx, and set TELNYX_API_KEY"
        return [
            failed("API key", "TELNYX_API_KEY is not set, so no call is answered", remedy),
            skipped("clock", "Telnyx was not asked"),
        ]
    url = f"{settings.telnyx_base_url.rstrip('/')}/balance"
    headers = {"Authorization": f"Bearer {settings.telnyx_api_key.get_secret_value()}"}
    sent = clock()
    try:
        async with session.get(url, headers=headers, allow_redirects=False) as answer:
            status, date = answer.status, answer.headers.get("Date")
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
        found = f"{settings.telnyx_base_url} does not answer: {type(error).__name__}"
        return [
            failed("API key", found, "look at TELNYX_BASE_URL, and whether this machine may reach it"),
            skipped("clock", "Telnyx did not answer"),
        ]
    return [_key(status), _clock((sent + clock()) / 2, date)]


def _key(status: int) -> Finding:
    match status:
        case 200:
            return ok("API key", "Telnyx takes it")
        case 401:
            return failed("API key", "Telnyx does not know it (401)", "set TELNYX_API_KEY to a key that is active")
        case 403:
            return warning(
                "API key", "Telnyx knows it, and it may not see the balance (403)", "see that it may use Call Control"
            )
        case 404:
            return failed("API key", "there is no API at this address (404)", "TELNYX_BASE_URL has to end in /v2")
        case _:
            return failed("API key", f"Telnyx answers with {status}", "try again; see status.telnyx.com")


def _clock(now: float, date: str | None) -> Finding:
    try:
        skew = now - parsedate_to_datetime(date or "").timestamp()
    except (ValueError, TypeError):
        return skipped("clock", "Telnyx's answer has no date")
    found = f"this machine is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} Telnyx"
    remedy = "set the clock by NTP (timedatectl set-ntp true)"
    if abs(skew) > _SKEW_ALLOWED:
        return failed("clock", f"{found}, and webhooks are refused beyond {_SKEW_ALLOWED:.0f} s", remedy)
    return warning("clock", found, remedy) if abs(skew) > _SKEW_USUAL else ok("clock", found)
