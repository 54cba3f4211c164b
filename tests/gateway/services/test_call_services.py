"""The media services of one call from outside: what is asked of `Call`, and what wire, sinks and readers get."""

import asyncio
import io
import json
import wave
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog
from structlog.testing import capture_logs

from audio_codecs import Samples, decode_ulaw, encode_ulaw
from gateway.call import EndReason
from gateway.errors import MediaServiceError, PlaybackError, SpeechError
from gateway.media.frame import AudioFrame
from gateway.playback import Playback
from gateway.services.gather import Gathered
from gateway.services.options import ServiceOptions
from gateway.sinks.base import StreamInfo
from gateway.sinks.delivery import Delivery
from gateway.sinks.recorder import Recorder, RecordingOptions
from tests.fakes import FakeLine, ListSink, noise, settle

SILENCE = encode_ulaw(np.zeros(160, np.int16))
RATE = 8000


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


class Line(FakeLine):
    """A call whose events are kept."""

    def __init__(self, services: ServiceOptions | None = None, **options: Any) -> None:
        self.events: list[tuple[str, Mapping[str, Any]]] = []
        super().__init__(services=services or ServiceOptions(), publish=self.publish, **options)

    def publish(self, call_control_id: str, event_type: str, data: Mapping[str, Any]) -> None:
        assert call_control_id == "v3:call"
        self.events.append((event_type, dict(data)))

    def told(self, event_type: str) -> list[Mapping[str, Any]]:
        return [data for kind, data in self.events if kind == event_type]

    async def pass_time(self, seconds: float) -> None:
        """Let the time pass in steps, so that tasks can do what they do then."""
        for _ in range(round(seconds / 0.1)):
            self.wait(0.1)
            await settle()

    async def key(self, digit: str) -> None:
        """A key, and the time until it is told."""
        self.press(digit)
        await self.pass_time(0.1)


# --- gather -----------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def gathering(line: Line, **options: Any) -> AsyncIterator["asyncio.Task[Gathered]"]:
    task = asyncio.ensure_future(line.call.gather(**options))
    await settle()
    yield task


