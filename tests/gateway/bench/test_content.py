from pathlib import Path

import numpy as np
import pytest

from audio_codecs import Wire, open_codec
from gateway.bench.content import FRAME, make_content, read_speech
from gateway.errors import ConfigError
from gateway.simulator.wav import write_wav
from tests.gateway.bench.far_side import content


@pytest.mark.parametrize(
    ("encoding", "clock_rate", "byte_order"),
    [("PCMU", 8000, "little"), ("PCMA", 8000, "little"), ("L16", 8000, "little"), ("L16", 16000, "big")],
)
def test_a_numbered_frame_survives_decoding_and_encoding_and_is_the_only_one(
    encoding: str, clock_rate: int, byte_order: str
) -> None:
    made = content(encoding, clock_rate, byte_order)
    codec = open_codec(encoding, clock_rate, wire=Wire(made.byte_order))
    assert made.numbered
    assert all(codec.encode(codec.decode(payload)) == payload for payload in made.payloads)
    size = 12 * (2 if encoding == "L16" else 1)
    assert len({payload[:size] for payload in made.payloads}) == len(made.payloads)


def test_the_number_is_not_heard() -> None:
    made = content("L16", 8000)
    said = open_codec("L16", 8000).decode(b"".join(made.payloads))
    assert np.abs(said.astype(int) - made.samples).max() <= 1


@pytest.mark.parametrize(("encoding", "clock_rate"), [("G722", 8000), ("OPUS", 16000)])
def test_other_codecs_are_encoded_frame_by_frame(encoding: str, clock_rate: int) -> None:
    made = content(encoding, clock_rate)
    assert not made.numbered
    assert len(made.payloads) == len(made.samples) / (made.sample_rate * FRAME)


async def test_without_a_file_a_sentence_is_said() -> None:
    samples = await read_speech(None, encoding="PCMU", clock_rate=8000)
    made = make_content(samples, encoding="PCMU", clock_rate=8000)
    assert {len(payload) for payload in made.payloads} == {160}
    assert 250 <= len(made.payloads) < 4096


async def test_a_file_is_read_at_the_rate_of_the_codec(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(write_wav(np.full(8000, 1000, np.int16), sample_rate=8000))
    assert abs(len(await read_speech(path, encoding="G722", clock_rate=8000)) - 16_000) < 100


def test_a_short_sound_is_filled_up_so_that_its_echoes_can_be_told_apart() -> None:
    made = make_content(np.full(100, 1000, np.int16), encoding="PCMU", clock_rate=8000)
    assert len(made.payloads) == 5 / FRAME


def test_of_a_long_one_a_minute_is_said() -> None:
    made = make_content(np.full(8000 * 70, 1000, np.int16), encoding="PCMU", clock_rate=8000)
    assert len(made.payloads) == 60 / FRAME


def test_where_there_is_no_sound_there_is_nothing_to_say() -> None:
    with pytest.raises(ConfigError, match="--wav: it holds no sound"):
        make_content(np.zeros(800, np.int16), encoding="PCMU", clock_rate=8000)


@pytest.mark.parametrize(
    ("wav", "encoding", "problem"), [(Path("nowhere.wav"), "PCMU", "--wav"), (None, "GSM", "--codec")]
)
async def test_what_cannot_be_said_is_refused(wav: Path | None, encoding: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        await read_speech(wav, encoding=encoding, clock_rate=8000)
