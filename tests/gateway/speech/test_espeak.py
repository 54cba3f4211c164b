"""espeak-ng, where it is installed."""

import asyncio
import shutil
from pathlib import Path

import numpy as np
import pytest

from audio_codecs import Samples
from gateway.errors import SpeechError
from gateway.speech import espeak
from gateway.speech.espeak import EspeakSpeech

installed = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")


async def spoken(speech: EspeakSpeech, text: str, **how: str) -> Samples:
    return np.concatenate([samples async for samples in speech.speak(text, **how)])


def program(folder: Path, script: str) -> str:
    """A program of our own in its place."""
    path = folder / "espeak"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    return str(path)


@installed
async def test_a_text_is_spoken() -> None:
    short = await spoken(EspeakSpeech(), "Hello.")
    long = await spoken(EspeakSpeech(), "Hello. The number you have called is not in service.")
    rate = EspeakSpeech.sample_rate
    assert short.dtype == np.int16
    assert 0.3 < len(short) / rate < 1.5
    assert 2.0 < len(long) / rate < 6.0
    assert np.abs(short).max() > 3000


@installed
async def test_a_language_and_a_voice_change_what_is_heard() -> None:
    speech = EspeakSpeech()
    english = await spoken(speech, "Information")
    german = await spoken(speech, "Information", voice="de")
    assert not np.array_equal(english, german)
    assert np.array_equal(german, await spoken(speech, "Information", language="de"))


@installed
async def test_a_text_is_no_option_and_no_markup() -> None:
    assert len(await spoken(EspeakSpeech(), "--version <break time='9s'/> $(date)")) > 20_000


@pytest.mark.parametrize("voice", ["../../etc/passwd", "-w", "mb/mb-en1", "", "x" * 65])
def test_a_voice_is_a_name(voice: str) -> None:
    with pytest.raises(SpeechError, match=r"voice's name|not installed"):
        EspeakSpeech(voice=voice)


@installed
async def test_a_voice_that_there_is_not_is_told() -> None:
    with pytest.raises(SpeechError, match="xx-nowhere"):
        await spoken(EspeakSpeech(), "Hello", voice="xx-nowhere")


@pytest.mark.parametrize(("text", "complaint"), [(" \n", "no text"), ("x" * 3001, "3001 characters, limit 3000")])
async def test_nothing_and_too_much_are_refused(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(SpeechError, match=complaint):
        await spoken(EspeakSpeech(program=program(tmp_path, "exit 0")), text)


def test_where_it_is_not_installed_it_says_so() -> None:
    with pytest.raises(SpeechError, match="apt-get install espeak-ng"):
        EspeakSpeech(program="espeak-of-nowhere")


async def test_a_program_that_hangs_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(espeak, "_TIMEOUT", 0.2)
    speech = EspeakSpeech(program=program(tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 60"))
    with pytest.raises(SpeechError, match="not done within"):
        await spoken(speech, "Hello")
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


async def test_a_call_that_ends_kills_its_program(tmp_path: Path) -> None:
    speech = EspeakSpeech(program=program(tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 60"))
    task = asyncio.ensure_future(spoken(speech, "Hello"))
    for _ in range(500):
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip():
            break
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


async def test_what_is_no_sound_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpeechError, match="speaks at 0 Hz"):
        await spoken(EspeakSpeech(program=program(tmp_path, "echo no sound")), "Hello")
    with pytest.raises(SpeechError, match="failed with status 3"):
        await spoken(EspeakSpeech(program=program(tmp_path, "exit 3")), "Hello")
