"""Barge-in, measured by what the caller heard: how long the agent is still heard after the caller began to speak.

The caller's beginning is the first frame with speech in it as it leaves for the gateway; the silence begins with the
last sample before it. On the simulator's clock, which does not wait: what is measured is decided by the gateway, and
not by the machine.
"""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.bench_barge_in import beginnings, silences
from tests.gateway.agents.pipeline.chat_server import Answer, text
from tests.gateway.agents.pipeline.talk import in_time_lapse, talk

VAD_WINDOW = 0.1  # seconds: three frames of speech within five
BOUND = 0.06
LONG_STORY = ["Once there was a house on a hill, and nobody had lived in it for a hundred years or more. "] * 8


@pytest.mark.parametrize("vad", ["energy", "webrtc"])
def test_the_agent_is_silent_within_60_ms_and_the_detectors_window(tmp_path: Path, vad: str) -> None:
    @in_time_lapse
    async def test(folder: Path) -> None:
        times = 8
        words = ["Tell me."] + ["No, wait."] * times
        async with talk(folder, Answer(text(*LONG_STORY)), words=words, vad=vad) as there:
            interrupts = [f'interrupt = "sentence.wav"\nafter = {1.0 + 0.037 * number:.3f}' for number in range(times)]
            await there.have('say = "sentence.wav"', *interrupts, "wait = 1")
        assert there.failure is None
        began = beginnings(there.call)[1:]
        assert len(began) == times
        took = silences(there.call, began, lasting=0.5)
        assert np.percentile(took, 95) <= BOUND + VAD_WINDOW
        assert [told["interrupted"] for told in there.told("agent.answered")[:times]] == [True] * times

    test(tmp_path)


@in_time_lapse
async def test_a_cough_silences_as_fast_and_what_was_said_comes_whole(tmp_path: Path) -> None:
    async with talk(tmp_path, Answer(text(*LONG_STORY[:2])), words=["Tell me."]) as there:
        await there.have('say = "sentence.wav"', 'interrupt = "cough.wav"\nafter = 2', "wait = 14")
    (began,) = beginnings(there.call)[1:]
    (took,) = silences(there.call, [began], lasting=0.2)
    assert took <= BOUND + VAD_WINDOW
    assert there.told("agent.answered") == [{"text": "".join(LONG_STORY[:2]).strip(), "interrupted": False}]
    characters = sum(map(len, there.speaker.texts))
    assert there.heard_seconds() == pytest.approx(characters * 0.06, abs=0.1)
