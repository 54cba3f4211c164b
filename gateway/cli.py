"""The commands of `telnyx-gateway`; each imports what it needs itself."""

from pathlib import Path
from typing import Annotated, NoReturn, Optional

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
    workers: Annotated[
        Optional[int],
        typer.Option(help="Processes that share the calls; GATEWAY_WORKERS if not given.", min=1, max=64),
    ] = None,
) -> None:
    """Run the gateway.

    Prints `ready media=... http=...` when both ports accept. SIGTERM or Ctrl-C lets the running calls end first
    (GATEWAY_DRAIN_TIMEOUT); a second one ends them. Settings are listed in the README.
    """
    from gateway.config import load_settings
    from gateway.errors import ConfigError, WorkerError

    try:
        settings = load_settings(config=config)
        if workers is not None:
            settings = settings.model_copy(update={"workers": workers})
        if settings.workers == 1:
            from gateway.gateway import Gateway

            Gateway(settings).run()
        else:
            from gateway.cluster.supervisor import Supervisor
            from gateway.logs import make_log

            Supervisor(settings, log=make_log(settings.log_level, settings.log_format)).run()
    except ConfigError as error:
        _refuse(f"Settings are wrong:\n{error}")
    except WorkerError as error:
        _refuse(str(error))
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
    failover_url: Annotated[
        Optional[str], typer.Option(help="What takes the webhooks when that URL has failed twice.")
    ] = None,
    webhook_api_version: Annotated[str, typer.Option(help="Format of the webhooks: 1 or 2.")] = "2",
    signing_key: Annotated[
        Optional[Path],
        typer.Option(
            help="File with the key that signs the webhooks; made if it is not there. Else a new key each time."
        ),
    ] = None,
    api_key: Annotated[Optional[str], typer.Option(help="The key that /v2 wants. Else any key is taken.")] = None,
    connection_id: Annotated[
        Optional[list[str]], typer.Option(help="An application of the account; repeat it. Else any id is taken.")
    ] = None,
    numbers: Annotated[Optional[Path], typer.Option(help="TOML file: what happens when a number is called.")] = None,
    max_calls: Annotated[int, typer.Option(help="Calls at a time.", min=1)] = 100,
    faults: Annotated[Optional[Path], typer.Option(help="TOML file: what goes wrong, see docs/simulator.md.")] = None,
    fault: Annotated[
        Optional[list[str]], typer.Option(help="FAMILY.NAME=VALUE, such as media.lost=0.01; repeat it.")
    ] = None,
    switch: Annotated[
        Optional[list[str]], typer.Option(help="NAME=VALUE: what Telnyx leaves open, see docs/simulator.md; repeat it.")
    ] = None,
) -> None:
    """Play Telnyx: REST under /v2, signed webhooks, media streams; no account needed.

    Prints `ready rest=... public_key=...` when it accepts. Point the gateway at it with TELNYX_BASE_URL and
    TELNYX_PUBLIC_KEY; TELNYX_API_KEY may be anything. `POST /sim/calls` places a call.
    """
    import asyncio

    from gateway.config import parse_address
    from gateway.errors import ConfigError
    from gateway.process import loop_factory
    from gateway.simulator.files import load_faults, load_numbers, load_signing_key, parse_switches
    from gateway.simulator.simulator import Simulator, run_simulator

    if webhook_api_version not in ("1", "2"):
        _refuse(f"--webhook-api-version: {webhook_api_version!r}, want 1 or 2")
    try:
        address = parse_address(listen)
    except ConfigError as error:
        _refuse(f"--listen: {error}")
    try:
        simulator = Simulator(
            address,
            webhook_url=webhook_url,
            failover_url=failover_url,
            webhook_api_version="1" if webhook_api_version == "1" else "2",
            signing_key=None if signing_key is None else load_signing_key(signing_key),
            api_key=api_key,
            connections=connection_id or None,
            numbers=None if numbers is None else load_numbers(numbers),
            max_calls=max_calls,
            switches=parse_switches(switch or ()),
            faults=load_faults(faults, fault or ()),
        )
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(run_simulator(simulator))
    except ConfigError as error:
        _refuse(str(error))
    except OSError as error:
        _refuse(f"Cannot start: {error}")


