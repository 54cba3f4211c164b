"""The ear in the stream: what was heard is in the file, at its place, whatever way it took there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audio_codecs import Samples
from audio_codecs.g711 import decode_ulaw, encode_ulaw
from gateway.errors import SinkError
from gateway.media.frame import AudioFrame, FrameTrack
from gateway.sinks.recorder.options import RecordingOptions
from gateway.sinks.recorder.recording import Recording
from gateway.sinks.recorder.riff import read_header
from gateway.sinks.recorder.sink import G711RecorderSink, RecorderSink
from gateway.sinks.recorder.window import BlockPool
from tests.gateway.sinks.recorder.recordings import noise, read_wav, sidecar, stream_info


class Line:
    """A recording without a service: the test writes frames, and says when it is the recording's turn."""

    def __init__(self, folder: Path, *, inbound: int = 8000, played: int = 8000, **options: Any) -> None:
        info = stream_info(inbound=inbound, played=played)
        self.recording = Recording(folder, info, RecordingOptions(**options))
        dtype, silence = self.recording.sound.waiting
        self.pool = BlockPool(self.recording.sample_rate, dtype, silence)
        kind = G711RecorderSink if self.recording.sound.waits_encoded else RecorderSink
        self.ended: list[RecorderSink] = []
        self.sink = kind(self.recording, self.pool, on_end=self.ended.append)
        self.recording.create()

    def write(self, track: FrameTrack, timestamp: int, samples: Samples, *, payload: bytes = b"") -> None:
        self.sink.write(AudioFrame(track, samples, self.recording.tracks[track], timestamp, payload))

    def say(self, track: FrameTrack, timestamp: int, samples: Samples) -> None:
        """Sound in frames of 160 samples."""
        for at in range(0, len(samples), 160):
            self.write(track, timestamp + at, samples[at : at + 160])

    def turn(self) -> None:
        self.recording.flush(self.sink.take(), self.pool)

    def finish(self) -> Samples:
        """What is in the file in the end."""
        self.sink.stop()
        self.recording.finish(self.sink.take(), self.pool, {})
        self.recording.release()
        assert self.recording.problems == []
        return read_wav(self.recording.folder / self.recording.file_name)


def heard(*pieces: tuple[int, int, Samples]) -> Samples:
    """Two channels with sound at its places: channel, position, samples."""
    sound = np.zeros((max(position + len(samples) for _, position, samples in pieces), 2), np.int16)
    for channel, position, samples in pieces:
        sound[position : position + len(samples), channel] = samples
    return sound


_GAPS = st.one_of(st.just(0), st.just(0), st.integers(1, 300), st.integers(9_000, 30_000))
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["inbound", "played"]), _GAPS, st.integers(1, 900)),
        st.tuples(st.just("inbound"), st.just(0), st.integers(10_000, 25_000)),
        st.just(("turn", 0, 0)),
    ),
    min_size=1,
    max_size=40,
)


@given(steps=_STEPS, origin=st.sampled_from([0, 0, 77_777]))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_comes_in_whatever_turns_is_at_its_place(
    steps: list[tuple[FrameTrack | str, int, int]], origin: int, tmp_path: Path
) -> None:
    line = Line(tmp_path / str(len(list(tmp_path.iterdir()))))
    ends = {"inbound": origin, "played": origin}
    model = np.zeros((0, 2), np.int16)
    first: int | None = None
    for number, (what, gap, length) in enumerate(steps):
        if what == "turn":
            line.turn()
            continue
        position = ends[what] + gap
        ends[what] = end = position + length
        sound = noise(length, number)
        line.write("inbound" if what == "inbound" else "played", position, sound)
        first = position if first is None else first
        start = max(0, position - first)
        model = np.pad(model, ((0, max(0, end - first - len(model))), (0, 0)))
        if end > first:
            model[start : end - first, 0 if what == "inbound" else 1] = sound[max(0, first - position) :]
    assert np.array_equal(line.finish(), model)


