"""The level meter as a sink."""

import math
from pathlib import Path

import numpy as np
import pytest
import structlog
from structlog.testing import capture_logs

from audio_codecs import Samples
from gateway.sinks.level import level
from gateway.sinks.url import SinkConfig
from tests.gateway.sinks.streams import Sinks, cut


def config(**options: str) -> SinkConfig:
    return SinkConfig(path="", options=options, data_dir=Path(), log=structlog.get_logger())


def sine(amplitude: int, seconds: float, sample_rate: int = 8000) -> Samples:
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    sound: Samples = np.rint(amplitude * np.sin(2 * np.pi * 1000 * time)).astype(np.int16)
    return sound


async def test_each_side_of_a_call_has_its_level_in_the_report() -> None:
    with capture_logs() as logs:
        sinks = Sinks({"level": level(config())})
        async with sinks.running():
            sinks.write(*cut(sine(16_384, 3.0)), *cut(sine(1638, 3.01), "played"), *cut(sine(30_000, 1.0), "outbound"))
    told = sinks.told("level")
    assert told["inbound"]["level_dbfs"] == pytest.approx(20 * math.log10(0.5 / math.sqrt(2)), abs=0.1)
    assert told["played"]["level_dbfs"] == pytest.approx(20 * math.log10(0.05 / math.sqrt(2)), abs=0.1)
    assert told["inbound"]["peak_dbfs"] == pytest.approx(-6.0, abs=0.1)
    assert "outbound" not in told
    assert logs == []


async def test_with_an_interval_the_levels_are_logged_on_the_calls_own_time() -> None:
    with capture_logs() as logs:
        sinks = Sinks({"level": level(config(interval="2"))})
        async with sinks.running():
            sinks.write(*cut(sine(16_384, 9.0)))
    lines = [line for line in logs if line["event"] == "sound levels"]
    assert len(lines) == 4
    assert {line["stream_id"] for line in lines} == {"stream-1"}
    assert all(line["inbound"]["level_dbfs"] == pytest.approx(-9.0, abs=0.1) for line in lines)


@pytest.mark.parametrize(
    "options", [{"interval": "often"}, {"interval": "-1"}, {"interval": "inf"}, {"intervall": "1"}]
)
def test_options_that_it_does_not_know_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="interval"):
        level(config(**options))