@app.command()
def call(
    media_url: Annotated[
        str, typer.Argument(help="The media WebSocket to call, ws:// or wss://.", metavar="MEDIA_URL")
    ],
    wav: Annotated[Optional[Path], typer.Option(help="What the caller says: a WAV file of any rate.")] = None,
    out: Annotated[Optional[Path], typer.Option(help="Where what the caller heard is written, as WAV.")] = None,
    codec: Annotated[str, typer.Option(help="Of both directions: PCMU, PCMA, L16, G722, OPUS or AMR-WB.")] = "PCMU",
    rate: Annotated[int, typer.Option(help="Of both directions, in Hz, where the codec leaves a choice.")] = 8000,
    mode: Annotated[str, typer.Option(help="How the far side sends: codec frames (rtp), or MP3 files (mp3).")] = "rtp",
    token: Annotated[Optional[str], typer.Option(help="stream_auth_token: in a header and in `connected`.")] = None,
    script: Annotated[
        Optional[str], typer.Option(help="Who calls instead of --wav: a script of the library, or a TOML file.")
    ] = None,
    faults: Annotated[Optional[Path], typer.Option(help="TOML file: what goes wrong at the caller's side.")] = None,
    fault: Annotated[
        Optional[list[str]], typer.Option(help="FAMILY.NAME=VALUE, such as media.lost=0.01; repeat it.")
    ] = None,
    switch: Annotated[
        Optional[list[str]], typer.Option(help="NAME=VALUE: what Telnyx leaves open, see docs/simulator.md; repeat it.")
    ] = None,
    silence_after: Annotated[
        float, typer.Option(help="Seconds that the caller listens after the end of --wav.", min=0, max=3600)
    ] = 1.0,
) -> None:
    """Call a media WebSocket, ours or another program's: no account, no REST, no webhooks.

    Says `connected`, `start`, the WAV file in frames of 20 ms, `stop`; keeps what was heard, and reports. The exit
    status is 0 if the far side spoke the protocol until the caller hung up, 1 if it did not or the script failed, 2 if
    it could not be called.
    """
    from gateway.errors import ConfigError
    from gateway.simulator.call_command import call_media_url, load_person, make_plan
    from gateway.simulator.files import load_faults, parse_switches

    if wav is not None and script is not None:
        _refuse("--wav or --script: one caller says one thing")
    try:
        switches = parse_switches(switch or ())
        status = call_media_url(
            make_plan(media_url, codec=codec, rate=rate, mode=mode, token=token, switches=switches),
            wav=wav,
            person=None if script is None else load_person(script),
            out=out,
            silence_after=silence_after,
            switches=switches,
            faults=load_faults(faults, fault or ()),
        )
    except ConfigError as error:
        _refuse(str(error))
    raise typer.Exit(status)


