"""An hour of a call on an injected clock: packets get lost, the line is gone a while, and two clocks disagree.

The caller's channel must be exact on the media's time line, sample by sample; the application's pieces must stand where
the fine print puts them: a piece begins where the one before it ended, or where the caller's channel is by then.
"""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import structlog

from audio_codecs import Samples, open_codec
from audio_codecs.g711 import decode_ulaw
from gateway.protocol.messages import Media, MediaBody
from gateway.sinks.base import StreamInfo
from gateway.sinks.recorder.complete import Completion
from gateway.sinks.recorder.recording import Recording
from gateway.sinks.recorder.sink import RecorderSink
from gateway.sinks.recorder.window import BlockPool
from tests.fakes import FakeLine, FakeWire
from tests.gateway.sinks.recorder.recordings import read_wav, sidecar

PACKETS = 180_000  # of 20 ms
LOST_AT = 90_000  # the packet before which the line is gone
HOLE = 30.0  # seconds
DRIFT = 50e-6  # the sender's clock is slower than ours
LOSS = 0.001
FRAME = 160
EVERY, UTTERANCE = 1000, 20_320  # the application speaks every 20 s, for 127 frames: the last two are told late


class Hour:
    """The call, the recorder without its service, and what is to be in the file."""

    def __init__(self, folder: Path) -> None:
        self.line = FakeLine(sinks={"recorder": self._open})
        self.call, self.clock = self.line.call, self.line.clock
        self.folder = folder
        self.random = random.Random(50)
        codes = np.random.default_rng(1).integers(0, 256, PACKETS * FRAME, dtype=np.uint8).tobytes()
        self.payloads = [codes[at : at + FRAME] for at in range(0, len(codes), FRAME)]
        self.voice = np.random.default_rng(2).integers(-20_000, 20_000, UTTERANCE, dtype=np.int16)
        self.lost: list[int] = []
        self.hole = 0
        self.spoken: list[tuple[int, Samples]] = []
        self.recording: Recording
        self.sink: RecorderSink

    @asynccontextmanager
    async def _open(self, info: StreamInfo) -> AsyncIterator[RecorderSink]:
        self.recording = Recording(self.folder, info)
        self.pool = BlockPool(8000, *self.recording.sound.waiting)
        self.sink = RecorderSink(self.recording, self.pool, on_end=lambda sink: None)
        self.recording.create()
        yield self.sink

    def turn(self) -> None:
        self.recording.flush(self.sink.take(), self.pool)

    def run(self) -> None:
        """Every packet at its time by our clock, a little early or late."""
        begin, shift, numbers = self.clock.now + 0.1, 0.0, 2
        last = begin
        for number in range(PACKETS):
            due = begin + shift + number * 0.02 * (1 + DRIFT)
            if number == LOST_AT:
                self._lose_the_line(due + HOLE)
                self.hole = round((due + HOLE - (last + 0.02)) * 8000)
                shift, numbers, due = HOLE, 2 - LOST_AT, due + HOLE
            elif self.random.random() < LOSS and self._may_be_lost(number):
                self.lost.append(number)
                continue
            else:
                due += self.random.uniform(0, 0.004)
            self.clock.run_until(due)
            body = MediaBody("inbound", number + numbers - 1, 0, self.payloads[number])
            self.call.media_received(Media(number + numbers, "", body), due)
            last = due
            if number % 40 == 0:
                self.turn()
            if number % EVERY == 500:
                self._speak(number)
            elif number % EVERY == 560 and number // EVERY % 2:
                self._fall_silent()

    def _may_be_lost(self, number: int) -> bool:
        """Not where a gap that still waits would hold up the caller's channel as the application begins to speak."""
        return 0 < number < PACKETS - 10 and not 490 < number % EVERY <= 500

    def _speak(self, number: int) -> None:
        """Say something in one go; it begins where the caller's channel is now."""
        here = (number + 1) * FRAME + (self.hole if number >= LOST_AT else 0)
        self.spoken.append((here, self.voice))
        self.said_at = self.clock.now
        self.call.send_audio(self.voice, 8000)

    def _fall_silent(self) -> None:
        """What was not due to be heard by now was never heard."""
        frames = int((self.clock.now - self.said_at) / 0.02 + 1e-6) + 1
        position, samples = self.spoken[-1]
        self.spoken[-1] = position, samples[: frames * FRAME]
        self.call.clear()

    def _lose_the_line(self, until: float) -> None:
        self.call.link_lost()
        self.clock.run_until(until)
        wire = FakeWire()
        self.call.reconnect(
            "STREAM-2",
            stream=wire.stream,
            inbound=lambda: open_codec("PCMU", 8000),
            transmit=wire.transmit,
            on_end=lambda reason: None,
            log=structlog.get_logger(),
        )


async def test_an_hour_is_where_it_was_heard_to_the_sample(tmp_path: Path) -> None:
    hour = Hour(tmp_path / "one")
    async with hour.line.running():
        hour.run()
    hour.sink.stop()
    hour.recording.finish(hour.sink.take(), hour.pool, hour.call.report())
    hour.recording.release()
    Completion().complete(hour.folder)
    sound = read_wav(hour.folder / "recording.wav")
    assert abs(hour.hole - HOLE * 8000) < 100
    assert 120 < len(hour.lost) < 240

    # The caller's channel: every packet that came, at the place of its number.
    assert len(sound) == PACKETS * FRAME + hour.hole
    left = np.concatenate((sound[: LOST_AT * FRAME, 0], sound[LOST_AT * FRAME + hour.hole :, 0])).reshape(-1, FRAME)
    said = decode_ulaw(b"".join(hour.payloads)).reshape(-1, FRAME)
    came = np.ones(PACKETS, bool)
    came[hour.lost] = False
    assert np.array_equal(left[came], said[came])
    assert not sound[LOST_AT * FRAME :, 0][: hour.hole].any()

    # The ledger tells of what did not.
    values = sidecar(hour.folder)
    gaps = values["report"]["received"]["ledger"]["gaps"]
    lost = {
        position
        for gap in gaps
        if gap["cause"] == "lost"
        for position in range(gap["position"], gap["position"] + gap["length"], FRAME)
    }
    assert lost == {number * FRAME + (hour.hole if number >= LOST_AT else 0) for number in hour.lost}
    assert [(gap["position"], gap["length"]) for gap in gaps if gap["cause"] == "reconnect"] == [
        (LOST_AT * FRAME, hour.hole)
    ]

    # The application's: pieces at their places, as far as they were heard, and nothing else.
    right = np.zeros(len(sound), np.int16)
    for position, samples in hour.spoken:
        right[position : position + len(samples)] = samples
    assert np.array_equal(sound[:, 1], right)
    assert values["played_pieces"] == [[position, len(samples)] for position, samples in hour.spoken]
    assert len(hour.spoken) == PACKETS // EVERY
