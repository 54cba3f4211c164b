"""The media services at the caller's ear: asked for over HTTP, heard by the simulator's caller, in time lapse."""

import asyncio
import base64
import io
import json
import shutil
import wave
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import aiohttp
import numpy as np
import pytest

from audio_codecs import Samples, decode_ulaw, encode_ulaw
from gateway.media.resample import Resampler
from gateway.simulator import SimulatedCall
from gateway.simulator.casting import InlineScript
from gateway.speech.espeak import EspeakSpeech
from tests.fakes import noise
from tests.integration.test_faults import API_KEY, Bench, bench, in_time_lapse

RATE = 8000


def wav(samples: Samples) -> str:
    octets = io.BytesIO()
    with wave.open(octets, "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    return base64.b64encode(octets.getvalue()).decode()


def decibels(samples: Samples) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(samples.astype(float) ** 2)) + 1e-9))


class Desk:
    """Whoever asks for services, of one call."""

    def __init__(self, there: Bench, call: SimulatedCall, http: aiohttp.ClientSession) -> None:
        self.call = call
        self._url = f"{there.gateway.http_url}/v1/calls/{call.leg.call_control_id}"
        self._http = http

    async def ask(self, path: str, body: Any = None) -> Any:
        async with self._http.post(self._url + path, json=body or {}) as answer:
            told = await answer.json()
            assert answer.status == 200, told
            return told

    async def streaming(self) -> None:
        """Wait until there is somebody to hear."""
        while True:
            async with self._http.get(self._url + "/plays") as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(0.1)

    async def event(self, event_type: str) -> dict[str, Any]:
        """Wait for an event of the call."""
        async with self._http.get(self._url + "/events") as answer:
            async for line in answer.content:
                if line.startswith(b"data:") and (event := json.loads(line[5:]))["event_type"] == event_type:
                    return dict(event["data"])
        raise AssertionError(f"no {event_type}")


@asynccontextmanager
async def desk(
    folder: Path,
    *,
    script: str | None = None,
    speech: Samples | None = None,
    settings: Mapping[str, Any] = MappingProxyType({}),
) -> AsyncIterator[Desk]:
    """A call that is streamed, of somebody who follows a script or says something."""
    headers = {"Authorization": f"Bearer {API_KEY}"}
    async with (
        bench(folder, **({"agent": None, "sinks": ()} | dict(settings))) as there,
        aiohttp.ClientSession(headers=headers) as http,
    ):
        hook = f"{there.gateway.http_url}/webhooks/telnyx"
        acts: dict[str, Any] = (
            {"speech": speech, "silence_after": 0.4} if script is None else {"script": InlineScript(toml=script)}
        )
        call = there.simulator.place_call(from_="+15550100001", to="+15550100002", webhook_url=hook, **acts)
        asker = Desk(there, call, http)
        await asker.streaming()
        yield asker


def steps(*lines: str) -> str:
    return "".join(f"[[step]]\n{line}\n" for line in (*lines, "hang_up = true"))


def heard_seconds(call: SimulatedCall) -> float:
    return sum(length for _, length in call.journal.heard.pieces) / RATE


ENDINGS = {
    "valid": (steps("wait = 1.5", 'press = "12#"', "wait = 1"), {"minimum_digits": 2}),
    "invalid": (steps("wait = 1.5", 'press = "1#"', "wait = 1"), {"minimum_digits": 2}),
    "timeout": (steps("wait = 6"), {"initial_timeout_millis": 2000}),
    "call_hangup": (steps("wait = 1.5", 'press = "1"', "wait = 0.5"), {}),
}


@pytest.mark.parametrize(
    ("status", "digits"), [("valid", "12"), ("invalid", "1"), ("timeout", ""), ("call_hangup", "1")]
)
def test_a_gathers_result_for_each_ending(tmp_path: Path, status: str, digits: str) -> None:
    script, asked = ENDINGS[status]

    @in_time_lapse
    async def gather(folder: Path) -> None:
        async with desk(folder, script=script) as asker:
            await asker.ask("/gather", asked | {"gather_id": "pin"})
            ended = await asker.event("gather.ended")
            assert ended == {"gather_id": "pin", "digits": digits, "status": status}
            await asker.call.wait_finished()

    gather(tmp_path)


