"""The commands of `telnyx-gateway`; each imports what it needs itself."""

from pathlib import Path
from typing import Annotated, Optional

import typer

__all__ = ["app"]

app = typer.Typer(
    name="telnyx-gateway",
    help="A real-time media gateway between Telnyx calls and voice applications.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.command()
def serve(
    config: Annotated[
        Optional[Path], typer.Option(help="TOML file with settings; the environment (GATEWAY_...) wins over it.")
    ] = None,
) -> None:
    """Run the gateway.

    Prints `ready media=... http=...` when both ports accept. SIGTERM or Ctrl-C lets the running calls end first
    (GATEWAY_DRAIN_TIMEOUT); a second one ends them. Settings are listed in the README.
    """
    from gateway.config import load_settings
    from gateway.errors import ConfigError
    from gateway.gateway import Gateway

    try:
        Gateway(load_settings(config=config)).run()
    except ConfigError as error:
        _refuse(f"Settings are wrong:\n{error}")
    except OSError as error:
        _refuse(f"Cannot start: {error}")


@app.command()
def simulate(
    listen: Annotated[str, typer.Option(help="Where REST comes in, host:port; port 0 lets the system choose.")] = (
        "127.0.0.1:12111"
    ),
    webhook_url: Annotated[
        Optional[str], typer.Option(help="Where calls report that name no webhook URL of their own.")
    ] = None,
) -> None:
    """Play Telnyx: REST under /v2, signed webhooks, media streams; no account needed.

    Prints `ready rest=... public_key=...` when it accepts. Point the gateway at it with TELNYX_BASE_URL and
    TELNYX_PUBLIC_KEY; TELNYX_API_KEY may be anything. `POST /sim/calls` places a call.
    """
    import asyncio

    from gateway.config import parse_address
    from gateway.errors import ConfigError
    from gateway.simulator.simulator import run_simulator

    try:
        asyncio.run(run_simulator(parse_address(listen), webhook_url=webhook_url))
    except ConfigError as error:
        _refuse(f"--listen: {error}")
    except OSError as error:
        _refuse(f"Cannot start: {error}")


def _refuse(message: str) -> None:
    typer.echo(message, err=True)
    raise typer.Exit(2)