async def chunks(seconds: float) -> AsyncGenerator[Samples]:
    """Noise as it comes, without a thread, whose time is not the call's."""
    for number in range(round(seconds / 0.1)):
        yield noise(RATE // 10, seed=number)


def prompt(line: Line, seconds: float, name: str = "prompt") -> Callable[[], Playback]:
    return lambda: line.call.play(chunks(seconds), RATE, name=name)


async def test_keys_are_gathered() -> None:
    line = Line()
    async with line.running(), gathering(line, max_digits=3) as task:
        for digit in "123":
            await line.key(digit)
        assert await task == Gathered("123", "valid")
    (ended,) = line.told("gather.ended")
    assert (ended["digits"], ended["status"]) == ("123", "valid")


async def test_the_first_key_cuts_the_prompt_and_nothing_else() -> None:
    line = Line()
    async with line.running():
        before = prompt(line, 0.2, "before")()
        async with gathering(line, prompt=prompt(line, 5.0), max_digits=1) as task:
            after = prompt(line, 0.2, "after")()
            await line.pass_time(1.0)
            assert "clear" not in line.script()
            line.press("5")
            await line.pass_time(0.1)
            assert line.script().count("clear") == 1
            assert await task == Gathered("5", "valid")
        await line.pass_time(1.0)
        assert (await before).interrupted is False
        assert (await after).interrupted is False
    (cut,) = [data for data in line.told("playback.ended") if data["status"] == "cancelled"]
    assert 500 < cut["heard_ms"] < 1100


async def test_timeouts_count_from_the_prompts_end_and_lead_to_further_tries() -> None:
    line = Line()
    asked: list[str] = []

    def ask(name: str) -> Playback:
        asked.append(name)
        return prompt(line, 1.0, name)()

    async with line.running():
        options = {"prompt": lambda: ask("prompt"), "invalid_prompt": lambda: ask("invalid")}
        async with gathering(line, **options, initial_timeout=2.0, maximum_tries=2) as task:
            await line.pass_time(2.8)
            assert asked == ["prompt"]
            await line.pass_time(0.8)
            assert asked == ["prompt", "invalid"]
            await line.pass_time(1.2)
            assert asked == ["prompt", "invalid", "prompt"]
            await line.pass_time(4.0)
            assert await task == Gathered("", "timeout")


async def test_one_gather_at_a_time() -> None:
    line = Line()
    async with line.running(), gathering(line) as task:
        with pytest.raises(MediaServiceError, match="under way") as refused:
            await line.call.gather()
        assert refused.value.status == 409
        assert line.call.gather_stop()
        assert not line.call.gather_stop()
        assert (await task).status == "cancelled"
        async with gathering(line, max_digits=1) as another:
            await line.key("1")
            assert (await another).digits == "1"


async def test_a_gather_ends_with_its_call() -> None:
    line = Line()
    async with line.running(), gathering(line, prompt=prompt(line, 2.0)) as task:
        await line.key("1")
        line.call.end(EndReason.STOP)
        assert await task == Gathered("1", "call_hangup")
    assert (await line.call.gather()).status == "call_hangup"


async def test_leaving_a_gather_cancels_it_and_its_prompt() -> None:
    line = Line()
    async with line.running(), gathering(line, prompt=prompt(line, 5.0)) as task:
        await line.pass_time(0.3)
        task.cancel()
        await settle()
        assert line.script()[-1] == "clear"
        assert line.told("gather.ended")[0]["status"] == "cancelled"


async def test_a_prompt_that_cannot_be_played_ends_the_gather() -> None:
    line = Line()
    async with line.running(), gathering(line, prompt=b"no sound") as task:
        for _ in range(200):  # it is read in a thread
            await asyncio.sleep(0.01)
            if task.done():
                break
        with pytest.raises(MediaServiceError, match=r"the prompt cannot be played: .*neither a WAV"):
            await task
    assert "neither a WAV" in line.told("gather.ended")[0]["error"]


async def test_a_prompt_that_raises_ends_the_gather_and_not_the_call() -> None:
    line = Line()

    def ask() -> Playback:
        if line.told("playback.ended"):
            raise ZeroDivisionError("a bug")
        return prompt(line, 0.2)()

    async with line.running(), gathering(line, prompt=ask, initial_timeout=1.0) as task:
        await line.pass_time(3.0)
        with pytest.raises(ZeroDivisionError):
            await task
        assert line.call.end_reason is None
    assert line.told("gather.ended")[0]["status"] == "cancelled"


# --- say and play -----------------------------------------------------------------------------------------------------


class Speaking:
    """A speech service that speaks the same noise for every letter."""

    sample_rate = 16_000

    def __init__(self, fails_after: int | None = None) -> None:
        self.asked: list[tuple[str, str | None, str | None]] = []
        self.closed = 0
        self.fails_after = fails_after

    async def speak(
        self, text: str, *, voice: str | None = None, language: str | None = None
    ) -> AsyncGenerator[Samples]:
        self.asked.append((text, voice, language))
        try:
            for number in range(len(text)):
                if number == self.fails_after:
                    raise SpeechError("out of breath")
                yield noise(1600, seed=number)
                await asyncio.sleep(0)
        finally:
            self.closed += 1


async def test_a_text_is_spoken_and_its_beginning_and_end_told() -> None:
    speech, heard = Speaking(), ListSink("played")
    line = Line(ServiceOptions(speech=speech), sinks={"heard": heard.factory})
    async with line.running():
        playback = line.call.say("ten chars.", voice="nova", language="en-GB")
        await line.pass_time(1.5)
        finished = await playback
    assert speech.asked == [("ten chars.", "nova", "en-GB")]
    assert (finished.heard, finished.interrupted) == (1020, False)  # the converter's tail fills one more frame
    assert len(heard.sound()) == 8160
    assert line.told("speak.started") == [{}]
    assert [data["status"] for data in line.told("speak.ended")] == ["completed"]


async def test_speech_that_is_cut_off_stops_its_service() -> None:
    speech = Speaking()
    line = Line(ServiceOptions(speech=speech))
    async with line.running():
        playback = line.call.say("x" * 100)
        await line.pass_time(0.5)
        assert speech.closed == 0
        playback.cancel()
        await settle()
        assert speech.closed == 1
    assert line.told("speak.ended")[0]["status"] == "cancelled"


async def test_speech_that_fails_ends_its_play_and_says_why() -> None:
    line = Line(ServiceOptions(speech=Speaking(fails_after=2)))
    async with line.running():
        playback = line.call.say("five!")
        await line.pass_time(3.0)
        with pytest.raises(PlaybackError, match="out of breath"):
            await playback
    (ended,) = line.told("speak.ended")
    assert (ended["status"], "out of breath" in ended["error"]) == ("failed", True)


async def test_without_a_speech_service_nothing_is_spoken() -> None:
    line = Line()
    async with line.running():
        with pytest.raises(MediaServiceError, match="GATEWAY_SPEECH") as refused:
            line.call.say("hello")
        assert refused.value.status == 503


async def test_a_sound_is_played_as_often_as_asked() -> None:
    heard = ListSink("played")
    line = Line(sinks={"heard": heard.factory})
    said = noise(1600)
    async with line.running():
        playback = line.call.play(said, RATE, loop=3)
        for _ in range(100):
            await asyncio.sleep(0.005)
            await line.pass_time(0.1)
            if playback.done():
                break
        assert (await playback).heard == 600
    assert np.array_equal(heard.sound(), np.tile(said, 3))


async def test_what_loops_for_ever_is_stopped_by_clear() -> None:
    line = Line()
    async with line.running():
        playback = line.call.play(noise(160), RATE, loop="infinity", name="music")
        for _ in range(10):
            await asyncio.sleep(0.005)
            await line.pass_time(0.1)
        assert [play.name for play in line.call.playing()] == ["music"]
        line.call.clear()
        assert (await playback).interrupted
        assert line.call.playing() == []


@pytest.mark.parametrize("loop", [0, 101, -1])
async def test_a_loop_that_cannot_be_is_refused(loop: Any) -> None:
    line = Line()
    with pytest.raises(PlaybackError, match="loop is"):
        line.call.play(noise(160), RATE, loop=loop)


async def test_a_generator_is_played_once_only() -> None:
    line = Line()
    with pytest.raises(PlaybackError, match="once only"):
        line.call.play(Speaking().speak("x"), RATE, loop=2)


async def test_a_url_is_fetched_and_played() -> None:
    fetched: list[str] = []

    async def fetch(url: str) -> bytes:
        fetched.append(url)
        octets = io.BytesIO()
        with wave.open(octets, "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", ""))
            file.writeframes(noise(3200).tobytes())
        return octets.getvalue()

    line = Line(ServiceOptions(fetch=fetch))
    async with line.running():
        playback = line.call.play("https://sounds.example/hello.wav", loop=2)
        for _ in range(100):
            await asyncio.sleep(0.005)
            await line.pass_time(0.1)
            if playback.done():
                break
        assert (await playback).heard == 800
    assert fetched == ["https://sounds.example/hello.wav"]