def test_the_usual_way_of_a_call(tmp_path: Path) -> None:
    line = Line(tmp_path / "one")
    caller, application = noise(40_000, 1), noise(24_000, 2)
    for at in range(0, 40_000, 160):
        line.write("inbound", at, caller[at : at + 160])
        if at % 800 == 640 and 8000 <= at - 1440 < 32_000:  # told a tenth of a second at a time, and 0.18 s late
            line.write("played", at - 1440, application[at - 1440 - 8000 :][:800])
        if at % 6400 == 3200:
            line.turn()
    sound = line.finish()
    assert np.array_equal(sound, heard((0, 0, caller), (1, 8000, application)))


def test_every_other_sample_of_an_array_is_a_frame_as_well(tmp_path: Path) -> None:
    line = Line(tmp_path / "one")
    line.write("inbound", 0, np.arange(6, dtype=np.int16)[::2])
    line.write("inbound", 3, np.arange(6, 12, dtype=np.int16)[::2])
    assert line.finish()[:, 0].tolist() == [0, 2, 4, 6, 8, 10]


def test_a_track_of_the_lower_rate_is_at_its_place(tmp_path: Path) -> None:
    line = Line(tmp_path / "one", inbound=8000, played=16_000)
    seconds = np.arange(24_000) / 8000
    tone = np.round(8000 * np.sin(2 * np.pi * 300 * seconds)).astype(np.int16)
    application = noise(16_000, 2)
    for at in range(0, 24_000, 160):
        line.write("inbound", at, tone[at : at + 160])
        if at % 1600 == 0 and at < 8000:
            line.write("played", 16_000 + 2 * at, application[2 * at :][:3200])
        if at % 6400 == 0:
            line.turn()
    sound = line.finish()
    assert len(sound) == 48_000
    assert np.array_equal(sound[16_000:32_000, 1], application)
    wanted = 8000 * np.sin(2 * np.pi * 300 * np.arange(48_000) / 16_000)
    assert np.abs(sound[:, 0] - wanted)[200:-200].max() < 8
    assert line.recording.pieces.placed(sample_rate=16_000, file_rate=16_000, origin=0) == [[16_000, 16_000]]


def test_g711_is_kept_as_it_came(tmp_path: Path) -> None:
    line = Line(tmp_path / "one", encoding="g711")
    payload = bytes(range(256))
    made_up, application = noise(160, 1), noise(800, 2)
    line.write("inbound", 0, decode_ulaw(payload), payload=payload)
    line.write("inbound", 256, made_up)  # concealed: there is no payload
    line.turn()
    line.write("played", 100, application)
    line.write("inbound", 416, decode_ulaw(payload[::-1]), payload=payload[::-1])
    line.write("inbound", 20_000, decode_ulaw(payload), payload=payload)
    line.recording.finish(line.sink.take(), line.pool, {})
    file = tmp_path / "one" / "recording.wav"
    found, offset, data_bytes = read_header(file)
    assert (found.encoding.name, data_bytes) == ("PCMU", 2 * 20_256)
    octets = np.frombuffer(file.read_bytes()[offset : offset + data_bytes], np.uint8).reshape(-1, 2)
    left = payload + encode_ulaw(made_up) + payload[::-1]
    assert octets[:672, 0].tobytes() == left
    assert octets[20_000:, 0].tobytes() == payload
    assert octets[100:900, 1].tobytes() == encode_ulaw(application)
    assert set(octets[900:, 1].tolist()) == set(octets[672:20_000, 0].tolist()) == {0xFF}
    assert sidecar(tmp_path / "one")["encoding"] == "PCMU"


def test_a_stream_that_is_not_g711_is_kept_linear(tmp_path: Path) -> None:
    recording = Recording(
        tmp_path / "one", stream_info(encoding="G722", inbound=16_000), RecordingOptions(encoding="g711")
    )
    assert (recording.sound.encoding.name, recording.sound.waits_encoded) == ("linear16", False)