@app.command()
def bench(
    media_url: Annotated[
        str, typer.Argument(help="The media WebSocket to load, ws:// or wss://.", metavar="MEDIA_URL")
    ],
    calls: Annotated[int, typer.Option(help="Calls at once; with --ramp-to, to begin with.", min=1)] = 100,
    ramp_to: Annotated[
        Optional[int], typer.Option(help="Find the knee: go up to so many calls, as long as the limits hold.", min=1)
    ] = None,
    step: Annotated[int, typer.Option(help="Calls that each level has more.", min=1)] = 50,
    precision: Annotated[
        Optional[int], typer.Option(help="How near the knee is to be known; a quarter of --step if not given.", min=1)
    ] = None,
    hold: Annotated[str, typer.Option(help="How long each level is measured: 30s, 10m, 4h.")] = "10s",
    soak: Annotated[
        Optional[str],
        typer.Option(help="Instead of --hold: so long, with calls that end and are replaced (--call-seconds, 60)."),
    ] = None,
    call_seconds: Annotated[
        Optional[float], typer.Option(help="How long a call lasts before another takes its place.", min=2)
    ] = None,
    settle: Annotated[float, typer.Option(help="Seconds between opening calls and measuring.", min=0)] = 2.0,
    codec: Annotated[str, typer.Option(help="PCMU, PCMA, L16, G722, OPUS or AMR-WB.")] = "PCMU",
    rate: Annotated[int, typer.Option(help="In Hz, where the codec leaves a choice.")] = 8000,
    byte_order: Annotated[str, typer.Option(help="Of L16: little or big.")] = "little",
    wav: Annotated[
        Optional[Path], typer.Option(help="What the callers say, over and over; a sentence of ours if not given.")
    ] = None,
    one_way: Annotated[bool, typer.Option("--one-way", help="Expect no sound back.")] = False,  # noqa: FBT002 - typer
    measure: Annotated[
        str,
        typer.Option(
            help="Round trips by: echo (numbered frames; PCMU, PCMA, L16), sound (likeness, any codec; four calls of "
            "each process), ping (of WebSocket; any application). auto: echo or sound, ping with --one-way."
        ),
    ] = "auto",
    token: Annotated[Optional[str], typer.Option(help="stream_auth_token: in a header and in `connected`.")] = None,
    header: Annotated[Optional[list[str]], typer.Option(help="NAME=VALUE, for the upgrade; repeat it.")] = None,
    parameter: Annotated[
        Optional[list[str]], typer.Option(help="NAME=VALUE, for `custom_parameters` of `start`; repeat it.")
    ] = None,
    faults: Annotated[Optional[Path], typer.Option(help="TOML file: what goes wrong with the media sent.")] = None,
    fault: Annotated[
        Optional[list[str]], typer.Option(help="media.NAME=VALUE, such as media.lost=0.01, or seed=7; repeat it.")
    ] = None,
    processes: Annotated[int, typer.Option(help="Processes that make the load.", min=1, max=64)] = 1,
    server_pid: Annotated[
        Optional[int],
        typer.Option(help="Process id of the far side: its CPU and memory are read, with its children (Linux).", min=1),
    ] = None,
    max_p50_ms: Annotated[float, typer.Option(help="Limit of the median round trip; inf for none.")] = float("inf"),
    max_p99_ms: Annotated[float, typer.Option(help="Limit of its 99th percentile; inf for none.")] = 20.0,
    max_loss: Annotated[float, typer.Option(help="Share that may stay unanswered, 0 to 1.", min=0, max=1)] = 0.0,
    max_failed: Annotated[int, typer.Option(help="Calls that may be refused or closed by the far side.", min=0)] = 0,
    max_server_cpu: Annotated[float, typer.Option(help="Limit of the server's CPU, in cores; inf for none.")] = float(
        "inf"
    ),
    max_growth_mib: Annotated[
        float, typer.Option(help="Limit of the growth of the server's memory within a level; inf for none.")
    ] = float("inf"),
    max_late_ms: Annotated[
        float, typer.Option(help="How late the load itself may be, p99, before figures are withheld.")
    ] = 5.0,
    min_calls: Annotated[Optional[int], typer.Option(help="What the knee must reach; --calls if not given.")] = None,
    out: Annotated[
        Optional[Path], typer.Option(help="Folder for bench.json, bench.md and bench.png (extra `bench`).")
    ] = None,
) -> None:
    """Load a media WebSocket, ours or another program's, with many calls, and measure how well it keeps up.

    Holds --calls calls; with --ramp-to, finds the highest number whose limits hold; with --soak, lets calls come and go
    for hours. Each call says real speech, 20 ms every 20 ms. Figures of a time in which the load itself was late, or
    had no CPU left, are withheld. The exit status is 0 if the limits held (of a ramp: at --min-calls), 1 if not, 2 if
    nothing could be run, 3 if the figures that decide were withheld.
    """
    from gateway.bench.command import bench as run_bench
    from gateway.bench.command import make_plan, parse_seconds
    from gateway.bench.run import Schedule
    from gateway.bench.verdict import Limits
    from gateway.errors import ConfigError

    try:
        if soak is not None and ramp_to is not None:
            raise ConfigError("--soak or --ramp-to: one holds a level, the other changes it")
        if ramp_to is not None and ramp_to < calls:
            raise ConfigError(f"--ramp-to: {ramp_to} is below --calls, {calls}")
        seconds = parse_seconds(hold, "--hold") if soak is None else parse_seconds(soak, "--soak")
        plan = make_plan(
            media_url,
            codec=codec,
            rate=rate,
            byte_order=byte_order,
            wav=wav,
            one_way=one_way,
            measure=measure,
            token=token,
            headers=header or (),
            parameters=parameter or (),
            faults=faults,
            fault=fault or (),
            call_seconds=60.0 if soak is not None and call_seconds is None else call_seconds,
        )
        status = run_bench(
            plan,
            Schedule(calls, ramp_to, step, precision or max(1, step // 4), settle, seconds),
            Limits(max_p50_ms, max_p99_ms, max_loss, max_failed, max_server_cpu, max_growth_mib, max_late_ms),
            processes=processes,
            server_pid=server_pid,
            min_calls=min_calls,
            out=out,
        )
    except ConfigError as error:
        _refuse(str(error))
    raise typer.Exit(status)


@app.command()
def recover(
    folder: Annotated[
        Optional[Path], typer.Argument(help="Folder of recordings; the one of the settings if not given.")
    ] = None,
    config: Annotated[Optional[Path], typer.Option(help="TOML file with settings, as for serve.")] = None,
) -> None:
    """Repair the recordings that a crash has left, and complete them.

    Tells what became of each. Recordings that a gateway is making at present are not touched; `serve` does the same
    when it starts. The exit status is 0 if all could be repaired, 1 if one could not.
    """
    from gateway.config import load_settings
    from gateway.errors import ConfigError
    from gateway.recordings import recordings_folder, recover_all

    try:
        settings = load_settings(config=config)
    except ConfigError as error:
        _refuse(f"Settings are wrong:\n{error}")
    failed = False
    for place, duration, problem in recover_all(settings, folder or recordings_folder(settings)):
        failed |= problem is not None
        length = "sealed" if duration is None else f"{duration:.2f} s"
        typer.echo(f"{place}: {length if problem is None else problem}")
    raise typer.Exit(1 if failed else 0)


@app.command()
def unseal(
    sealed: Annotated[Path, typer.Argument(help="The file that ends in .wav.sealed.")],
    key: Annotated[Path, typer.Option(help="File with the key: 32 octets as base64.")],
    out: Annotated[Path, typer.Option(help="The WAV to make; must not exist.")],
) -> None:
    """Make a WAV of a sealed recording.

    The exit status is 0 if the recording is whole, 1 if it was cut off (what was recorded before is in the WAV), 2 if
    it cannot be read with this key.
    """
    from gateway.errors import ConfigError, RecordingError
    from gateway.sinks.recorder.seal import load_key
    from gateway.sinks.recorder.seal import unseal as unseal_to

    try:
        whole = unseal_to(sealed, load_key(key), out)
    except (ConfigError, RecordingError, OSError) as error:
        _refuse(str(error))
    if not whole:
        typer.echo("It was cut off: the gateway ended before the call did.", err=True)
        raise typer.Exit(1)


@app.command()
def doctor(
    config: Annotated[Optional[Path], typer.Option(help="TOML file with settings, as for serve.")] = None,
    webhook_url: Annotated[
        Optional[str], typer.Option(help="What Telnyx's portal has as webhook URL, to be tried from outside in.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,  # noqa: FBT002 - typer
) -> None:
    """Find out what keeps calls from working, and what to do about it. Run it beside the gateway.

    Looks at the settings and keys, the data folder, codecs and programs, the limit on open files; asks Telnyx whether
    it takes the API key and what time it is; opens the public media URL and delivers to the webhook URL, as Telnyx
    would, what the running gateway has to refuse. Nothing is changed. The exit status is 0 if nothing failed, else 1;
    warnings do not count. See docs/doctor.md.
    """
    import asyncio

    from rich.console import Console

    from gateway.config import load_settings
    from gateway.doctor.examine import examine, show, show_json
    from gateway.doctor.finding import failed
    from gateway.errors import ConfigError

    try:
        findings = asyncio.run(examine(load_settings(config=config), webhook_url=webhook_url))
    except ConfigError as error:
        findings = [failed("settings", str(error), "see the list of settings in the README")]
    if json:
        typer.echo(show_json(findings))
    else:
        show(findings, Console())
    raise typer.Exit(1 if any(finding.health == "failed" for finding in findings) else 0)


def _refuse(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(2)