# --- recordings -------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def recording_line(folder: Path) -> AsyncIterator[Line]:
    async with Recorder(folder, log=structlog.get_logger()) as recorder:
        line = Line(ServiceOptions(recorder=recorder))
        async with line.running():
            yield line


def recorded(folder: Path, recording_id: str) -> tuple[Samples, Mapping[str, Any]]:
    sidecar = json.loads((folder / recording_id / "recording.json").read_text())
    octets = (folder / recording_id / sidecar["file"]).read_bytes()
    samples = np.frombuffer(octets[octets.index(b"data") + 8 :], "<i2")[: 2 * sidecar["samples"]]
    return samples.reshape(-1, 2), sidecar


async def saved(line: Line, count: int) -> list[Mapping[str, Any]]:
    for _ in range(300):
        if len(line.told("recording.saved")) == count:
            break
        await asyncio.sleep(0.01)
    return line.told("recording.saved")


def say(line: Line, first: int, count: int) -> Samples:
    """Packets of noise; what they decode to."""
    payloads = [encode_ulaw(noise(160, seed=number)) for number in range(first, first + count)]
    for payload in payloads:
        line.say(payload)
    return decode_ulaw(b"".join(payloads))


async def test_a_paused_recording_keeps_its_time_line(tmp_path: Path) -> None:
    async with recording_line(tmp_path) as line:
        say(line, 0, 10)
        recording_id = await line.call.record_start()
        await settle()
        first = say(line, 10, 50)
        assert line.call.record_pause() == [recording_id]
        say(line, 60, 25)
        line.call.record_resume()
        third = say(line, 85, 25)
        assert line.call.record_stop() == [recording_id]
        say(line, 110, 10)
        assert line.call.record_stop() == []
        (event,) = await saved(line, 1)
    samples, sidecar = recorded(tmp_path, recording_id)
    assert (event["recording_id"], event["duration"]) == (recording_id, 2.0)
    assert sidecar["pauses"] == [[8000, 4000]]
    assert sidecar["ended"] == "stop"
    assert np.array_equal(samples[:, 0], np.concatenate((first, np.zeros(4000, np.int16), third)))