@pytest.mark.parametrize(
    ("options", "channels"),
    [
        ({"channels": "single"}, ["inbound+played"]),
        ({"recording_track": "inbound"}, ["inbound"]),
        ({"recording_track": "outbound", "channels": "single"}, ["played"]),
        ({}, ["inbound", "played"]),
    ],
)
def test_tracks_and_channels_are_those_that_were_asked_for(
    options: dict[str, Any], channels: list[str], tmp_path: Path
) -> None:
    line = Line(tmp_path / "one", **options)
    caller, application = noise(16_000, 1) // 4, noise(8000, 2) // 4
    line.say("inbound", 0, caller[:9600])
    line.turn()
    line.say("played", 160, application)  # most of it late
    line.say("inbound", 9600, caller[9600:])
    sound = line.finish()
    both = heard((0, 0, caller), (1, 160, application))
    mono: Samples = both.sum(axis=1, keepdims=True, dtype=np.int16)
    columns: dict[str, Samples] = {"inbound": both[:, :1], "played": both[:, 1:], "inbound+played": mono}
    assert np.array_equal(sound, np.hstack([columns[channel] for channel in channels]))
    assert sidecar(tmp_path / "one")["channels"] == channels


def test_two_voices_at_once_do_not_wrap_around(tmp_path: Path) -> None:
    line = Line(tmp_path / "one", channels="single")
    line.write("inbound", 0, np.array([30_000, -30_000, 5], np.int16))
    line.write("played", 0, np.array([10_000, -10_000, 6], np.int16))
    assert line.finish()[:, 0].tolist() == [32_767, -32_768, 11]


# --- pause, end ---------------------------------------------------------------------------------------------------


def test_a_pause_is_silent_and_keeps_the_time(tmp_path: Path) -> None:
    line = Line(tmp_path / "one")
    caller, application = noise(32_000, 1), noise(32_000, 2)

    def both(start: int, end: int) -> None:
        for at in range(start, end, 160):
            line.write("inbound", at, caller[at : at + 160])
            if at >= 1600:  # the application is told 0.2 s late
                line.write("played", at - 1600, application[at - 1600 : at - 1440])
            if at % 4800 == 0:
                line.turn()

    both(0, 8000)
    line.sink.pause()
    line.sink.pause()
    assert line.sink.describe()["paused"] is True
    both(8000, 16_000)
    line.sink.resume()
    line.sink.resume()
    both(16_000, 32_000)
    sound = line.finish()
    left, right = caller.copy(), application.copy()
    left[8000:16_000] = 0
    right[6400:16_000] = 0  # what was heard before the pause and told in it is lost, for safety
    right[30_400:] = 0
    assert np.array_equal(sound, np.column_stack((left, right)))
    assert sidecar(tmp_path / "one")["pauses"] == [[8000, 8000]]


def test_a_pause_is_silent_in_g711_as_well(tmp_path: Path) -> None:
    line = Line(tmp_path / "one", encoding="g711")
    payload = bytes(range(160))
    for at in range(0, 4800, 160):
        if at in (1600, 3200):
            (line.sink.pause if at == 1600 else line.sink.resume)()
        line.write("inbound", at, decode_ulaw(payload), payload=payload)
    line.recording.finish(line.sink.take(), line.pool, {})
    header = read_header(tmp_path / "one" / "recording.wav")
    octets = (tmp_path / "one" / "recording.wav").read_bytes()[header.offset :: 2]
    assert octets[:4800] == 10 * payload + 1600 * b"\xff" + 10 * payload


