"""A caller in the menus."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from gateway.agents.ivr import Ivr
from gateway.agents.options import AgentConfig
from gateway.call import EndReason
from gateway.errors import ControlError
from gateway.protocol.commands import Command, Hangup, Transfer
from gateway.simulator.wav import write_wav
from tests.fakes import FakeLine, noise, settle

MENUS = """
start = "main"
[menus.main]
prompt = {play = "main.wav"}
timeout = 1
tries = 2
invalid = {play = "wrong.wav"}
silent = {play = "silent.wav"}
[menus.main.keys]
1 = {transfer = "+15550100009", prompt = {play = "moment.wav"}, then = "more"}
2 = {menu = "more"}
3 = {record = 0.2, then = "more"}
9 = {repeat = true}
[menus.more]
prompt = {play = "more.wav"}
timeout = 1
tries = 1
[menus.more.keys]
0 = {menu = "main"}
"""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


class Visit:
    """A caller, what Telnyx was asked for, and which menus there were."""

    def __init__(self, folder: Path, *, refuse: type[Command] | None = None) -> None:
        for name in ("main", "wrong", "silent", "moment", "more"):
            (folder / f"{name}.wav").write_bytes(write_wav(noise(320), sample_rate=8000))
        (folder / "menus.toml").write_text(MENUS)
        self.sent: list[Command] = []
        self.menus: list[str] = []
        self.refuse = refuse
        config = AgentConfig(options={"file": str(folder / "menus.toml")}, log=structlog.get_logger())
        self.line = FakeLine(agent=Ivr.configure(config), command=self.command, publish=self.publish)

    async def command(self, call_control_id: str, command: Command) -> Mapping[str, Any]:
        self.sent.append(command)
        if type(command) is self.refuse:
            raise ControlError("refused", status=422, code="10015")
        self.line.call.end(EndReason.STOP)
        return {}

    def publish(self, call_control_id: str, event_type: str, data: Mapping[str, Any]) -> None:
        if event_type == "ivr.menu":
            self.menus.append(data["menu"])

    def heard(self) -> list[str]:
        """The prompts that were heard, or begun."""
        return [entry["name"] for entry in self.line.call.report()["played"]["playbacks"]]

    async def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.02)):
            await asyncio.sleep(0.001)
            self.line.wait(0.02)

    async def press(self, key: str) -> None:
        self.line.press(key)
        await self.pass_time(0.1)

    async def until_sent(self) -> None:
        async with asyncio.timeout(4):
            while not self.sent:
                await self.pass_time(0.1)


async def test_a_key_cuts_the_prompt_off_and_leads_to_another_menu_and_back(tmp_path: Path) -> None:
    visit = Visit(tmp_path)
    async with visit.line.running():
        await settle()
        await visit.press("2")
        await visit.press("0")
        await visit.press("9")
        assert visit.menus == ["main", "more", "main", "main"]


async def test_a_caller_is_transferred_after_the_prompt(tmp_path: Path) -> None:
    visit = Visit(tmp_path)
    async with visit.line.running():
        await settle()
        await visit.press("1")
        await visit.until_sent()
    assert visit.sent == [Transfer(to="+15550100009")]
    assert "moment.wav" in visit.heard()
    assert visit.line.call.report()["agent_error"] is None


async def test_a_transfer_that_is_refused_leads_to_where_the_menu_says(tmp_path: Path) -> None:
    visit = Visit(tmp_path, refuse=Transfer)
    async with visit.line.running():
        await settle()
        await visit.press("1")
        await visit.until_sent()
        await visit.pass_time(0.1)
        assert visit.menus == ["main", "more"]


async def test_silence_and_wrong_keys_use_the_tries_up_and_then_it_is_hung_up(tmp_path: Path) -> None:
    visit = Visit(tmp_path)
    async with visit.line.running():
        await settle()
        await visit.press("7")
        await visit.until_sent()
    assert visit.sent == [Hangup()]
    assert visit.heard().count("main.wav") == 2
    assert "wrong.wav" in visit.heard()
    assert "silent.wav" not in visit.heard()


async def test_a_message_is_recorded_until_its_limit(tmp_path: Path) -> None:
    visit = Visit(tmp_path)
    begun: list[str] = []

    async def record_start(options: Any = None) -> str:
        begun.append("start")
        return "recording"

    def record_stop(recording_id: str | None = None) -> list[str]:
        begun.append(str(recording_id))
        return []

    visit.line.call.record_start = record_start  # type: ignore[method-assign]
    visit.line.call.record_stop = record_stop  # type: ignore[method-assign]
    async with visit.line.running():
        await settle()
        await visit.press("3")
        async with asyncio.timeout(4):
            while "more" not in visit.menus:
                await visit.pass_time(0.1)
    assert begun == ["start", "recording"]
    assert "beep" in visit.heard()


async def test_a_caller_who_hangs_up_ends_it(tmp_path: Path) -> None:
    visit = Visit(tmp_path)
    async with visit.line.running():
        await settle()
        await visit.press("2")
        visit.line.call.end(EndReason.STOP)
    assert visit.sent == []
    assert visit.line.call.report()["agent_error"] is None
