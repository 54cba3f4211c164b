"""Sinks and agents by the names that the settings have for them."""

import importlib
import json
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from gateway.agents.echo import Echo
from gateway.config import Settings
from gateway.errors import ConfigError
from gateway.gateway import Gateway
from gateway.plugins import find_agent, open_sinks
from gateway.sinks.null import NullSink
from tests.gateway.sinks.streams import Sinks, frames

PLUGIN = """
from contextlib import asynccontextmanager
from gateway import Agent
from gateway.sinks.base import INBOUND
from gateway.sinks.delivery import Delivery

class Talker(Agent):
    async def run(self, call):
        pass

class Plain:
    tracks = INBOUND
    def __init__(self, info):
        self.told = {"stream": info.stream_id}
    def write(self, frame):
        self.told["last"] = frame.timestamp
    def describe(self):
        return self.told

class Chosen(Plain):
    def __init__(self, info, model):
        super().__init__(info)
        self.told["model"] = model
    @classmethod
    def configure(cls, config):
        config.only("model", path=True)
        model = config.options.get("model", "small") + config.path
        return lambda info: cls(info, model)

life = []

class Shared(Plain):
    @staticmethod
    @asynccontextmanager
    async def configure(config):
        life.append("begun")
        yield Shared
        life.append("ended")

class Elsewhere(Plain):
    delivery = Delivery(by="process")

class Local:
    @staticmethod
    def configure(config):
        class Inner(Plain):
            delivery = Delivery(by="process")
        return Inner

class Useless:
    @staticmethod
    def configure(config):
        return None

number = 3
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A package that is installed and offers sinks and an agent."""
    folder = tmp_path / "site"
    info = folder / "chatter-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "chatter.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: chatter\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[gateway.sinks]\nplain = chatter:Plain\nchosen = chatter:Chosen\nshared = chatter:Shared\n"
        "gone = chatter:Gone\nlocal = chatter:Local\n"
        "useless = chatter:Useless\nelsewhere = chatter:Elsewhere\nnumber = chatter:number\n"
        "[gateway.agents]\ntalker = chatter:Talker\nplain = chatter:Plain\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    with capture_logs():
        yield importlib.import_module("chatter")
    sys.modules.pop("chatter", None)


async def opened(tmp_path: Path, *names: str) -> dict[str, dict[str, Any]]:
    """What the sinks of these names tell of a stream of three frames."""
    async with AsyncExitStack() as stack:
        settings = Settings(sinks=names, data_dir=tmp_path / "data")
        sources = await open_sinks(settings, stack=stack, log=structlog.get_logger())
        sinks = Sinks(dict(sources))
        async with sinks.running():
            sinks.write(*frames(0, 3))
        return sinks.fan_out.describe()


# --- sinks ---------------------------------------------------------------------------------------------------------


async def test_our_own_sinks_are_found_by_their_names(tmp_path: Path) -> None:
    told = await opened(tmp_path, "recorder", f"wav:{tmp_path}/elsewhere", "level:?interval=60", "null:", "level")
    assert list(told) == ["recorder", "wav", "level", "null", "level 2"]
    assert {sink["state"] for sink in told.values()} == {"closed"}
    assert {sink["frames"] for sink in told.values()} == {3}
    assert (tmp_path / "data" / "recordings" / told["recorder"]["recording"] / "recording.wav").exists()
    assert (tmp_path / "elsewhere" / told["wav"]["recording"] / "recording.wav").exists()
    assert json.dumps(told)


async def test_an_installed_sink_is_found_by_its_entry_point(tmp_path: Path, plugin: Any) -> None:
    told = await opened(tmp_path, "plain", "chosen:/large?model=very%20")
    assert (told["plain"]["stream"], told["plain"]["last"]) == ("stream-1", 320)
    assert told["chosen"]["model"] == "very /large"


async def test_a_sink_is_found_by_its_module_and_class(tmp_path: Path, plugin: Any) -> None:
    told = await opened(
        tmp_path, "chatter:Plain", "chatter:Chosen?model=secret", "chatter:Plain", "gateway.sinks.null:NullSink"
    )
    assert list(told) == ["chatter:Plain", "chatter:Chosen", "chatter:Plain 2", "gateway.sinks.null:NullSink"]
    assert told["chatter:Chosen"]["model"] == "secret"