async def test_recordings_follow_each_other_and_stand_side_by_side(tmp_path: Path) -> None:
    async with recording_line(tmp_path) as line:
        first = await line.call.record_start()
        say(line, 0, 25)
        line.call.record_stop(first)
        second = await line.call.record_start(RecordingOptions(recording_track="inbound", channels="single"))
        third = await line.call.record_start()
        say(line, 25, 25)
        line.call.record_stop(third)
        say(line, 50, 25)
        line.call.record_stop(second)
        durations = {event["recording_id"]: event["duration"] for event in await saved(line, 3)}
        sinks = line.call.report()["sinks"]
    assert durations == {first: 0.5, second: 1.0, third: 0.5}
    assert [sink["frames_dropped"] for sink in sinks.values()] == [0, 0, 0]


async def test_a_recording_that_is_not_there_is_a_404_and_one_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    async with recording_line(tmp_path) as line:
        with pytest.raises(MediaServiceError, match="no such recording") as refused:
            line.call.record_stop("20260101T000000Z-00000000")
        assert refused.value.status == 404
    with pytest.raises(MediaServiceError, match="has ended"):
        await line.call.record_start()
    with pytest.raises(MediaServiceError, match="nothing is recorded"):
        await Line().call.record_start()


async def test_a_beep_is_heard_as_a_recording_begins(tmp_path: Path) -> None:
    async with recording_line(tmp_path) as line:
        await line.call.record_start(RecordingOptions(play_beep=True))
        for _ in range(20):
            await asyncio.sleep(0.005)
            await line.pass_time(0.1)
        heard = decode_ulaw(b"".join(line.payloads()))
    spectrum = np.abs(np.fft.rfft(heard[:1600]))
    assert round(np.fft.rfftfreq(1600, 1 / RATE)[spectrum.argmax()]) == 1400


# --- sinks ------------------------------------------------------------------------------------------------------------


async def test_a_sink_comes_and_goes_while_the_call_runs() -> None:
    stays, comes = ListSink(), ListSink()
    line = Line(ServiceOptions(find_sink=lambda url: (url, comes.factory)), sinks={"stays": stays.factory})
    async with line.running():
        say(line, 0, 5)
        assert line.call.add_sink("mine") == "mine"
        await settle()
        said = say(line, 5, 5)
        line.call.remove_sink("mine")
        await settle()
        assert comes.closed == 1
        say(line, 10, 5)
        with pytest.raises(MediaServiceError, match="no such sink") as refused:
            line.call.remove_sink("mine")
        assert refused.value.status == 404
        assert line.call.add_sink("mine") == "mine 2"
        described = line.call.report()["sinks"]
    assert np.array_equal(comes.sound(), said)
    assert len(stays.frames) == 15
    assert (described["mine"]["state"], described["mine"]["frames"], described["mine"]["frames_dropped"]) == (
        "closed",
        5,
        0,
    )
    assert line.told("sink.added") == [{"sink": "mine"}, {"sink": "mine 2"}]
    assert line.told("sink.removed") == [{"sink": "mine", "reason": "it was asked for"}]


