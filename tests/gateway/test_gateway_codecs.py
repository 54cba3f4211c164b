"""What the gateway is told to speak, it can speak, or it does not start."""

import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.config import Settings
from gateway.errors import ConfigError
from gateway.gateway import Gateway


def gateway(data: Path, **settings: Any) -> Gateway:
    return Gateway(Settings(data_dir=data, api_key="k" * 20, **settings))


@pytest.mark.parametrize(("codec", "rate"), [("G722", 8000), ("OPUS", 8000), ("OPUS", 16_000), ("OPUS", 48_000)])
def test_a_codec_that_is_there_can_be_asked_for(tmp_path: Path, codec: str, rate: int) -> None:
    gateway(tmp_path, stream_codec=codec, stream_sample_rate=rate)


@pytest.mark.parametrize(
    ("codec", "rate", "saying"),
    [
        ("G722", 16_000, "GATEWAY_STREAM_SAMPLE_RATE: G722 has 8000 Hz only"),
        ("OPUS", 22_050, "GATEWAY_STREAM_CODEC: OPUS at 22050 Hz"),
        ("AMR-WB", 48_000, "GATEWAY_STREAM_CODEC: AMR-WB at 48000 Hz"),
    ],
)
def test_a_rate_that_a_codec_does_not_have_is_refused(tmp_path: Path, codec: str, rate: int, saying: str) -> None:
    with pytest.raises(ConfigError, match=saying):
        gateway(tmp_path, stream_codec=codec, stream_sample_rate=rate)


@pytest.mark.parametrize("codec", ["G722", "OPUS", "AMR-WB"])
def test_a_codec_that_is_not_installed_is_refused_with_what_to_install(
    tmp_path: Path, codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ConfigError, match=rf"GATEWAY_STREAM_CODEC: {codec} needs PyAV.*pip install"):
        gateway(tmp_path, stream_codec=codec)


@pytest.mark.parametrize("byte_order", ["little", "big", "auto"])
def test_the_byte_order_of_l16_can_be_set_or_found_out(tmp_path: Path, byte_order: str) -> None:
    gateway(tmp_path, stream_codec="L16", stream_sample_rate=16_000, l16_byte_order=byte_order)