@in_time_lapse
async def test_a_prompt_from_a_file_is_cut_by_the_first_key(tmp_path: Path) -> None:
    media = tmp_path / "media"
    media.mkdir()
    (media / "prompt.wav").write_bytes(base64.b64decode(wav(noise(8 * RATE))))
    script = steps("wait = 2", 'press = "7"', "wait = 3")
    async with desk(tmp_path / "data", script=script, settings={"media_dir": media}) as asker:
        await asker.ask("/gather", {"media_name": "prompt.wav", "maximum_digits": 1})
        assert (await asker.event("gather.ended"))["digits"] == "7"
        cut = await asker.event("playback.ended")
        await asker.call.wait_finished()
        call = asker.call
        assert cut["status"] == "cancelled"
        assert 0.2 < heard_seconds(call) < 3.0  # of eight seconds
        assert heard_seconds(call) == pytest.approx(cut["heard_ms"] / 1000, abs=0.1)
        ((start, length),) = call.journal.heard.pieces
        expected = decode_ulaw(encode_ulaw(noise(8 * RATE)))[:length]
        assert np.array_equal(call.journal.heard.samples()[start : start + length], expected)


@in_time_lapse
async def test_a_file_is_heard_sample_for_sample_as_often_as_asked(tmp_path: Path) -> None:
    said = noise(RATE)
    async with desk(tmp_path, script=steps("wait = 5")) as asker:
        await asker.ask("/play", {"playback_content": wav(said), "loop": 2})
        ended = await asker.event("playback.ended")
        await asker.call.wait_finished()
        pieces = asker.call.journal.heard.pieces
        line = asker.call.journal.heard.samples()
        heard = np.concatenate([line[start : start + length] for start, length in pieces])
        assert (ended["status"], ended["heard_ms"]) == ("completed", 2000)
        assert np.array_equal(heard, decode_ulaw(encode_ulaw(np.tile(said, 2))))


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
@in_time_lapse
async def test_speech_is_heard_at_its_level_and_length(tmp_path: Path) -> None:
    text = "Your table is booked for eight."
    async with desk(tmp_path, script=steps("wait = 6"), settings={"speech": "espeak:?speed=170"}) as asker:
        await asker.ask("/speak", {"payload": text})
        assert (await asker.event("speak.ended"))["status"] == "completed"
        await asker.call.wait_finished()
        spoken = np.concatenate([samples async for samples in EspeakSpeech(speed=170).speak(text)])
        resampler = Resampler(EspeakSpeech.sample_rate, RATE)
        wanted = np.concatenate([resampler.push(spoken), resampler.flush()])
        heard = asker.call.journal.heard
        assert heard_seconds(asker.call) == pytest.approx(len(wanted) / RATE, abs=0.05)
        assert decibels(heard.samples()[heard.pieces[0][0] :]) == pytest.approx(decibels(wanted), abs=0.5)


@in_time_lapse
async def test_the_callers_noise_is_suppressed_by_so_many_decibels(tmp_path: Path) -> None:
    pytest.importorskip("webrtc_noise_gain")
    hiss = np.random.default_rng(3).normal(0, 400, 8 * RATE).astype(np.int16)
    async with desk(tmp_path, speech=hiss, settings={"sinks": ("recorder",)}) as asker:
        await asyncio.sleep(1.5)
        await asker.ask("/suppress_noise", {"level": 3})
        saved = await asker.event("recording.saved")
        sidecar, sound = recording(tmp_path, saved["recording_id"])
    assert sidecar["report"]["received"]["packets_lost"] == 0
    loud, quiet = sound[: RATE // 2, 0], sound[6 * RATE : 7 * RATE, 0]
    assert decibels(loud) == pytest.approx(decibels(hiss), abs=0.5)
    assert 14 < decibels(loud) - decibels(quiet) < 22


def recording(folder: Path, recording_id: str) -> tuple[dict[str, Any], Samples]:
    place = folder / "recordings" / recording_id
    with wave.open(str(place / "recording.wav")) as file:
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    return json.loads((place / "recording.json").read_text()), sound


@in_time_lapse
async def test_a_paused_recording_keeps_its_time_line(tmp_path: Path) -> None:
    said = noise(6 * RATE)
    async with desk(tmp_path, speech=said) as asker:
        await asyncio.sleep(0.5)
        recording_id = (await asker.ask("/record"))["recording_id"]
        await asyncio.sleep(1.0)
        await asker.ask("/record/pause")
        await asyncio.sleep(1.0)
        await asker.ask("/record/resume")
        await asyncio.sleep(1.0)
        await asker.ask("/record/stop", {"recording_id": recording_id})
        saved = await asker.event("recording.saved")
        assert saved["recording_id"] == recording_id
        sidecar, sound = recording(tmp_path, recording_id)
        line = asker.call.journal.said.samples()
    left = sound[:, 0]
    ((start, length),) = sidecar["pauses"]
    assert 2.0 < sidecar["duration"] < 5.0
    assert 0.5 * RATE < length < 2.0 * RATE
    assert not left[start : start + length].any()
    (begin,) = [at for at in range(0, len(line) - 160, 160) if np.array_equal(line[at : at + 160], left[:160])]
    assert np.array_equal(left[:start], line[begin : begin + start])
    assert np.array_equal(left[start + length :], line[begin + start + length : begin + len(left)])
