"""Plays: of every kind of source, to their end, cut off, failing; and what the call tells of them."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from audio_codecs import Samples, encode_mp3
from gateway.call import Call, EndReason
from gateway.errors import PlaybackError
from gateway.items import PlaybackFinished
from gateway.playback import Playback
from gateway.sound.source import Source
from tests.fakes import acting, noise, settle
from tests.gateway.heard_line import HeardLine, until
from tests.gateway.sound.test_wav import wav

FRAME = 160


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


def is_heard(playback: Playback, milliseconds: int) -> bool:
    return playback.heard >= milliseconds


class Finished:
    """An agent that keeps what it reads of plays."""

    def __init__(self) -> None:
        self.items: list[PlaybackFinished] = []

    async def __call__(self, call: Call) -> None:
        async for item in call:
            if isinstance(item, PlaybackFinished):
                self.items.append(item)


# --- to the end ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["path", "octets", "array", "floats", "generator"])
async def test_a_play_of_every_kind_is_heard_to_the_sample(kind: str, tmp_path: Path) -> None:
    samples = noise(3 * 8000)

    async def produce() -> AsyncIterator[Samples]:
        for piece in np.split(samples, 7 * [0] + [100, 5000, 23_999]):
            yield piece

    path = tmp_path / "greeting.wav"
    path.write_bytes(wav(samples.tobytes()))
    sources: dict[str, Source] = {
        "path": str(path),
        "octets": path.read_bytes(),
        "array": samples,
        "floats": samples / np.float32(32_768),
        "generator": produce(),
    }
    source = sources[kind]
    reader = Finished()
    line = HeardLine(agent=acting(reader))
    async with line.running():
        playback = line.call.play(source, None if kind in ("path", "octets") else 8000, name="greeting")
        assert not playback.done()
        await line.live_until(playback.done)
        finished = await playback
    assert np.array_equal(line.heard(), samples)
    assert finished == PlaybackFinished(
        name="greeting", queued=3000, sent=3000, heard=3000, cleared=0, interrupted=False, estimated=False
    )
    assert reader.items == [finished]
    assert (playback.heard, playback.name) == (3000, "greeting")


async def test_an_mp3_file_is_played() -> None:
    pytest.importorskip("av")
    time = np.arange(16_000) / 16_000
    tone = (8000 * np.sin(2 * np.pi * 440 * time)).astype(np.int16)
    line = HeardLine()
    async with line.running():
        playback = line.call.play(encode_mp3(tone, 16_000))
        await line.live_until(playback.done)
        assert (await playback).heard == pytest.approx(1000, abs=80)


async def test_sound_at_another_rate_is_converted() -> None:
    line = HeardLine()
    async with line.running():
        playback = line.call.play(noise(24_000), 24_000)
        await line.live_until(playback.done)
        assert (await playback).heard == 1020  # and the 3 ms that the filter held back, filled up to a frame
    assert len(line.heard()) == 8000 + FRAME


async def test_plays_and_speech_are_heard_one_after_the_other() -> None:
    async def produce() -> AsyncIterator[Samples]:
        yield np.full(FRAME, 1, np.int16)
        await gate.wait()
        yield np.full(FRAME, 2, np.int16)

    gate = asyncio.Event()
    line = HeardLine()
    async with line.running():
        line.call.play(produce(), 8000)
        last = line.call.play(np.full(FRAME, 3, np.int16), 8000)
        line.call.send_audio(np.full(FRAME, 4, np.int16))
        await line.live(0.5)
        assert [frame[0] for frame in line.far.heard] == [1]
        gate.set()
        await line.live_until(last.done)
        await line.live(0.5)
    assert [frame[0] for frame in line.far.heard] == [1, 2, 3, 4]


async def test_names_are_made_where_none_is_given() -> None:
    line = HeardLine()
    async with line.running():
        assert [line.call.play(noise(FRAME), 8000).name for _ in range(2)] == ["play 1", "play 2"]


async def test_an_agent_can_await_its_play_and_go_on() -> None:
    spoken = []

    async def speak(call: Call) -> None:
        spoken.extend([(await call.play(noise(10 * FRAME, seed=number), 8000)).heard for number in range(2)])

    line = HeardLine(agent=acting(speak))
    async with line.running():
        await line.live_until(lambda: spoken)
    assert spoken == [200, 200]


# --- how far ahead it is read --------------------------------------------------------------------------------------


async def test_a_generator_is_not_asked_for_more_than_two_seconds_ahead() -> None:
    asked = 0

    async def produce() -> AsyncIterator[Samples]:
        nonlocal asked
        while True:
            asked += 1
            yield noise(8000 // 10)

    line = HeardLine()
    async with line.running():
        line.call.play(produce(), 8000)
        for second in range(1, 10):
            await line.live(1.0)
            await settle()
            assert (second + 2) * 10 <= asked <= (second + 2) * 10 + 4
        line.call.pause()
        before = asked
        await line.live(10.0)
        assert asked <= before + 2
        line.call.clear()
        await settle()
        assert line.call.report()["played"]["samples_queued"] == 0


async def test_an_hour_takes_no_more_room_than_a_moment(tmp_path: Path) -> None:
    path = tmp_path / "hour.wav"
    with path.open("wb") as file:
        file.write(wav(b"", size=2 * 8000 * 3600))
        file.truncate(44 + 2 * 8000 * 3600)  # takes no room on the disk either
    line = HeardLine()
    async with line.running():
        playback = line.call.play(path)
        await until(line.payloads)
        for second in range(1, 6):
            await line.live_until(partial(is_heard, playback, 1000 * second))
            assert line.call.report()["played"]["samples_queued"] <= 3.1 * 8000
        playback.cancel()
        assert (await playback).heard == pytest.approx(5000, abs=40)


# --- cut off -------------------------------------------------------------------------------------------------------


async def test_clear_ends_every_play_and_tells_how_much_was_heard() -> None:
    reader = Finished()
    closed = []

    async def produce() -> AsyncIterator[Samples]:
        try:
            while True:
                yield noise(800)
        finally:
            closed.append(True)

    line = HeardLine(agent=acting(reader))
    async with line.running():
        first = line.call.play(produce(), 8000, name="first")
        second = line.call.play(noise(8000), 8000, name="second")
        await line.live(0.5)
        assert not first.done()
        assert first.heard == pytest.approx(500, abs=40)
        line.call.clear()
        assert first.done()
        assert second.done()
        await settle()
        assert closed == [True]
        await line.live(1.0)
    assert [(item.name, item.interrupted) for item in reader.items] == [("first", True), ("second", True)]
    assert reader.items[0].heard == 1000 * len(line.heard()) // 8000
    assert not reader.items[0].estimated
    assert (reader.items[1].heard, reader.items[1].sent) == (0, 0)


async def test_cancelling_one_play_leaves_the_others() -> None:
    line = HeardLine()
    async with line.running():
        plays = [line.call.play(np.full(20 * FRAME, number, np.int16), 8000) for number in (1, 2, 3)]
        await until(lambda: line.call.report()["played"]["samples_queued"] + 160 * len(line.payloads()) == 60 * FRAME)
        await line.live(0.3)
        plays[1].cancel()  # it waits at Telnyx, behind the first
        assert plays[1].done()
        plays[0].cancel()  # it is being heard
        await line.live_until(plays[2].done)
        plays[0].cancel()
        plays[2].cancel()  # over already
        values = [int(frame[0]) for frame in line.far.heard]
    assert 15 <= values.count(1) <= 17
    assert values == [1] * values.count(1) + [3] * 20
    assert [(await play).interrupted for play in plays] == [True, True, False]
    assert "clear" in line.script()


async def test_a_play_that_is_being_heard_by_its_last_word_can_still_be_cut_off() -> None:
    line = HeardLine()
    async with line.running():
        play = line.call.play(noise(20 * FRAME), 8000)
        await until(line.payloads)
        await line.live(0.3)  # all of it has left, 100 ms are not heard
        play.cancel()
        finished = await play
    assert (finished.sent, finished.interrupted) == (400, True)
    assert finished.heard == pytest.approx(300, abs=20)


async def test_pause_and_resume_lose_nothing_and_say_nothing_twice() -> None:
    samples = noise(2 * 8000)
    line = HeardLine()
    async with line.running():
        playback = line.call.play(samples, 8000)
        await line.live_until(lambda: playback.heard >= 300)
        line.call.pause()
        at_pause = len(line.heard())
        sent = len(line.sent)
        await line.live(3.0)
        assert len(line.heard()) == at_pause
        assert len(line.sent) == sent
        assert not playback.done()
        line.call.resume()
        await line.live_until(playback.done)
        assert (await playback).interrupted is False
    assert np.array_equal(line.heard(), samples)


async def test_what_is_said_while_paused_comes_after_it() -> None:
    line = HeardLine()
    async with line.running():
        line.call.send_audio(np.full(4 * FRAME, 1, np.int16))
        line.wait(0.03)
        line.call.pause()
        line.call.pause()
        line.call.send_audio(np.full(2 * FRAME, 2, np.int16))
        line.call.mark("end")
        line.wait(1.0)
        line.call.resume()
        line.call.resume()
        line.wait(1.0)
    assert [frame[0] for frame in line.far.heard] == [1, 1, 1, 1, 2, 2]
    assert line.script()[-1] == "end"


# --- waiting for it ------------------------------------------------------------------------------------------------


async def test_wait_for_playout_waits_for_all_that_was_said_so_far_and_no_more() -> None:
    line = HeardLine()
    async with line.running():
        line.call.send_audio(noise(10 * FRAME))
        line.call.play(noise(10 * FRAME), 8000)
        waiting = asyncio.ensure_future(line.call.wait_for_playout())
        await settle()
        last = line.call.play(noise(80_000), 8000)
        await line.live(0.36)
        assert not waiting.done()
        await line.live_until(waiting.done)
        assert not last.done()


async def test_wait_for_playout_returns_at_once_where_nothing_is_said_and_at_the_calls_end() -> None:
    line = HeardLine()
    async with line.running():
        await line.call.wait_for_playout()
        line.call.play(noise(8000), 8000)
        waiting = asyncio.ensure_future(line.call.wait_for_playout())
        await settle()
        assert not waiting.done()
        line.call.end(EndReason.STOP)
        await waiting
    await line.call.wait_for_playout()


# --- what goes wrong -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "complaint"),
    [("/no/such/file.wav", "No such file"), (b"neither", "neither a WAV nor an MP3 file")],
)
async def test_a_file_that_cannot_be_read_fails_its_play_alone(source: Source, complaint: str) -> None:
    reader = Finished()
    line = HeardLine(agent=acting(reader))
    with capture_logs() as logs:
        async with line.running():
            playback = line.call.play(source, name="greeting")
            with pytest.raises(PlaybackError, match=f"greeting: .*{complaint}"):
                await playback
            line.call.send_audio(noise(FRAME))
            await line.live(0.1)
    assert len(line.heard()) == FRAME
    (item,) = (item for item in reader.items if item.name == "greeting")
    assert item.interrupted
    assert complaint in (item.error or "")
    assert [entry["event"] for entry in logs if entry["log_level"] == "warning"] == ["play failed"]


async def test_a_generator_that_raises_is_heard_so_far() -> None:
    async def produce() -> AsyncIterator[Samples]:
        yield noise(10 * FRAME)
        raise ConnectionError("speech service is gone")

    line = HeardLine()
    async with line.running():
        playback = line.call.play(produce(), 8000)
        await line.live(0.5)
        with pytest.raises(PlaybackError, match="ConnectionError: speech service is gone"):
            await playback
    (entry,) = line.call.report()["played"]["playbacks"]
    assert (entry["heard"], entry["interrupted"]) == (200, True)


async def test_what_is_no_sound_is_refused_at_once() -> None:
    line = HeardLine()
    async with line.running():
        source: Any = 5
        with pytest.raises(PlaybackError, match="not int"):
            line.call.play(source, 8000)
        assert line.call.report()["played"]["playbacks_total"] == 0


async def test_plays_beyond_a_hundred_are_refused() -> None:
    line = HeardLine()
    async with line.running():
        for _ in range(100):
            line.call.play(noise(FRAME), 8000)
        with pytest.raises(PlaybackError, match="100 utterances"):
            line.call.play(noise(FRAME), 8000)


async def test_a_generator_that_cannot_be_stopped_does_not_keep_its_call() -> None:
    over = asyncio.Event()

    async def produce() -> AsyncIterator[Samples]:
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                continue
        yield noise(FRAME)

    line = HeardLine()
    line.call._plays._grace = 0.01
    with capture_logs() as logs:
        async with line.running():
            line.call.play(produce(), 8000)
            await settle()
    assert "the source of a play cannot be stopped" in [entry["event"] for entry in logs]
    over.set()
    await settle()


async def test_the_calls_end_ends_its_plays() -> None:
    reader = Finished()
    line = HeardLine(agent=acting(reader))
    async with line.running():
        playback = line.call.play(noise(80_000), 8000)
        await line.live_until(lambda: playback.heard >= 1000)
        line.call.end(EndReason.STOP)
        finished = await playback
    assert finished.heard == pytest.approx(1000, abs=40)
    assert finished.interrupted
    assert reader.items == [finished]
    late = line.call.play(noise(FRAME), 8000, name="late")
    assert late.done()
    assert (await late).heard == 0


async def test_what_was_sent_counts_as_heard_where_the_socket_fell() -> None:
    line = HeardLine()
    async with line.running():
        playback = line.call.play(noise(80_000), 8000)
        await line.live_until(lambda: playback.heard >= 1000)
        line.call.end(EndReason.LINK_LOST)
        finished = await playback
    assert finished.heard == finished.sent == pytest.approx(1160, abs=40)
    assert finished.estimated


async def test_a_play_from_before_the_call_runs_is_played_when_it_does() -> None:
    line = HeardLine()
    playback = line.call.play(noise(FRAME), 8000)
    assert isinstance(playback, Playback)
    async with line.running():
        await until(line.payloads)
    assert len(line.payloads()) == 1


# --- keys ----------------------------------------------------------------------------------------------------------


async def test_keys_are_sent_as_tones_in_their_turn() -> None:
    line = HeardLine()
    async with line.running():
        line.call.send_audio(np.full(FRAME, 7, np.int16))
        keys = line.call.send_dtmf("1w#", duration_ms=100, gap_ms=60)
        await line.live_until(keys.done)
        assert (await keys).heard == 160 + 500 + 160
    heard = line.heard()
    assert heard[0] == 7
    spectrum = np.abs(np.fft.rfft(heard[FRAME + 80 : FRAME + 720]))  # 12.5 Hz each
    assert [np.argmax(spectrum[:80]) * 12.5, 1000 + np.argmax(spectrum[80:]) * 12.5] == pytest.approx(
        [697, 1209], abs=15
    )
    assert not any("1w#" in json.dumps(entry) for entry in line.call.report()["played"]["playbacks"])


# --- the record ----------------------------------------------------------------------------------------------------


async def test_the_calls_report_has_the_playback_ledger() -> None:
    line = HeardLine()
    async with line.running():
        line.call.send_audio(noise(FRAME))
        line.call.mark("end")
        greeting = line.call.play(noise(8000), 8000, name="greeting")
        await line.live_until(lambda: greeting.heard >= 400)
        line.call.clear()
    played = line.call.report()["played"]
    assert json.loads(json.dumps(played)) == played
    assert [(entry["name"], entry["interrupted"]) for entry in played["playbacks"]] == [
        ("speech 1", False),
        ("greeting", True),
    ]
    assert (played["playbacks_total"], played["playbacks_omitted"], played["marks_missing"]) == (2, 0, 0)