def test_a_pause_lasts_to_the_end_if_nobody_ends_it(tmp_path: Path) -> None:
    line = Line(tmp_path / "one")
    line.say("inbound", 0, noise(1600))
    line.sink.pause()
    line.say("inbound", 1600, noise(1600))
    line.sink.stop()
    sound = line.finish()
    assert len(sound) == 3200
    assert not sound[1600:].any()
    assert sidecar(tmp_path / "one")["pauses"] == [[1600, 1600]]


def test_the_longest_length_is_exact_and_ends_the_recording_once(tmp_path: Path) -> None:
    line = Line(tmp_path / "one", max_length=2)
    caller = noise(24_000, 1)
    for at in range(0, 24_000, 150):
        line.write("inbound", 5000 + at, caller[at : at + 150])
        if at % 6000 == 0:
            line.turn()
    assert line.ended == [line.sink]
    assert np.array_equal(line.finish(), heard((0, 0, caller[:16_000]), (1, 0, np.zeros(16_000, np.int16))))
    assert sidecar(tmp_path / "one")["ended"] == "max_length"
    assert sidecar(tmp_path / "one")["origin"] == 5000


def test_a_stopped_recording_takes_nothing_more_and_says_why(tmp_path: Path) -> None:
    line = Line(tmp_path / "one")
    line.say("inbound", 0, noise(1600))
    line.sink.stop()
    line.sink.stop()
    line.say("inbound", 1600, noise(1600))
    assert line.ended == [line.sink]
    assert len(line.finish()) == 1600
    assert line.sink.describe() == {"recording": "one", "ended": "stop", "paused": False, "problems": []}


def test_silence_counts_once_somebody_has_spoken(tmp_path: Path) -> None:
    line = Line(tmp_path / "one", timeout_secs=2)
    quiet = noise(1600, 3) // 4000

    now = 0

    def listen(seconds: float, samples: Samples) -> Iterator[bool]:
        nonlocal now
        for _ in range(round(seconds * 5)):
            line.write("inbound", now, samples)
            now += 1600
            line.turn()
            yield line.recording.silent_too_long

    assert not any(listen(5, quiet))
    assert not any(listen(1, noise(1600)))
    assert list(listen(2.4, quiet)) == [False] * 9 + [True] * 3


# --- what goes wrong ----------------------------------------------------------------------------------------------


def test_what_waits_is_told_in_seconds(tmp_path: Path) -> None:
    line = Line(tmp_path / "one", inbound=16_000)
    line.write("inbound", 0, np.zeros(8000, np.int16))
    assert line.sink.seconds_waiting() == 0.5
    line.write("played", 0, np.zeros(2000, np.int16))
    assert line.sink.seconds_waiting() == 0.75
    line.sink.take()
    assert line.sink.seconds_waiting() == 0.0


def test_a_recording_that_failed_takes_no_frame_and_says_why(tmp_path: Path) -> None:
    line = Line(tmp_path / "one")
    line.write("inbound", 0, noise(160))
    line.recording.fail("cannot write: the disk is full")
    assert line.sink.refuse()
    assert not line.sink.refuse()  # once is news
    with pytest.raises(SinkError, match="the disk is full"):
        line.write("inbound", 160, noise(160))
    assert line.sink.describe()["problems"] == ["cannot write: the disk is full"]


def test_a_frame_at_another_rate_fails_the_recording_and_keeps_what_came_before(tmp_path: Path) -> None:
    line = Line(tmp_path / "one")
    line.write("inbound", 0, noise(160))
    with pytest.raises(SinkError, match="inbound came at 16000 Hz, not at 8000 Hz"):
        line.sink.write(AudioFrame("inbound", noise(160), 16_000, 160))
    line.turn()
    assert line.recording.problems == ["inbound came at 16000 Hz, not at 8000 Hz"]
    assert np.array_equal(read_wav(tmp_path / "one" / "recording.wav")[:, 0], noise(160))


def test_it_hears_the_caller_and_the_application(tmp_path: Path) -> None:
    assert Line(tmp_path / "one").sink.tracks == {"inbound", "played"}