async def test_a_sink_may_have_something_that_lives_as_long_as_the_gateway(tmp_path: Path, plugin: Any) -> None:
    async with AsyncExitStack() as stack:
        settings = Settings(sinks=("shared",), data_dir=tmp_path)
        sources = await open_sinks(settings, stack=stack, log=structlog.get_logger())
        assert sources == {"shared": plugin.Shared}
        assert plugin.life == ["begun"]
    assert plugin.life == ["begun", "ended"]


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        (
            "transcribr",
            "'transcribr': there is no such sink; there are: recorder, wav, level, .*, chosen, elsewhere",
        ),
        ("nowhere.at_all:Sink", "cannot be loaded: No module named 'nowhere'"),
        ("chatter:Nothing", "cannot be loaded: .* has no attribute 'Nothing'"),
        ("gone", "'gone': it cannot be loaded"),
        ("number", "int makes no sinks"),
        ("useless", "NoneType makes no sinks"),
        ("local", "a worker process does not find it"),
        ("plain?key=secret", "'plain': it has no option 'key'"),
        ("plain:path", "'plain:path': it takes nothing behind its name"),
        ("null:?a=b", "'null:': it has no option 'a'"),
        ("level:?interval=often", "interval is 'often'"),
        ("chosen:?mode=x", "'chosen:': it has no option 'mode'; it has: model"),
        (":Sink", "it has no name"),
        ("level:?interval", "bad query field"),
    ],
)
async def test_a_sink_that_cannot_be_had_is_refused_as_the_gateway_starts(
    tmp_path: Path, plugin: Any, name: str, complaint: str
) -> None:
    with pytest.raises(ConfigError, match="GATEWAY_SINKS: .*" + complaint) as refusal:
        await opened(tmp_path, name)
    assert "secret" not in str(refusal.value)


async def test_a_name_that_two_packages_offer_is_refused(tmp_path: Path, plugin: Any) -> None:
    info = tmp_path / "site" / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[gateway.sinks]\nplain = other:Plain\n")
    with pytest.raises(ConfigError, match="more than one package offers 'plain': chatter, other"):
        await opened(tmp_path, "plain")


async def test_our_own_names_cannot_be_taken(tmp_path: Path, plugin: Any) -> None:
    (tmp_path / "site" / "chatter-1.0.dist-info" / "entry_points.txt").write_text(
        "[gateway.sinks]\nnull = chatter:Plain\n"
    )
    async with AsyncExitStack() as stack:
        settings = Settings(sinks=("null",), data_dir=tmp_path)
        assert await open_sinks(settings, stack=stack, log=structlog.get_logger()) == {"null": NullSink}


async def test_a_sink_of_the_program_and_one_of_the_settings_cannot_have_one_name(tmp_path: Path) -> None:
    settings = Settings(sinks=("null",), data_dir=tmp_path, media_listen="127.0.0.1:0", http_listen="127.0.0.1:0")
    gateway = Gateway(settings, sinks={"null": NullSink}, log=structlog.get_logger())
    with (
        capture_logs(),
        pytest.raises(ConfigError, match="GATEWAY_SINKS: 'null' is the name of a sink that the program"),
    ):
        await gateway.__aenter__()


# --- agents --------------------------------------------------------------------------------------------------------


def test_an_agent_is_found_by_its_name_its_entry_point_or_its_module_and_class(plugin: Any) -> None:
    assert find_agent(None) is None
    assert find_agent("echo") is Echo
    assert find_agent("gateway.agents.echo:Echo") is Echo
    assert find_agent("talker") is plugin.Talker
    assert find_agent("chatter:Talker") is plugin.Talker


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("ecko", "is no agent; want one of echo,.* plain, talker, or package.module:Class"),
        ("plain", "is no agent"),
        ("chatter:Plain", "is no agent"),
        ("chatter:Gone", "cannot be loaded"),
        ("nowhere:Agent", "cannot be loaded: No module named"),
    ],
)
def test_an_agent_that_there_is_not_is_refused(plugin: Any, name: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=f"GATEWAY_AGENT: '{name}' {complaint}"):
        find_agent(name)
