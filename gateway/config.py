"""Every setting, typed, in one list. Read once, by the composition root.

A setting comes from the environment (`GATEWAY_...`, and Telnyx's own `TELNYX_...`) or from a TOML file whose keys are
the names below in lower case; the environment wins. Unknown keys are refused, so that a misspelt one cannot be lost.
"""

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from gateway.errors import ConfigError

__all__ = ["Address", "PortRange", "Settings", "load_settings", "parse_address", "parse_port_range"]


class Address(NamedTuple):
    """A host and a TCP port; port 0 lets the system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_address(text: str) -> Address:
    """Read `host:port`, `[::1]:port`, or `:port` for every address of this machine.

    Raises:
        ConfigError: It is none of these.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit() and len(port) <= 5) or int(port) > 65535:
        raise ConfigError(f"{text!r} is not host:port")
    return Address(host.removeprefix("[").removesuffix("]") or "0.0.0.0", int(port))  # noqa: S104 - `:8080` asks for it


class PortRange(NamedTuple):
    """A host and its UDP ports from the first to the last."""

    host: str
    first: int
    last: int

    def __str__(self) -> str:
        return f"{Address(self.host, self.first)}-{self.last}"


def parse_port_range(text: str) -> PortRange:
    """Read `host:first-last`; at least four ports, as a fork takes two even ones.

    Raises:
        ConfigError: It is something else.
    """
    start, dash, last = text.rpartition("-")
    host, first = parse_address(start) if dash else ("", 0)
    end = parse_address(f":{last}").port
    if not dash or not 0 < first <= end - 3:
        raise ConfigError(f"{text!r} is not host:first-last with at least four ports")
    return PortRange(host, first, end)


def _port_range(value: Any) -> Any:
    try:
        return parse_port_range(value) if isinstance(value, str) else value
    except ConfigError as error:
        raise ValueError(str(error)) from error


def _address(value: Any) -> Any:
    try:
        return parse_address(value) if isinstance(value, str) else value
    except ConfigError as error:
        raise ValueError(str(error)) from error


