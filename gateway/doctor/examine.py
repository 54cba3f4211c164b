"""All checks in their order, and the report."""

import json
from collections.abc import Sequence

import aiohttp
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.config import Address, Settings
from gateway.control.keys import load_or_make_api_key
from gateway.control.routes import load_routes
from gateway.doctor.account import check_account, check_public_key
from gateway.doctor.finding import Finding, failed, ok
from gateway.doctor.machine import check_machine
from gateway.doctor.outside import Api, check_media_url, check_webhook_url
from gateway.errors import ConfigError

__all__ = ["examine", "show", "show_json"]

_SIGNS = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "failed": "[red]failed[/]", "skipped": "[dim]-[/]"}


async def examine(settings: Settings, *, webhook_url: str | None = None, timeout: float = 10.0) -> list[Finding]:
    """Look at everything; never raises for what it finds.

    Args:
        settings: Those of the gateway.
        webhook_url: What Telnyx's portal has as webhook URL; None to try this machine's own only.
        timeout: Seconds that one request may take.
    """
    findings = [ok("settings", "can be read"), _routes(settings), check_public_key(settings)]
    findings += check_machine(settings)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout)) as session:
        findings += await check_account(settings, session)
        try:
            key = _api_key(settings)
        except ConfigError as error:
            return [
                *findings,
                failed("gateway", str(error), "start it (telnyx-gateway serve), and run the doctor again"),
            ]
        api = Api(session, f"http://{_at_home(settings.http_listen)}", key)
        _, running = await api.counters()
        media = f"ws://{_at_home(settings.media_listen)}/media"
        findings += [
            running,
            await check_media_url(settings, api, by_default=media),
            await check_webhook_url(settings, api, webhook_url),
        ]
    return findings


def show(findings: Sequence[Finding], console: Console) -> None:
    """A table for people."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("check", "", "found"):
        table.add_column(name, overflow="fold")
    for finding in findings:
        found = Text(finding.found)
        if finding.remedy:
            found.append(f"\n-> {finding.remedy}", style="bold" if finding.health == "failed" else "dim")
        table.add_row(finding.check, Text.from_markup(_SIGNS[finding.health]), found)
    console.print(table)


def show_json(findings: Sequence[Finding]) -> str:
    """The same for programs."""
    healthy = all(finding.health != "failed" for finding in findings)
    return json.dumps({"healthy": healthy, "findings": [finding.describe() for finding in findings]}, indent=2)


def _routes(settings: Settings) -> Finding:
    try:
        count = len(load_routes(settings.routes))
    except ConfigError as error:
        return failed("routes", str(error), "see docs/policy.md")
    return ok("routes", f"{count} rules" if count else "none: every call is answered and streamed")


def _api_key(settings: Settings) -> str:
    """The key of the gateway's API; it is not for the doctor to make one, as it is shown only once."""
    if settings.api_key is not None:
        return settings.api_key.get_secret_value()
    if not (settings.data_dir / "api_key").exists():
        raise ConfigError(f"no gateway has run with {settings.data_dir} as data folder yet")
    return load_or_make_api_key(settings.data_dir)[0]


def _at_home(address: Address) -> Address:
    """Where this machine itself finds what listens there."""
    return Address({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host), address.port)  # noqa: S104
