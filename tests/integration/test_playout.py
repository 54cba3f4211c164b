"""What an agent says, held against what the simulator's caller heard: over loopback, in real time."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from audio_codecs import Samples, decode_ulaw, encode_mp3, encode_ulaw
from gateway import Call, PlaybackFinished
from tests.fakes import acting, noise
from tests.gateway.sound.test_wav import wav
from tests.gateway.test_gateway import account, make, place_call, telnyx


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


def through_pcmu(samples: Samples) -> Samples:
    return decode_ulaw(encode_ulaw(samples))


async def test_the_ledger_says_what_was_heard(tmp_path: Path) -> None:
    greeting, story = noise(8000), noise(80_000, seed=2)
    path = tmp_path / "greeting.wav"
    path.write_bytes(wav(greeting.tobytes()))
    finished: list[PlaybackFinished] = []

    async def speak(call: Call) -> None:
        play = call.play(path)
        await asyncio.sleep(0.5)
        call.pause()
        await asyncio.sleep(0.2)
        call.resume()
        finished.append(await play)
        play = call.play(story, 8000)
        await asyncio.sleep(0.5)
        call.clear()
        finished.append(await play)
        finished.append(await call.send_dtmf("5", duration_ms=60, gap_ms=60))

    async with (
        telnyx() as simulator,
        make(tmp_path, **account(simulator), sinks=(), answer_with=acting(speak)) as gateway,
    ):
        call = place_call(simulator, gateway, 2.6)
        await call.wait_finished()
    line = call.journal.heard.samples()
    heard = np.concatenate([line[start : start + length] for start, length in call.journal.heard.pieces])
    first, second, third = finished
    assert (first.heard, first.interrupted, first.estimated) == (1000, False, False)
    told = 8 * (first.heard + second.heard + third.heard)
    assert abs(len(heard) - told) <= 8 * 100  # a tick here and there, where the pause and `clear` fell
    assert (second.interrupted, second.estimated) == (True, False)
    assert 300 <= second.heard <= 560
    # Word for word, but for what a pause within 20 ms may cut or say again.
    assert np.array_equal(heard[:3000], through_pcmu(greeting)[:3000])
    words = through_pcmu(story)
    begin = next(at for at in range(7600, 8800) if np.array_equal(heard[at : at + 80], words[:80]))
    kept = len(heard) - begin - 960
    assert np.array_equal(heard[begin : begin + kept - 400], words[: kept - 400])


async def test_whole_files_are_heard_in_mode_mp3(tmp_path: Path) -> None:
    pytest.importorskip("av")
    finished: list[PlaybackFinished] = []

    async def speak(call: Call) -> None:
        time = np.arange(5600) / 8000
        tone = (8000 * np.sin(2 * np.pi * 440 * time)).astype(np.int16)
        plays = [call.play(encode_mp3(tone, 8000)), call.play(tone, 8000)]
        finished.extend([await play for play in plays])

    async with telnyx() as simulator:
        fields = account(simulator) | {"stream_mode": "mp3"}
        async with make(tmp_path, **fields, sinks=(), answer_with=acting(speak)) as gateway:
            call = place_call(simulator, gateway, 2.4)
            await call.wait_finished()
    assert [(one.interrupted, one.estimated) for one in finished] == [(False, False)] * 2
    heard = sum(length for _, length in call.journal.heard.pieces)
    assert heard == pytest.approx(8 * sum(one.heard for one in finished), abs=2000)
