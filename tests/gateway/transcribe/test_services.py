"""Every streaming service: the normal run, a connection that breaks, a service that stalls, a key that is refused.

What a service is said to have understood is what it was really sent: see `recogniser.py`.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import structlog
from structlog.testing import capture_logs

from audio_codecs import Samples, decode_ulaw, encode_ulaw
from gateway.media.frame import AudioFrame
from gateway.sinks.base import SinkSource
from gateway.sinks.delivery import Declared, Restart, delivery_of
from gateway.sinks.url import SinkConfig, SinkUrl
from gateway.transcribe.opening import open_transcriber, streaming_source
from gateway.transcribe.segment import FINAL, PARTIAL, Segment
from gateway.transcribe.streaming import Patience
from tests.fakes import ListSink
from tests.gateway.sinks.streams import Sinks, cut, stream_info, until
from tests.gateway.transcribe.fake_services import (
    FAKES,
    AssemblyAIFake,
    DeepgramFake,
    Fake,
    OpenAIFake,
    SherpaPythonFake,
)
from tests.gateway.transcribe.recogniser import Spoken, speech, texts

AGAIN = Restart(first=0.01, longest=0.05, attempts=5, healthy=10.0)
PATIENCE = Patience(ahead=60.0, again=AGAIN)

each_service = pytest.mark.parametrize("kind", FAKES, ids=lambda kind: kind.__name__.removesuffix("Fake"))


@pytest.fixture
async def fake(kind: type[Fake]) -> AsyncIterator[Fake]:
    async with kind().running() as running:
        yield running


def source_of(fake: Fake, patience: Patience, options: str, close_timeout: float) -> SinkSource:
    """What the settings lead to."""
    url = SinkUrl.parse(fake.url + options)
    config = SinkConfig(path=url.path, options=url.options, data_dir=None, log=structlog.get_logger())  # type: ignore[arg-type]
    environment = {} if fake.variable is None else {fake.variable: fake.key}
    source = streaming_source(config, url.scheme, environment=environment, patience=patience)
    return Declared(source, replace(delivery_of(source), close_timeout=close_timeout))


class Call:
    """A call with a transcriber; `segments` is what was published, `other` a sink beside it."""

    def __init__(
        self, fake: Fake, patience: Patience = PATIENCE, options: str = "", close_timeout: float = 10.0, **info: Any
    ) -> None:
        self.segments: list[Segment] = []
        self.other = ListSink()
        self.sinks = Sinks(
            {"transcriber": source_of(fake, patience, options, close_timeout), "other": self.other.factory}
        )
        self.info = stream_info(publish=self._publish, **info)

    def _publish(self, event_type: str, data: Any) -> None:
        assert event_type in (PARTIAL, FINAL)
        json.dumps(data)
        segment = Segment.read(data)
        assert segment.event_type == event_type
        self.segments.append(segment)

    @property
    def finals(self) -> list[Segment]:
        return [segment for segment in self.segments if segment.final]

    @property
    def text(self) -> str:
        return " ".join(segment.text for segment in self.finals)

    def told(self) -> dict[str, Any]:
        return self.sinks.told("transcriber")


def pcmu(sound: Samples) -> list[AudioFrame]:
    """Frames as a PCMU stream has them."""
    made = []
    for frame in cut(sound):
        payload = encode_ulaw(frame.samples)
        made.append(AudioFrame("inbound", decode_ulaw(payload), 8000, frame.timestamp, payload))
    return made


async def transcribe(call: Call, frames: list[AudioFrame]) -> None:
    """A call that consists of these frames, all at once, and is hung up behind them."""
    async with call.sinks.running(call.info):
        call.sinks.write(*frames)


@each_service
async def test_what_is_said_is_told_with_its_place(fake: Fake) -> None:
    sound, words = speech("1 2 3", "4 5")
    call = Call(fake)
    await transcribe(call, pcmu(sound))
    assert call.text == "1 2 3 4 5"
    assert call.told()["state"] == "closed"
    assert call.told()["connection"] == "closed"
    assert (call.told()["reconnects"], call.told()["seconds_lost"], call.told()["messages_bad"]) == (0, 0, 0)
    assert call.told()["finals"] == 2
    assert call.told()["partials"] == len(call.segments) - 2 > 0
    assert {segment.track for segment in call.segments} == {"inbound"}
    assert {segment.transcriber for segment in call.segments} == {fake.scheme}
    check_places(fake, call.finals, words)


def check_places(fake: Fake, finals: list[Segment], words: list[Spoken]) -> None:
    """Words to a hundredth where the service tells; else the utterance lies where its words are, roughly."""
    spoken = iter(words)
    for segment in finals:
        said = [next(spoken) for _ in segment.text.split()]
        if not segment.words:
            assert segment.start <= segment.end
            if not isinstance(fake, SherpaPythonFake):  # which tells no places, only what it has by now
                assert segment.start == pytest.approx(said[0].start, abs=0.05)
            continue
        assert [word.text for word in segment.words] == [word.text for word in said]
        for word, expected in zip(segment.words, said, strict=True):
            assert (word.start, word.end) == pytest.approx((expected.start, expected.end), abs=0.021)
        assert (segment.start, segment.end) == pytest.approx((said[0].start, said[-1].end), abs=0.021)


@each_service
@pytest.mark.parametrize("drops", [[0.5], [0.3, 0.62, 0.85], [1.95, 0.3]], ids=str)
async def test_a_drop_loses_nothing_and_doubles_nothing(fake: Fake, drops: list[float]) -> None:
    sound, words = speech("1 2 3", "4 5 6", "7 8")
    fake.drops = drops
    # The server in Python does not tell how far it is: it has to be sent sound as it can take it.
    call = Call(fake, replace(PATIENCE, ahead=2.0) if isinstance(fake, SherpaPythonFake) else PATIENCE)
    async with call.sinks.running(call.info):
        for at in range(0, len(sound), 4000):
            call.sinks.write(*pcmu_at(sound, at))
            await asyncio.sleep(0.02)
    assert call.text == texts(words)
    assert call.told()["reconnects"] == len(drops) == len(fake.requests) - 1
    assert call.told()["seconds_lost"] == 0
    assert call.told()["seconds_replayed"] > 0
    check_places(fake, call.finals, words)


def pcmu_at(sound: Samples, at: int, length: int = 4000) -> list[AudioFrame]:
    return [frame for frame in pcmu(sound) if at <= frame.timestamp < at + length]


@each_service
async def test_a_key_that_is_refused_is_told_once_and_not_tried_again(fake: Fake) -> None:
    fake.refuse = 401
    call = Call(fake)
    with capture_logs() as logs:
        async with call.sinks.running(call.info):
            for number in range(20):
                call.sinks.write(AudioFrame("inbound", np.zeros(160, np.int16), 8000, 160 * number))
                await asyncio.sleep(0.01)
    assert len(fake.requests) == 1
    (line,) = [line for line in logs if line["log_level"] in ("warning", "error")]
    assert (line["event"], line["sink"]) == ("sink failed", "transcriber")
    assert line["error"] == f"ServiceRefusedError: {fake.scheme} answers 401: it does not take the key"
    assert call.told()["state"] == "failed"
    assert "the-key" not in json.dumps([logs, call.told()], default=str)
    assert len(call.other.frames) == 20


@each_service
async def test_a_service_that_stops_reading_costs_the_call_nothing(fake: Fake) -> None:
    fake.deaf = True
    sound, _ = speech("1 2 3")
    call = Call(fake, Patience(finish=0.1, kept=1.0, ahead=60.0, again=AGAIN), close_timeout=0.2)
    async with call.sinks.running(call.info):
        for number in range(1000):  # twenty seconds
            frame = AudioFrame("inbound", sound[:160], 8000, 160 * number)
            call.sinks.write(frame)
            assert call.other.frames[-1] is frame, "the others have it before `write` is back"
            if not number % 100:
                await asyncio.sleep(0.001)
    told = call.told()
    assert told["state"] == "closed"
    assert told["frames"] + told["frames_dropped"] == 1000
    assert len(call.other.frames) == 1000


@each_service
async def test_a_service_that_does_not_open_costs_the_oldest_sound_and_says_so(fake: Fake) -> None:
    fake.refuse = 503
    sound, words = speech("1 2 3")
    patience = Patience(kept=1.0, ahead=60.0, again=Restart(first=0.05, longest=0.05, attempts=1000))
    call = Call(fake, patience)
    old = [AudioFrame("inbound", sound[:160], 8000, 160 * number) for number in range(800)]
    end = 160 * len(old)
    async with call.sinks.running(call.info):
        for number, frame in enumerate(old):
            call.sinks.write(frame)
            if not number % 50:
                await asyncio.sleep(0)
        await until(lambda: call.told()["frames_dropped"] > 0)
        fake.refuse = None
        call.sinks.write(*(AudioFrame("inbound", f.samples, 8000, end + f.timestamp, f.payload) for f in pcmu(sound)))
    assert call.text == "1 2 3"
    assert call.told()["problem"] == "it answers 503"
    assert call.finals[-1].end == pytest.approx(end / 8000 + words[-1].end, abs=0.6)
    assert len(call.other.frames) == 800 + len(pcmu(sound))


@each_service
async def test_one_that_never_answers_is_waited_for_only_so_long_at_the_end(fake: Fake) -> None:
    fake.mute = True
    call = Call(fake, Patience(finish=0.2, ahead=60.0, again=AGAIN))
    sound, _ = speech("1 2", "3")
    loop = asyncio.get_running_loop()
    began = loop.time()
    with capture_logs() as logs:
        await transcribe(call, pcmu(sound))
    assert loop.time() - began < 5
    assert call.text == ""
    assert [line["event"] for line in logs if line["log_level"] == "warning"] == ["transcriber not finished"]
    assert call.told()["connection"] == "unfinished"
    assert call.told()["seconds_waiting"] > 1


@pytest.mark.parametrize("kind", [DeepgramFake, OpenAIFake, AssemblyAIFake])
async def test_pcmu_goes_through_untouched_but_for_what_was_made_up(fake: Fake) -> None:
    sound, _ = speech("1 2 3")
    frames = pcmu(sound)
    lost = frames[5]
    frames[5] = AudioFrame("inbound", lost.samples, 8000, lost.timestamp, b"", concealed=True)
    call = Call(fake)
    await transcribe(call, frames)
    octets = b"".join(frame.payload or encode_ulaw(frame.samples) for frame in frames)
    assert b"".join(fake.payloads)[: len(octets)] == octets
    assert call.told()["sends"] == "PCMU/8000"


@each_service
@pytest.mark.parametrize(("encoding", "rate"), [("L16", 16_000), ("G722", 16_000), ("PCMA", 8000), ("OPUS", 48_000)])
async def test_any_stream_is_sent_in_a_format_that_the_service_takes(fake: Fake, encoding: str, rate: int) -> None:
    sound, words = speech("1 2", "3", rate=rate)
    call = Call(fake, inbound_encoding=encoding, inbound_sample_rate=rate)
    await transcribe(call, list(cut(sound, sample_rate=rate)))
    assert call.text == texts(words)
    check_places(fake, call.finals, words)


@pytest.mark.parametrize("kind", [AssemblyAIFake])
async def test_a_key_that_is_refused_behind_the_handshake_counts_as_well(fake: AssemblyAIFake) -> None:
    fake.close_with = 1008
    call = Call(fake)
    async with call.sinks.running(call.info):
        for number in range(20):
            call.sinks.write(AudioFrame("inbound", np.zeros(160, np.int16), 8000, 160 * number))
            await asyncio.sleep(0.01)
    assert len(fake.requests) == 1
    assert "1008: it does not take the key" in call.told()["error"]
    assert "the-key" not in call.told()["error"]


@pytest.mark.parametrize("kind", [OpenAIFake])
async def test_a_model_that_is_refused_is_told_by_its_option(fake: Fake) -> None:
    call = Call(fake, options="&model=nonsense")
    await transcribe(call, pcmu(speech("1")[0]))
    assert len(fake.requests) == 1
    assert call.told()["error"] == "ServiceRefusedError: openai does not take the options: invalid_value (model)"


@pytest.mark.parametrize("kind", [DeepgramFake])
async def test_a_service_that_cannot_be_reached_is_given_up_after_the_last_attempt(fake: Fake) -> None:
    fake.refuse = 503
    call = Call(fake, Patience(again=Restart(first=0.001, longest=0.001, attempts=3)))
    with capture_logs() as logs:
        async with call.sinks.running(call.info):
            await until(lambda: call.told()["connection"] == "failed")
            call.sinks.write(*pcmu(speech("1")[0]))
    assert len(fake.requests) == 4
    assert call.told()["error"] == "ServiceError: deepgram cannot be reached: it answers 503"
    assert [line["event"] for line in logs] == ["transcriber disconnected", "sink failed"]


@pytest.mark.parametrize("kind", [DeepgramFake])
async def test_the_application_s_voice_has_holes_and_is_transcribed_in_its_place(fake: Fake) -> None:
    first, said = speech("1 2")
    second, also = speech("3 4")
    call = Call(fake, options="&track=played")
    frames = [AudioFrame("played", f.samples, 8000, f.timestamp + 80_000, f.payload) for f in pcmu(first)]
    frames += [AudioFrame("played", f.samples, 8000, f.timestamp + 400_000, f.payload) for f in pcmu(second)]
    await transcribe(call, frames)
    assert [segment.text for segment in call.finals] == ["1 2", "3 4"]
    assert [segment.track for segment in call.finals] == ["played", "played"]
    assert call.finals[0].start == pytest.approx(10 + said[0].start, abs=0.02)
    assert call.finals[1].end == pytest.approx(50 + also[-1].end, abs=0.02)
    assert call.told()["seconds_sent"] < 5, "a hole costs a second at most"


@pytest.mark.parametrize("kind", [DeepgramFake])
async def test_an_agent_is_told_by_its_listener_and_everybody_else_as_well(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPGRAM_API_KEY", fake.key)
    published: list[str] = []
    told: list[Segment] = []
    info = stream_info(publish=lambda event_type, data: published.append(event_type))
    async with open_transcriber(fake.url, info, on_segment=told.append) as sink:
        sinks = Sinks({"listener": Declared(lambda info: sink, sink.delivery)})  # type: ignore[attr-defined]
        async with sinks.running():
            sinks.write(*pcmu(speech("1 2 3", "4")[0]))
        await until(lambda: sinks.told("listener")["state"] == "closed")
    assert [segment.text for segment in told if segment.final] == ["1 2 3", "4"]
    assert len(published) == len(told)
