"""The commands, as a person or a script meets them: in a process of their own where they serve."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from typer.testing import CliRunner
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from gateway.cli import app
from tests.fakes import FakeWire

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def program(arguments: Sequence[str], **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `python -m gateway`, for ten seconds at the most."""
    path = os.pathsep.join((str(ROOT), str(ROOT / "codecs")))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": path, **environment},
    )
    try:
        async with asyncio.timeout(10):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def ready_line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode()


async def said(process: asyncio.subprocess.Process, event: str) -> None:
    """Wait for a line of the program's log."""
    assert process.stderr is not None
    while event.encode() not in await process.stderr.readline():
        pass


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--help"], ["serve", "simulate"]),
        (["serve", "--help"], ["--config", "--workers", "ready media=... http=...", "GATEWAY_DRAIN_TIMEOUT"]),
        (["simulate", "--help"], ["--listen", "127.0.0.1:12111", "--webhook-url", "TELNYX_BASE_URL"]),
    ],
)
def test_every_command_explains_itself(arguments: list[str], words: list[str]) -> None:
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 0
    assert [word for word in words if word not in result.output] == []


@pytest.mark.parametrize("arguments", [["simulate", "--listen", "nowhere"], ["simulate", "--listen", "127.0.0.1:x"]])
def test_an_address_that_is_none_is_refused(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "--listen" in result.output
    assert arguments[-1] in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--webhook-api-version", "3"], "--webhook-api-version"),
        (["--switch", "unknown_call=418"], "unknown_call"),
        (["--fault", "media.lost=2"], "media.lost"),
        (["--faults", "absent.toml"], "absent.toml"),
        (["--numbers", "absent.toml"], "absent.toml"),
        (["--signing-key", "absent/key"], "absent/key"),
    ],
)
def test_a_simulator_that_cannot_be_as_asked_for_does_not_start(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(app, ["simulate", "--listen", "127.0.0.1:0", *arguments])
    assert result.exit_code == 2
    assert words in result.output


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        (
            {"GATEWAY_MAX_CALLS": "0", "GATEWAY_REORDER": "60"},
            ["GATEWAY_MAX_CALLS", "GATEWAY_REORDER: there is no such"],
        ),
        ({"GATEWAY_AGENT": "nobody"}, ["GATEWAY_AGENT"]),
        ({"GATEWAY_SINKS": "tape"}, ["GATEWAY_SINKS"]),
        ({"TELNYX_PUBLIC_KEY": "short"}, ["TELNYX_PUBLIC_KEY"]),
    ],
)
def test_settings_that_are_wrong_are_refused_by_their_names(
    environment: dict[str, str], words: list[str], tmp_path: Path
) -> None:
    free = {"GATEWAY_MEDIA_LISTEN": "127.0.0.1:0", "GATEWAY_HTTP_LISTEN": "127.0.0.1:0"}
    result = CliRunner().invoke(app, ["serve"], env=free | {"GATEWAY_DATA_DIR": str(tmp_path)} | environment)
    assert result.exit_code == 2
    assert [word for word in words if word not in result.output] == []
    assert "Traceback" not in result.output


def test_a_file_of_settings_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["serve", "--config", str(tmp_path / "no.toml")])
    assert result.exit_code == 2
    assert "no.toml" in result.output


async def test_a_wrong_setting_ends_the_program_with_2_and_its_name() -> None:
    async with program(["serve"], GATEWAY_MEDIA_LISTEN="everywhere") as process:
        out, err = await process.communicate()
    assert process.returncode == 2
    assert out == b""
    assert b"GATEWAY_MEDIA_LISTEN" in err
    assert b"'everywhere' is not host:port" in err
    assert b"Traceback" not in err


async def test_serve_says_when_it_is_ready_and_ends_well_on_sigterm(tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text('media_listen = "127.0.0.1:0"\nhttp_listen = "127.0.0.1:0"\n')
    async with program(["serve", "--config", str(config)], GATEWAY_DATA_DIR=str(tmp_path / "data")) as process:
        line = await ready_line(process)
        ready = re.fullmatch(r"ready media=(ws://127\.0\.0\.1:\d+/media) http=(http://127\.0\.0\.1:\d+)\n", line)
        assert ready is not None, line
        async with aiohttp.ClientSession() as session, session.get(f"{ready[2]}/healthz") as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        out, err = await process.communicate()
    assert (process.returncode, out) == (0, b"")
    assert b"Traceback" not in err
    key = (tmp_path / "data" / "api_key").read_text("ascii").strip()
    assert err.decode().count(key) == 1


async def test_running_calls_may_end_after_sigterm_and_a_second_one_ends_them(tmp_path: Path) -> None:
    settings = {
        "GATEWAY_MEDIA_LISTEN": "127.0.0.1:0",
        "GATEWAY_HTTP_LISTEN": "127.0.0.1:0",
        "GATEWAY_MEDIA_AUTH": "none",
        "GATEWAY_AGENT": "echo",
        "GATEWAY_SINKS": "",
        "GATEWAY_DATA_DIR": str(tmp_path),
    }
    carrier = FakeWire().carrier
    async with program(["serve"], **settings) as process:
        line = await ready_line(process)
        async with connect(line.split()[1].removeprefix("media="), proxy=None) as socket:
            await socket.send(carrier.send_connected(), text=True)
            await socket.send(carrier.send_start(), text=True)
            await said(process, "stream started")
            process.send_signal(signal.SIGTERM)
            await said(process, "draining")
            await socket.send(carrier.send_media("inbound", b"\x00" * 160, timestamp=0), text=True)
            assert "media" in str(await socket.recv())
            process.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
        out, _ = await process.communicate()
    assert closed.value.rcvd is not None
    assert (process.returncode, out, closed.value.rcvd.code) == (0, b"", 1001)


async def test_simulate_says_when_it_is_ready_and_ends_well_on_sigterm() -> None:
    async with program(["simulate", "--listen", "127.0.0.1:0"]) as process:
        line = await ready_line(process)
        assert re.fullmatch(r"ready rest=http://127\.0\.0\.1:\d+/v2 public_key=\S{44}\n", line), line
        process.send_signal(signal.SIGTERM)
        out, err = await process.communicate()
    assert (process.returncode, out) == (0, b"")
    assert b"Traceback" not in err
