"""The recogniser on this machine, with speech that espeak-ng makes, at telephone rate and through G.711."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog

from audio_codecs import Samples, decode_ulaw, encode_ulaw
from gateway.media.resample import Resampler
from gateway.sinks.base import SinkSource
from gateway.sinks.process import WorkerProcesses
from gateway.sinks.url import SinkConfig, SinkUrl
from gateway.transcribe.opening import open_transcriber
from gateway.transcribe.pocketsphinx import local_source
from gateway.transcribe.segment import Segment
from tests.gateway.sinks.streams import Sinks, cut, stream_info

pytest.importorskip("pocketsphinx", reason="the extra asr-local is not installed")

URL = "pocketsphinx:?phrases=billing,operator,yes,no"


def source(url: str) -> SinkSource:
    parsed = SinkUrl.parse(url)
    return local_source(
        SinkConfig(path=parsed.path, options=parsed.options, data_dir=Path(), log=structlog.get_logger())
    )


def spoken(*phrases: str) -> Samples:
    """Phrases with a second of near silence about each, as they come from a telephone."""
    if shutil.which("espeak-ng") is None:
        pytest.skip("there is no espeak-ng")
    quiet = np.random.default_rng(1).integers(-20, 20, 8000).astype(np.int16)
    parts = [quiet]
    for phrase in phrases:
        wav = subprocess.run(
            ["espeak-ng", "-v", "en-us", "-s", "140", "--stdout", phrase], capture_output=True, check=True, timeout=20
        ).stdout
        parts += [Resampler(22_050, 8000).push(np.frombuffer(wav[44:], "<i2").astype(np.int16)), quiet]
    return decode_ulaw(encode_ulaw(np.concatenate(parts)))


async def test_what_the_grammar_has_is_understood_in_its_place_in_a_process_of_its_own() -> None:
    segments: list[Segment] = []

    def publish(event_type: str, data: Any) -> None:
        segments.append(Segment.read(data))

    sound = spoken("billing", "operator")
    async with WorkerProcesses() as processes:
        sinks = Sinks({"local": source(URL)}, processes=processes)
        async with sinks.running(stream_info(publish=publish)):
            sinks.write(*cut(sound))
        told = sinks.told("local")
        assert [segment.text for segment in segments] == ["billing", "operator"]
        assert (told["state"], told["finals"]) == ("closed", 2)
        assert {(segment.final, segment.transcriber) for segment in segments} == {(True, "pocketsphinx")}
        assert 0.7 < segments[0].start < 1.3
        assert segments[0].end < segments[1].start < segments[1].end < len(sound) / 8000

        again: list[Segment] = []
        async with open_transcriber(
            "pocketsphinx:?keyphrases=operator", stream_info(), on_segment=again.append, processes=processes
        ) as sink:
            for frame in cut(Resampler(8000, 16_000).push(sound), sample_rate=16_000):
                await sink.write(frame)
        assert [segment.text for segment in again] == ["operator"]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("", "one of the options"),
        ("?phrases=yes&keyphrases=no", "one of the options"),
        ("?language=de", "no option 'language'"),
        ("?phrases=", "phrases is empty"),
        ("?phrases=yes,%23include", "'#include' is more than words"),
        ("?phrases=qwrtz", "the dictionary has no word 'qwrtz'"),
        ("?keyphrases=yes/2", "'2' is not above 0"),
        ("?grammar=/nowhere/at/all", "No such file"),
    ],
)
def test_what_cannot_be_is_refused_as_the_gateway_starts(options: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        source("pocketsphinx:" + options)
