"""The programs in examples/ that answer calls over a WebSocket, run as they are against the real agent."""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from audio_codecs import encode_ulaw
from gateway.agents.options import AgentConfig
from gateway.agents.websocket import WebSocketAgent
from gateway.call import EndReason
from gateway.protocol.commands import Command, Hangup
from tests.fakes import FakeLine, noise, until

EXAMPLES = Path(__file__).parent.parent / "examples"


def in_python(folder: Path) -> list[str]:
    return [sys.executable, str(EXAMPLES / "websocket_agent.py"), "0"]


def in_javascript(folder: Path) -> list[str]:
    """The program beside the package `ws`, wherever that is: next to this tree, or among npm's global ones."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not installed")
    everywhere = Path(subprocess.run([npm, "root", "-g"], capture_output=True, text=True, check=True).stdout.strip())
    for packages in (EXAMPLES / "node_modules", EXAMPLES.parent / "node_modules", everywhere):
        if (packages / "ws").is_dir():
            (folder / "node_modules").symlink_to(packages)
            shutil.copy(EXAMPLES / "websocket_agent.mjs", folder)
            return [node, str(folder / "websocket_agent.mjs"), "0"]
    pytest.skip("the package ws is not installed: npm install -g ws")


@asynccontextmanager
async def running(command: list[str]) -> AsyncIterator[tuple[int, asyncio.StreamReader]]:
    """A program and its port, while the context lasts."""
    program = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    try:
        assert program.stdout is not None
        async with asyncio.timeout(20):
            ready, port = (await program.stdout.readline()).split()
        assert ready == b"ready"
        yield int(port), program.stdout
    finally:
        program.kill()
        await program.wait()


@pytest.mark.parametrize("command", [in_python, in_javascript])
async def test_the_program_greets_echoes_and_hangs_up(command: Any, tmp_path: Path) -> None:
    sent: list[Command] = []

    async def telnyx(call_control_id: str, command: Command) -> Mapping[str, Any]:
        sent.append(command)
        line.call.end(EndReason.STOP)
        return {}

    with capture_logs():
        async with running(command(tmp_path)) as (port, output):
            config = AgentConfig(options={"url": f"ws://127.0.0.1:{port}/"}, log=structlog.get_logger())
            line = FakeLine(agent=WebSocketAgent.configure(config), command=telnyx)
            async with line.running():
                assert await output.readline() == b"call v3:call\n"
                await until(lambda: "greeted" in passed(line))
                assert sum(map(len, line.payloads())) >= 1600  # a fifth of a second
                before = len(line.payloads())
                for _ in range(5):
                    line.say(encode_ulaw(noise(160)))
                await until(lambda: len(passed(line)) >= before and len(line.payloads()) >= before + 5)
                line.press("#")
                line.wait(0.07)
                await until(lambda: bool(sent))
            assert "clear" in line.script()
    assert sent == [Hangup()]
    assert line.call.report()["agent_error"] is None


def passed(line: FakeLine) -> list[str]:
    """What has left, after another 20 ms."""
    line.wait(0.02)
    return line.script()


@pytest.mark.parametrize("name", ["websocket_agent.py", "websocket_agent.mjs"])
def test_the_programs_have_about_forty_lines(name: str) -> None:
    lines = (EXAMPLES / name).read_text("utf-8").splitlines()
    assert sum(bool(line.strip()) and not line.startswith("//") for line in lines) <= 46
