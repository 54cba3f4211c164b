"""The service: recordings grow while streams run, and become final whatever ends the streams."""

import asyncio
import os
import re
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog
from structlog.testing import capture_logs

from audio_codecs import Samples
from gateway.errors import SinkError
from gateway.media.frame import AudioFrame, FrameTrack
from gateway.sinks.base import AudioSink, SinkFactory
from gateway.sinks.recorder import Recorder, RecordingEvent, RecordingFailed, RecordingOptions, RecordingSaved
from gateway.sinks.recorder.complete import Completion
from gateway.sinks.recorder.recording import Recording
from gateway.sinks.recorder.seal import SealKey
from gateway.sinks.recorder.sidecar import is_final
from gateway.sinks.recorder.wav import claim
from tests.gateway.sinks.recorder.recordings import no_file_beyond, noise, read_wav, sidecar, stream_info


def make_recorder(folder: Path, **options: Any) -> Recorder:
    return Recorder(folder, log=structlog.get_logger(), **options)


@pytest.fixture
async def recorder(tmp_path: Path) -> AsyncIterator[Recorder]:
    """One that writes often, so that tests are quick."""
    async with make_recorder(tmp_path, flush_interval=0.04) as recorder:
        yield recorder


def write(sink: AudioSink, track: FrameTrack, samples: Samples, *, start: int = 0) -> None:
    """Write sound as frames of 20 ms at 8000 Hz."""
    for at in range(0, len(samples), 160):
        sink.write(AudioFrame(track, samples[at : at + 160], 8000, start + at))


def only(folder: Path) -> Path:
    """The one recording there is."""
    (recording,) = folder.iterdir()
    return recording


def keep_busy(recorder: Recorder, until: threading.Event) -> None:
    """A disk that does not answer: the writer thread stands still."""

    def stand_still() -> None:
        until.wait(timeout=10)

    recorder._writer.submit(stand_still)


COUNTERS = {
    "recordings_open": 0,
    "recordings_finished": 0,
    "recordings_failed": 0,
    "recordings_recovered": 0,
    "recordings_completing": 0,
    "recording_frames_dropped": 0,
}


