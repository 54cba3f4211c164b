"""What the settings open for the media services, and which sinks may be named while calls run."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from gateway.config import Settings
from gateway.errors import ConfigError
from gateway.plugins import open_sinks
from gateway.recordings import recorder_of
from gateway.services.opening import open_services
from gateway.services.options import ServiceOptions
from gateway.sinks.base import SinkSource
from gateway.sinks.null import NullSink


@asynccontextmanager
async def services(folder: Path, **settings: Any) -> AsyncIterator[tuple[ServiceOptions, dict[str, Any]]]:
    """The services, and the sinks of the settings by their texts."""
    read = Settings(**{"data_dir": folder, "sinks": ()} | settings)
    log = structlog.wrap_logger(None, processors=[], wrapper_class=structlog.make_filtering_bound_logger("critical"))
    async with AsyncExitStack() as stack:
        opened = await open_sinks(read, stack=stack, log=log)
        known: dict[str, tuple[str, SinkSource]] = {
            text: (name, source) for text, (name, source) in zip(read.sinks, opened.items(), strict=True)
        }
        yield await open_services(read, sinks=known, stack=stack, log=log), known


async def test_there_is_one_recorder_for_the_usual_folder(tmp_path: Path) -> None:
    async with services(tmp_path, sinks=("level:", "recorder:?format=wav")) as (opened, known):
        assert opened.recorder is recorder_of(known["recorder:?format=wav"][1])
    async with services(tmp_path, sinks=(f"wav:{tmp_path}/elsewhere",)) as (opened, known):
        assert opened.recorder is not None
        assert opened.recorder is not recorder_of(known[f"wav:{tmp_path}/elsewhere"][1])


async def test_what_stands_in_the_settings_may_be_named_just_so(tmp_path: Path) -> None:
    text = f"wav:{tmp_path}/elsewhere"
    async with services(tmp_path, sinks=(text,)) as (opened, known):
        assert opened.find_sink is not None
        assert opened.find_sink(text) == known[text]
        with pytest.raises(ConfigError, match="must stand in the settings"):
            opened.find_sink(text + "2")


async def test_our_own_sinks_may_be_named(tmp_path: Path) -> None:
    async with services(tmp_path) as (opened, _):
        assert opened.find_sink is not None
        assert opened.find_sink("null:") == ("null", NullSink)
        assert opened.find_sink("level:?interval=2")[0] == "level"
        assert opened.find_sink("recorder:?format=wav")[0] == "recorder"


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("", "no name"),
        ("os:system", "there is no such sink"),
        ("gateway.sinks.null:NullSink", "there is no such sink"),
        ("level:?volume=1", "no option 'volume'"),
        ("recorder:?format=aiff", "format"),
        ("wav:/etc/recordings", "must stand in the settings"),
        ("vosk:?url=ws://10.0.0.1/", "must stand in the settings"),
        ("pocketsphinx:?grammar=/etc/passwd", "must stand in the settings"),
    ],
)
async def test_nothing_else_may(tmp_path: Path, url: str, complaint: str) -> None:
    async with services(tmp_path) as (opened, _):
        assert opened.find_sink is not None
        with pytest.raises(ConfigError, match=complaint):
            opened.find_sink(url)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"speech": "festival:"}, "GATEWAY_SPEECH: there is no speech service"),
        ({"transcriber": "nobody:"}, "GATEWAY_TRANSCRIBER: there is no such sink"),
    ],
)
async def test_a_wrong_setting_is_named(tmp_path: Path, settings: dict[str, str], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        async with services(tmp_path, **settings):
            pass


async def test_a_transcriber_of_the_settings_may_have_an_address(tmp_path: Path) -> None:
    text = "vosk:?url=ws://127.0.0.1:2700"
    async with services(tmp_path, transcriber=text) as (opened, _):
        assert opened.find_sink is not None
        assert opened.find_sink(text)[0] == "vosk"