async def test_a_sink_that_is_removed_gets_what_waits_for_it_and_nothing_further() -> None:
    class Slow:
        tracks = frozenset({"inbound"})
        delivery = Delivery(by="task", linger=30.0)

        def __init__(self, info: StreamInfo) -> None:
            heard.append(info.stream_id)

        async def write(self, frame: AudioFrame) -> None:
            heard.append(frame.timestamp)

    heard: list[object] = []
    line = Line()
    async with line.running():
        name = line.call.add_sink(Slow, "slow")  # type: ignore[arg-type]
        await settle()
        say(line, 0, 3)
        await settle()
        line.call.remove_sink(name)
        say(line, 3, 3)
        await settle()
        described = line.call.report()["sinks"]["slow"]
    assert heard == ["STREAM", 0, 160, 320]
    assert (described["frames"], described["frames_dropped"], described["state"]) == (3, 0, "closed")


async def test_a_call_takes_so_many_sinks_and_no_more() -> None:
    line = Line(ServiceOptions(find_sink=lambda url: (url, ListSink().factory)))
    async with line.running():
        for _ in range(100):
            line.call.remove_sink(line.call.add_sink("null"))
        with pytest.raises(MediaServiceError, match="100 sinks"):
            line.call.add_sink("null")


async def test_one_transcription_at_a_time() -> None:
    sink = ListSink()
    line = Line(ServiceOptions(find_sink=lambda url: (url, sink.factory), transcriber="words:"))
    async with line.running():
        assert line.call.transcription_start() == "transcription"
        with pytest.raises(MediaServiceError, match="already") as refused:
            line.call.transcription_start()
        assert refused.value.status == 409
        await settle()
        assert line.call.transcription_stop()
        assert not line.call.transcription_stop()
        line.call.transcription_start()
        await settle()
    assert sink.closed == 2
    bare = Line()
    with pytest.raises(MediaServiceError, match="GATEWAY_TRANSCRIBER"):
        bare.call.transcription_start()


# --- noise suppression ------------------------------------------------------------------------------------------------


def hiss(seconds: float, seed: int = 3) -> Samples:
    return np.random.default_rng(seed).normal(0, 400, round(seconds * RATE)).astype(np.int16)


def say_samples(line: Line, samples: Samples) -> None:
    for at in range(0, len(samples), 160):
        line.say(encode_ulaw(samples[at : at + 160]))


def decibels(samples: Samples) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(samples.astype(float) ** 2)) + 1e-9))


async def test_noise_is_suppressed_while_it_is_asked_for_and_the_time_line_stays() -> None:
    sink = ListSink()
    line = Line(sinks={"sink": sink.factory})
    async with line.running():
        say_samples(line, hiss(1.0))
        line.call.suppression_start(level=3)
        say_samples(line, hiss(3.0))
        assert line.call.suppression_stop()
        assert not line.call.suppression_stop()
        say_samples(line, hiss(1.0))
    assert sink.timestamps() == [160 * number for number in range(250)]
    heard = sink.sound()
    assert len(heard) == 5 * RATE
    loud, quiet, again = heard[:RATE], heard[3 * RATE : 4 * RATE], heard[4 * RATE :]
    assert np.array_equal(loud, decode_ulaw(encode_ulaw(hiss(1.0))))
    assert np.array_equal(again, loud)
    assert 14 < decibels(loud) - decibels(quiet) < 22
    assert all(frame.payload == b"" for frame in sink.frames[50:200])


async def test_a_tone_of_speech_outlives_the_suppression() -> None:
    sink = ListSink()
    line = Line(sinks={"sink": sink.factory})
    time = np.arange(4 * RATE) / RATE
    voiced = 6000 * np.sin(2 * np.pi * 200 * time) * (np.sin(2 * np.pi * 3 * time) > 0)  # like syllables
    async with line.running():
        line.call.suppression_start()
        say_samples(line, (voiced + hiss(4.0)).astype(np.int16))
    assert abs(decibels(sink.sound()[RATE:]) - decibels(voiced[RATE:].astype(np.int16))) < 3


async def test_a_level_that_there_is_not_is_refused() -> None:
    with pytest.raises(MediaServiceError, match="the level is 5"):
        Line().call.suppression_start(level=5)