async def until(condition: Callable[[], bool]) -> None:
    """Wait for the writer thread."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - another thread sets no asyncio.Event
            await asyncio.sleep(0.005)


async def test_a_stream_is_recorded_exactly(recorder: Recorder, tmp_path: Path) -> None:
    caller, application = noise(16_000, 1), noise(3_000, 2)
    factory: SinkFactory = recorder.open
    async with factory(stream_info(report=lambda: {"end": "stop"})) as sink:
        for at in range(0, 16_000, 1600):
            write(sink, "inbound", caller[at : at + 1600], start=at)
            if at == 4800:
                write(sink, "played", application, start=at)
            await asyncio.sleep(0.01)
    folder = only(tmp_path)
    sound = read_wav(folder / "recording.wav")
    assert np.array_equal(sound[:, 0], caller)
    assert np.array_equal(sound[4800:7800, 1], application)
    assert not sound[:4800, 1].any()
    assert not sound[7800:, 1].any()
    values = sidecar(folder)
    assert values["complete"] is True
    assert values["played_pieces"] == [[4800, 3000]]
    assert values["report"] == {"end": "stop"}
    assert recorder.describe() == COUNTERS | {"recordings_finished": 1}


async def test_a_recording_can_be_played_while_it_runs(recorder: Recorder) -> None:
    caller = noise(8000)
    async with recorder.open(stream_info()) as sink:
        file = sink.folder / "recording.wav"
        for end in (1600, 4800, 8000):
            write(sink, "inbound", caller[end - 1600 : end], start=end - 1600)
            await until(lambda: file.exists() and len(read_wav(file)) == end)  # noqa: B023 - awaited at once
            assert np.array_equal(read_wav(file)[end - 1600 :, 0], caller[end - 1600 : end])
        assert len(recorder.running) == 1
        assert sidecar(sink.folder)["complete"] is False


async def test_a_folders_name_is_our_own_and_sorts_by_time(recorder: Recorder, tmp_path: Path) -> None:
    async with recorder.open(stream_info()) as one, recorder.open(stream_info()) as other:
        assert one.folder.parent == other.folder.parent == tmp_path
        assert one.folder != other.folder
        assert re.fullmatch(r"20261120T101500Z-[0-9a-f]{8}", one.folder.name)


async def test_the_end_of_a_recording_is_one_line_in_the_log(recorder: Recorder) -> None:
    with capture_logs() as lines:
        async with recorder.open(stream_info()) as sink:
            write(sink, "inbound", noise(1600))
    assert lines == [
        {
            "event": "recording finished",
            "log_level": "info",
            "recording": sink.folder.name,
            "stream_id": "stream-1",
            "duration": 0.2,
            "ended": "stream_end",
        }
    ]


async def test_a_cancelled_call_keeps_its_recording(recorder: Recorder, tmp_path: Path) -> None:
    running = asyncio.Event()

    async def call() -> None:
        async with recorder.open(stream_info()) as sink:
            write(sink, "inbound", noise(1600))
            running.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(call())
    await running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    folder = only(tmp_path)
    assert np.array_equal(read_wav(folder / "recording.wav")[:, 0], noise(1600))
    assert sidecar(folder)["complete"] is True


async def test_a_call_cancelled_while_it_closes_leaves_at_once_and_keeps_its_recording(
    recorder: Recorder, tmp_path: Path
) -> None:
    disk_answers, closing = threading.Event(), asyncio.Event()

    async def call() -> None:
        async with recorder.open(stream_info()) as sink:
            write(sink, "inbound", noise(1600))
            keep_busy(recorder, disk_answers)
            closing.set()

    task = asyncio.create_task(call())
    await closing.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert recorder.describe()["recordings_finished"] == 0
    disk_answers.set()
    await until(lambda: recorder.describe()["recordings_finished"] == 1)
    folder = only(tmp_path)
    assert np.array_equal(read_wav(folder / "recording.wav")[:, 0], noise(1600))
    assert sidecar(folder)["complete"] is True


async def test_an_agent_that_fails_keeps_the_recording(recorder: Recorder, tmp_path: Path) -> None:
    async def call() -> None:
        async with recorder.open(stream_info()) as sink:
            write(sink, "inbound", noise(160))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await call()
    folder = only(tmp_path)
    assert len(read_wav(folder / "recording.wav")) == 160


async def test_a_recorder_that_closes_first_finishes_what_is_open(tmp_path: Path) -> None:
    recorder = make_recorder(tmp_path)
    async with recorder:
        stream = recorder.open(stream_info())
        sink = await stream.__aenter__()
        write(sink, "inbound", noise(1600))
    assert len(read_wav(sink.folder / "recording.wav")) == 1600
    assert sidecar(sink.folder)["complete"] is True
    write(sink, "inbound", noise(160), start=1600)  # the stream goes on, and nobody takes it
    assert sink.describe()["ended"] == "shutdown"
    await stream.__aexit__(None, None, None)
    assert recorder.describe()["recordings_finished"] == 1


async def test_a_report_that_fails_costs_no_sound(recorder: Recorder) -> None:
    def report() -> dict[str, Any]:
        raise ValueError("no figures")

    async with recorder.open(stream_info(report=report)) as sink:
        write(sink, "inbound", noise(160))
    assert len(read_wav(sink.folder / "recording.wav")) == 160
    assert sidecar(sink.folder)["report"] == {"problem": "cannot report: no figures"}


async def test_a_full_disk_costs_that_recording_only_and_is_an_event(tmp_path: Path) -> None:
    events: list[RecordingEvent] = []
    async with make_recorder(tmp_path, flush_interval=0.04, on_event=events.append) as recorder:
        async with recorder.open(stream_info()) as small:
            write(small, "inbound", noise(800))
            with capture_logs() as lines:
                async with recorder.open(stream_info()) as large:
                    with no_file_beyond(20_000):
                        write(large, "inbound", noise(16_000))
                        await until(lambda: bool(events))
                    with pytest.raises(SinkError, match="cannot write"):
                        write(large, "inbound", noise(160), start=16_000)
            write(small, "inbound", noise(800), start=800)
        assert len(read_wav(small.folder / "recording.wav")) == 1600
        assert len(read_wav(large.folder / "recording.wav")) == 0
        assert sidecar(large.folder)["complete"] is False
        (problem,) = sidecar(large.folder)["problems"]
        assert [(line["event"], line.get("frames_dropped")) for line in lines] == [
            ("recording stopped", None),
            ("recording failed", 100),
        ]
        counters = {"recordings_finished": 1, "recordings_failed": 1, "recording_frames_dropped": 100}
        assert recorder.describe() == COUNTERS | counters
    call = "../../etc/passwd"
    assert events == [
        RecordingFailed(large.folder.name, call, problem),
        RecordingSaved(large.folder.name, call, "recording.wav", 0.0, (problem,)),
        RecordingSaved(small.folder.name, call, "recording.wav", 0.2, ()),
    ]


async def test_a_folder_that_cannot_be_made_is_told_with_the_next_frame(tmp_path: Path) -> None:
    (tmp_path / "recordings").write_text("a file, not a folder")
    async with make_recorder(tmp_path / "recordings") as recorder:
        async with recorder.open(stream_info()) as sink:
            await until(lambda: bool(sink.recording.problems))
            with pytest.raises(SinkError, match="cannot begin"):
                write(sink, "inbound", noise(160))
        assert recorder.describe()["recordings_failed"] == 1


async def test_a_slow_disk_costs_the_recording_and_no_more_memory_than_thirty_seconds(recorder: Recorder) -> None:
    disk_answers = threading.Event()
    keep_busy(recorder, disk_answers)
    async with recorder.open(stream_info()) as sink:
        write(sink, "inbound", noise(160))
        await until(lambda: sink.recording.busy)
        write(sink, "inbound", noise(29 * 8000), start=160)
        await asyncio.sleep(0.1)
        assert not sink.recording.problems
        write(sink, "inbound", noise(2 * 8000), start=160 + 29 * 8000)
        await until(lambda: bool(sink.recording.problems))
        with pytest.raises(SinkError, match="the disk is too slow"):
            write(sink, "inbound", noise(160), start=160 + 31 * 8000)
        disk_answers.set()
    assert sidecar(sink.folder)["complete"] is False
    assert len(read_wav(sink.folder / "recording.wav")) == 160 + 31 * 8000


async def test_no_recording_is_begun_while_the_disk_does_not_answer(tmp_path: Path) -> None:
    now, disk_answers = 1000.0, threading.Event()
    async with make_recorder(tmp_path, clock=lambda: now) as recorder:
        keep_busy(recorder, disk_answers)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05), recorder.open(stream_info()):
                pass
        now += 11.0
        with pytest.raises(SinkError, match="not answered for 11 s"):
            async with recorder.open(stream_info()):
                pass
        disk_answers.set()
        await until(lambda: recorder.describe()["recordings_finished"] == 1)
        async with recorder.open(stream_info()):
            pass
    assert recorder.describe()["recordings_finished"] == 2


async def test_two_hundred_recordings_at_once_take_turns(tmp_path: Path) -> None:
    async with make_recorder(tmp_path, flush_interval=0.4) as recorder:
        streams = [recorder.open(stream_info()) for _ in range(200)]
        sinks = [await stream.__aenter__() for stream in streams]
        for number, sink in enumerate(sinks):
            write(sink, "inbound", noise(320, number))
        waiting = [sum(sink.seconds_waiting() > 0 for sink in sinks)]
        while waiting[-1]:
            await asyncio.sleep(0.005)
            waiting.append(sum(sink.seconds_waiting() > 0 for sink in sinks))
        assert len(set(waiting)) > 3  # not all at once; how evenly, the schedule's own tests say
        for number, (stream, sink) in enumerate(zip(streams, sinks, strict=True)):
            write(sink, "played", noise(160, number), start=320)
            await stream.__aexit__(None, None, None)
        assert recorder.describe()["recordings_finished"] == 200
    for number, sink in enumerate(sinks):
        sound = read_wav(sink.folder / "recording.wav")
        assert np.array_equal(sound[:320, 0], noise(320, number))
        assert np.array_equal(sound[320:, 1], noise(160, number))


# --- recordings that end before their call does -------------------------------------------------------------------


async def test_a_recording_that_is_long_enough_is_final_while_its_call_goes_on(recorder: Recorder) -> None:
    async with recorder.open(stream_info(), options=RecordingOptions(max_length=1)) as sink:
        assert recorder.running == {sink.folder.name: sink}
        write(sink, "inbound", noise(12_000))
        assert not recorder.running
        await until(lambda: is_final(sink.folder))
        write(sink, "inbound", noise(1600), start=12_000)
    assert np.array_equal(read_wav(sink.folder / "recording.wav")[:, 0], noise(12_000)[:8000])
    assert sidecar(sink.folder)["ended"] == "max_length"
    assert recorder.describe() == COUNTERS | {"recordings_finished": 1}


async def test_a_recording_is_stopped_by_its_id(recorder: Recorder) -> None:
    async with recorder.open(stream_info()) as one, recorder.open(stream_info()) as other:
        for sink in (one, other):
            write(sink, "inbound", noise(1600))
        recorder.running[one.folder.name].stop()
        await until(lambda: is_final(one.folder))
        for sink in (one, other):
            write(sink, "inbound", noise(1600), start=1600)
    assert [len(read_wav(sink.folder / "recording.wav")) for sink in (one, other)] == [1600, 3200]
    assert [sidecar(sink.folder)["ended"] for sink in (one, other)] == ["stop", "stream_end"]


async def test_silence_ends_a_recording(recorder: Recorder) -> None:
    async with recorder.open(stream_info(), options=RecordingOptions(timeout_secs=1)) as sink:
        for at in range(0, 40_000, 1600):
            write(sink, "inbound", noise(1600) if at < 8000 else np.zeros(1600, np.int16), start=at)
            await until(lambda: not sink.recording.busy)
            await asyncio.sleep(0.05)
            if not recorder.running:
                break
    assert sidecar(sink.folder)["ended"] == "silence"
    assert 16_000 <= len(read_wav(sink.folder / "recording.wav")) < 30_000


async def test_a_pause_by_the_service_is_silent(recorder: Recorder) -> None:
    async with recorder.open(stream_info()) as sink:
        write(sink, "inbound", noise(1600, 0))
        sink.pause()
        write(sink, "inbound", noise(1600, 1), start=1600)
        sink.resume()
        write(sink, "inbound", noise(1600, 2), start=3200)
    sound = read_wav(sink.folder / "recording.wav")[:, 0]
    assert np.array_equal(sound, np.concatenate((noise(1600, 0), np.zeros(1600, np.int16), noise(1600, 2))))


# --- what is done beside the writing ------------------------------------------------------------------------------


async def test_a_conversion_keeps_no_call_waiting(tmp_path: Path) -> None:
    may_convert = threading.Event()

    def convert(folder: Path, values: dict[str, Any]) -> dict[str, Any]:
        may_convert.wait(10)
        (folder / "recording.flac").write_bytes(b"flac")
        return {"file": "recording.flac"}

    events: list[RecordingEvent] = []
    completion = Completion(convert)
    async with make_recorder(tmp_path, completion=completion, on_event=events.append) as recorder:
        async with recorder.open(stream_info(), options=RecordingOptions(format="flac")) as sink:
            write(sink, "inbound", noise(1600))
        assert sidecar(sink.folder)["state"] == "finishing"
        assert not recorder.running
        assert not events
        may_convert.set()
        await until(lambda: bool(events))
    assert [event.file for event in events if isinstance(event, RecordingSaved)] == ["recording.flac"]
    assert sorted(path.name for path in sink.folder.iterdir()) == ["recording.flac", "recording.json"]


async def test_what_cannot_be_made_as_asked_is_refused(tmp_path: Path) -> None:
    async with make_recorder(tmp_path, key=SealKey(bytes(32))) as recorder:
        with pytest.raises(SinkError, match="sealed"):
            async with recorder.open(stream_info(), options=RecordingOptions(format="mp3")):
                pass
    assert not list(tmp_path.iterdir())


async def test_running_recordings_are_forced_to_the_disk_if_that_is_wanted(tmp_path: Path) -> None:
    async with make_recorder(tmp_path, flush_interval=0.04, sync_seconds=0.04) as recorder:
        async with recorder.open(stream_info()) as sink:
            synced = CountingFile(sink)
            write(sink, "inbound", noise(1600))
            await until(lambda: synced.times >= 3)
        assert not sink.recording.problems
    assert np.array_equal(read_wav(sink.folder / "recording.wav")[:, 0], noise(1600))


class CountingFile:
    """Counts how often a recording is forced to the disk."""

    def __init__(self, sink: AudioSink) -> None:
        recording: Recording = sink.recording  # type: ignore[attr-defined]
        self.times = 0
        sync = recording.sync

        def counted() -> None:
            sync()
            self.times += 1

        recording.sync = counted  # type: ignore[method-assign]


async def test_what_was_left_behind_is_recovered_beside_the_calls(tmp_path: Path) -> None:
    left = Recording(tmp_path / "20261119T101500Z-00000000", stream_info())
    left.create()
    left.release()
    async with make_recorder(tmp_path) as recorder:
        async with recorder.open(stream_info()) as sink:
            write(sink, "inbound", noise(1600))
            await until(lambda: recorder.describe()["recordings_recovered"] == 1)
        assert sidecar(sink.folder)["complete"] is True
    assert sidecar(left.folder)["ended"] == "crash"


async def test_who_is_told_that_a_recording_is_final_may_claim_it(tmp_path: Path) -> None:
    claimed: list[bool] = []

    def claim_at_once(folder: Path) -> None:
        os.close(claim(folder / "recording.wav", new=False))
        claimed.append(is_final(folder))

    completion = Completion(after_final=claim_at_once)
    async with make_recorder(tmp_path, completion=completion) as recorder:
        async with recorder.open(stream_info()) as sink:
            write(sink, "inbound", noise(1600))
        await until(lambda: claimed == [True])
    left = only(tmp_path)
    text = (left / "recording.json").read_text()
    (left / "recording.json").write_text(text.replace('"state": "final"', '"state": "recording"'))
    async with make_recorder(tmp_path, completion=completion):  # what a crash left, as well
        await until(lambda: claimed == [True, True])
