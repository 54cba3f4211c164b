"""A stream in the mode `mp3`: whole files, one a second."""

from collections.abc import Iterator

import numpy as np
import pytest
from structlog.testing import capture_logs

from audio_codecs import Samples, decode_mp3, encode_mp3, open_codec
from gateway.errors import PlaybackError
from gateway.protocol.messages import Play
from tests.fakes import FakeLine, ListSink, noise
from tests.gateway.heard_line import live_until, until
from tests.gateway.sound.test_source import tone

pytest.importorskip("av")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


class Mp3Line(FakeLine):
    """`files` is what was sent, with the time of each."""

    def __init__(self, **fields: object) -> None:
        self.files: list[tuple[float, bytes]] = []
        super().__init__(outbound=open_codec("MP3", 8000), **fields)  # type: ignore[arg-type]

    def transmit(self, text: bytes) -> None:
        super().transmit(text)
        message = self.sent[-1]
        if isinstance(message, Play):
            self.files.append((self.clock.now, message.media.payload))


async def test_a_file_goes_out_as_it_is_and_is_recorded_as_it_is_heard() -> None:
    octets = encode_mp3(tone(2.0, 16_000), 16_000)
    sink = ListSink("played")
    line = Mp3Line(sinks={"sink": sink.factory})
    async with line.running():
        playback = line.call.play(octets, name="greeting")
        await until(lambda: line.files)
        assert [payload for _, payload in line.files] == [octets]
        line.wait(1.0)
        assert playback.heard == pytest.approx(1000, abs=60)
        line.wait(3.0)
        finished = await playback
    assert len(line.files) == 1
    assert (finished.interrupted, finished.heard) == (False, finished.queued)
    assert finished.heard == pytest.approx(2000, abs=160)
    assert len(sink.sound()) == finished.heard * 8


async def test_files_leave_one_a_second_and_in_their_turn() -> None:
    files = [encode_mp3(tone(seconds, 8000), 8000) for seconds in (0.2, 0.2, 3.0, 0.2)]
    line = Mp3Line()
    async with line.running():
        plays = [line.call.play(file) for file in files]
        await until(lambda: all(play._utterance.waiting for play in plays[1:]) and line.files)
        await live_until(line, plays[-1].done)
    assert [payload for _, payload in line.files] == files
    times = np.array([time for time, _ in line.files])
    assert np.diff(times).min() >= 1.0
    assert np.diff(times)[2] == pytest.approx(3.0 - 0.16, abs=0.2)  # when the long one is nearly over


async def test_any_sound_becomes_a_file_of_its_own() -> None:
    samples: Samples = tone(0.5, 8000)
    line = Mp3Line()
    async with line.running():
        line.call.play(samples, 8000)
        await live_until(line, line.call.send_dtmf("1", duration_ms=200).done)
    first, second = (decode_mp3(payload)[0] for _, payload in line.files)
    assert np.corrcoef(first[500:3500], samples[500:3500])[0, 1] > 0.95
    spectrum = np.abs(np.fft.rfft(second[160:1440]))  # 6.25 Hz each
    assert [np.argmax(spectrum[:160]) * 6.25, 1000 + np.argmax(spectrum[160:]) * 6.25] == pytest.approx(
        [697, 1209], abs=15
    )


async def test_clear_silences_a_file() -> None:
    line = Mp3Line()
    async with line.running():
        playback = line.call.play(encode_mp3(tone(5.0, 8000), 8000))
        await until(lambda: line.files)
        line.wait(1.0)
        line.call.clear()
        finished = await playback
    assert "clear" in line.script()
    assert finished.interrupted
    assert finished.heard == pytest.approx(1000, abs=40)


async def test_what_is_not_a_file_is_refused() -> None:
    line = Mp3Line()
    async with line.running():
        with pytest.raises(PlaybackError, match="whole files: use play"):
            line.call.send_audio(noise(160))
        with pytest.raises(PlaybackError, match="nothing can be paused"):
            line.call.pause()
    assert line.files == []