def _comma_list(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _json_object(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is no JSON: {error}") from error


Listen = Annotated[Address, BeforeValidator(_address)]
UdpListen = Annotated[PortRange, BeforeValidator(_port_range)]
JsonObject = Annotated[dict[str, Any], BeforeValidator(_json_object)]
CommaList = Annotated[tuple[str, ...], BeforeValidator(_comma_list)]


class Settings(BaseModel):
    """The settings of `telnyx-gateway serve`; units stand in the names or are seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    media_listen: Listen = Field(Address("127.0.0.1", 8765), description="where Telnyx's media sockets come in")
    http_listen: Listen = Field(Address("127.0.0.1", 8080), description="where webhooks and the API come in")
    webhook_listen: Listen | None = Field(
        None, description="where webhooks come in, and nothing else but health; with the API if unset"
    )
    public_media_url: str | None = Field(
        None,
        pattern=r"^wss?://",
        description="what Telnyx is told as stream URL; from the listen address if unset",
    )
    media_auth: Literal["token", "none"] = Field(
        "token", description="`none` admits any stream, on a loopback address and to a loopback `Host` only"
    )
    transport: Literal["websockets", "picows"] = Field(
        "websockets", description="what drives the media sockets; `picows` takes less CPU and needs the extra `fast`"
    )
    sinks: CommaList = Field(
        ("recorder",),
        description="sinks for each call, comma-separated, see docs/sinks.md; may be empty",
    )
    sink_budget_ms: float = Field(
        10,
        gt=0,
        description="how long one call of a sink may keep all other calls waiting, before it is removed for it",
    )
    preroll_seconds: float = Field(
        0, ge=0, le=60, description="how much of each call is kept in memory for sinks that join it late"
    )
    agent: str | None = Field(
        None,
        description="what answers the caller: `echo`, `pipeline`, `realtime`, `websocket`, `ivr`, `record-only`, an "
        "installed agent, or `package.module:Class`; see docs/agents.md",
    )
    agent_options: JsonObject = Field(
        {}, description="the agent's options, see docs/agents.md: a JSON object, in a file the table `[agent_options]`"
    )
    agent_apology: str | None = Field(
        None,
        description="what a caller hears whose agent has failed: a WAV or MP3 file, or a text to be spoken; nothing "
        "if unset",
    )
    agent_failed: Literal["stay", "hangup"] = Field(
        "stay", description="what becomes of a call whose agent has failed, once the apology was heard"
    )
    api_key: SecretStr | None = Field(
        None, description="key of the API; made at the first start and kept in the data folder if unset"
    )
    api_keys: SecretStr | None = Field(
        None, description="further keys of the API, `scope:key`, comma-separated; scopes are `read`, `control`, `admin`"
    )
    routes: Path | tuple[dict[str, Any], ...] | None = Field(
        None, description="TOML file with rules that decide over calls, `[[routes]]`, see docs/policy.md"
    )
    policy_timeout: float = Field(
        2, gt=0, le=20, description="seconds that a policy in Python may take before the rules decide instead"
    )
    speech: str | None = Field(
        None, description="what speaks texts: `espeak:`, `openai:` or `elevenlabs:`, see docs/services.md"
    )
    transcriber: str | None = Field(
        None, description="sink that transcribes a call where `transcription_start` names none"
    )
    media_dir: Path | None = Field(None, description="folder of files that the API may play by name; none if unset")
    play_private_urls: bool = Field(
        default=False, description="whether sound may be fetched from private addresses, this machine's included"
    )
    data_dir: Path = Field(Path("data"), description="folder of recordings, database and keys")
    keep_days: float = Field(30, gt=0, description="days that the records of calls and commands are kept")
    recordings_url: str | None = Field(
        None,
        pattern=r"^[a-z0-9]+://",
        description="object store that recordings are copied to, `s3://bucket/prefix`; its keys by `AWS_...`",
    )
    recordings_keep_days: float | None = Field(
        None, gt=0, description="days that recordings are kept in their folder; for ever if unset"
    )
    recordings_key_file: Path | None = Field(
        None, description="file with the key that seals recordings, 32 octets as base64; they lie open if unset"
    )
    recordings_sync_seconds: float = Field(
        0, ge=0, description="how often running recordings are forced to the disk, for power cuts; 0: only in the end"
    )
    without_store: Literal["refuse", "serve"] = Field(
        "refuse",
        description="webhooks while the database cannot be written: `refuse` with 503, or `serve` without keeping them",
    )
    webhook_allow: CommaList | None = Field(
        None, description="networks that webhooks may come from; `telnyx` for those it publishes; any if unset"
    )
    trusted_proxies: CommaList | None = Field(
        None, description="networks of the proxies whose `X-Forwarded-For` is believed"
    )
    forward_url: str | None = Field(
        None,
        pattern=r"^https?://",
        description="where verified webhooks are forwarded to, signed with a key of our own",
    )
    forward_timeout: float = Field(10, gt=0, le=60, description="seconds that the receiver of a webhook may take")
    forward_give_up: float = Field(
        86_400, gt=0, description="seconds after which a webhook that was not taken is not forwarded any more"
    )
    dials_per_second: int = Field(30, ge=1, description="dials sent to Telnyx at most, over five seconds")
    stream_codec: Literal["PCMU", "PCMA", "L16", "G722", "OPUS", "AMR-WB"] = Field(
        "PCMU",
        description="codec asked of Telnyx for both directions; what comes in is read from the stream itself",
    )
    stream_mode: Literal["rtp", "mp3"] = Field(
        "rtp",
        description="`mp3`: what is played goes to Telnyx as whole MP3 files, one a second at most, and nothing live",
    )
    stream_sample_rate: Literal[8000, 16000, 22050, 24000, 48000] = Field(
        8000, description="rate asked of Telnyx, in Hz; PCMU, PCMA and G722 have 8000 only"
    )
    stream_token_in: Literal["header", "path"] = Field(
        "header", description="where the stream's token goes: `stream_auth_token`, or the last part of the stream URL"
    )
    l16_byte_order: Literal["little", "big", "auto"] = Field(
        "little", description="byte order of L16 on the wire; `auto` finds it out in the first 200 ms of sound"
    )
    max_calls: int = Field(500, ge=1, description="concurrent media streams; more are closed with 1013")
    max_loop_lag_ms: int = Field(
        40,
        ge=0,
        description="while the event loop is later than this, new media streams are closed with 1013; 0: never",
    )
    workers: int = Field(
        1, ge=1, le=64, description="processes of `telnyx-gateway serve` that share the calls, see docs/workers.md"
    )
    max_call_seconds: float = Field(14_400, gt=0, description="longest media stream")
    max_message_bytes: int = Field(1_048_576, ge=1024, description="largest message a media socket may send")
    start_timeout: float = Field(60, gt=0, description="seconds a connected stream may take to send `start`")
    ping_interval: float = Field(
        20, gt=0, description="seconds of silence after which a socket gets a ping, and as many until it counts as dead"
    )
    write_timeout: float = Field(
        10, gt=0, description="seconds that a socket may not read while something waits for it"
    )
    drain_timeout: float = Field(3600, ge=0, description="seconds that running calls get after SIGTERM")
    fork_listen: UdpListen | None = Field(
        None, description="where forked calls come in as RTP, `host:first-last`, UDP; none do if unset"
    )
    fork_public_host: str | None = Field(
        None, description="what Telnyx is told as host of forks; from the listen address if unset"
    )
    fork_silence_timeout: float = Field(30, gt=0, description="seconds without any packet after which a fork ends")
    reorder_ms: int = Field(60, ge=0, le=1000, description="how long a gap waits for the packets that belong there")
    reconnect_grace: float = Field(
        2, ge=0, le=60, description="seconds that a call waits for another socket when its own is gone without `stop`"
    )
    playout_lead_ms: int = Field(160, ge=20, le=5000, description="how far ahead of its time sound is sent")
    playout_message_ms: int = Field(
        20,
        ge=20,
        le=200,
        multiple_of=20,
        description="how much sound one message may hold where more than 20 ms waits; whole 20 ms",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="what is logged")
    log_format: Literal["auto", "text", "json"] = Field("auto", description="`auto`: text on a terminal, else JSON")

    telnyx_api_key: SecretStr | None = Field(None, description="key for Telnyx's API")
    telnyx_public_key: CommaList | None = Field(
        None,
        description="key that webhooks are signed with, base64 of 32 octets; several, comma-separated, to change it",
    )
    telnyx_base_url: str = Field(
        "https://api.telnyx.com/v2", pattern=r"^https?://", description="Telnyx's API, or the simulator's"
    )


_ENVIRONMENT_PREFIX = "GATEWAY_"


def load_settings(environment: Mapping[str, str] | None = None, *, config: Path | None = None) -> Settings:
    """Read the settings.

    Args:
        environment: The process's own if None.
        config: A TOML file; the environment wins over it.

    Raises:
        ConfigError: A key is unknown, a value is wrong, or the file cannot be read. Names every one of them.
    """
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {} if config is None else _read_toml(config)
    for name, value in environment.items():
        if name.startswith(_ENVIRONMENT_PREFIX):
            values[name.removeprefix(_ENVIRONMENT_PREFIX).lower()] = value
    for name in ("telnyx_api_key", "telnyx_public_key", "telnyx_base_url"):
        if name.upper() in environment:
            values[name] = environment[name.upper()]
    try:
        return Settings(**{key: value for key, value in values.items() if value != "" or key == "sinks"})
    except ValidationError as error:
        raise ConfigError(_explain(error)) from error


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors(include_url=False, include_input=False):
        name = ".".join(str(part) for part in problem["loc"])
        variable = name.upper() if name.startswith("telnyx_") else _ENVIRONMENT_PREFIX + name.upper()
        message = "there is no such setting" if problem["type"] == "extra_forbidden" else problem["msg"]
        lines.append(f"{variable}: {message}")
    return "\n".join(lines)
