"""What the application says in a call: when it leaves, when it is heard, and how it falls silent."""

from collections.abc import Iterator

import numpy as np
import pytest
from structlog.testing import capture_logs

from audio_codecs import encode_ulaw, open_codec
from gateway.agents.echo import Echo
from tests.fakes import FakeLine, ListSink, noise
from tests.gateway.test_call import FRAME, payload, payloads


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


async def test_an_echo_leaves_in_the_wake_up_that_its_sound_came_in() -> None:
    line = FakeLine(agent=Echo)
    async with line.running():
        for number in range(5):
            line.say(payload(number))
            assert len(line.payloads()) == number + 1
            line.wait(0.02)
    assert line.payloads() == payloads(5)


async def test_speech_leaves_in_its_time_and_the_sinks_hear_it_as_the_caller_does() -> None:
    sink = ListSink("inbound", "played")
    line = FakeLine(sinks={"sink": sink.factory}, playout_lead=0.1)
    speech = noise(8000)
    async with line.running():
        line.say(*payloads(10))
        line.call.send_audio(speech)
        sent = []
        for number in range(60):
            sent.append(len(line.payloads()))
            line.wait(0.02)
            line.say(payload(10 + number))
    lead = 0.1 / 0.02
    for tick, count in enumerate(sent):
        assert min(50, tick + lead - 1) <= count <= min(50, tick + lead + 1)
    assert line.payloads() == [encode_ulaw(speech[at : at + FRAME]) for at in range(0, 8000, FRAME)]
    played = [frame for frame in sink.frames if frame.track == "played"]
    assert [frame.timestamp for frame in played] == [1600 + 5 * FRAME * number for number in range(10)]
    assert np.array_equal(np.concatenate([frame.samples for frame in played]), speech)


async def test_five_due_pieces_come_to_the_sinks_as_one_frame() -> None:
    sink = ListSink("played")
    line = FakeLine(sinks={"sink": sink.factory}, playout_lead=1.0)
    speech = noise(5 * FRAME)
    async with line.running():
        line.say(*payloads(2))
        line.call.send_audio(speech)  # all of it leaves at once: from here on only packets wake the call
        for number in range(4):
            line.say(payload(2 + number))
            assert sink.frames == []
            line.wait(0.021)
        line.say(payload(6))
        (frame,) = sink.frames
        assert (frame.track, frame.sample_rate, frame.timestamp) == ("played", 8000, 2 * FRAME)
        assert np.array_equal(frame.samples, speech)


async def test_speech_is_heard_in_its_time_where_nothing_comes_from_the_caller() -> None:
    sink = ListSink("played")
    line = FakeLine(sinks={"sink": sink.factory})
    async with line.running():
        for number in range(100):
            line.call.send_audio(noise(FRAME))
            heard = sum(len(frame.samples) for frame in sink.frames)
            assert heard >= (number - 5) * FRAME  # none is kept longer than a tenth of a second
            line.wait(0.02)
    assert sum(len(frame.samples) for frame in sink.frames) == 100 * FRAME


async def test_speech_at_another_rate_is_converted() -> None:
    line = FakeLine(playout_lead=5.0)
    async with line.running():
        line.call.send_audio(noise(16_000), 16_000)
    assert len(line.payloads()) == 50


async def test_clear_silences_both_queues_and_the_sinks_hear_no_more_of_it() -> None:
    sink = ListSink("played")
    line = FakeLine(sinks={"sink": sink.factory}, playout_lead=0.1)
    async with line.running():
        line.call.send_audio(noise(16_000))
        line.wait(0.5)
        sent = len(line.sent)
        line.call.clear()
        line.wait(5.0)
        assert line.script()[sent:] == ["clear"]
        fresh = noise(FRAME, seed=2)
        line.call.send_audio(fresh)
        assert line.payloads()[-1] == encode_ulaw(fresh)
        line.wait(0.1)
    heard = sum(len(frame.samples) for frame in sink.frames[:-1])
    assert heard == 26 * FRAME  # half a second, the piece that began with `clear` included
    assert np.array_equal(sink.frames[-1].samples, fresh)
    assert line.call.report()["played"]["samples_cleared"] == 16_000 - heard


async def test_marks_leave_in_order_and_none_is_lost_by_clear() -> None:
    line = FakeLine(playout_lead=0.05)
    async with line.running():
        line.call.mark("now")
        line.call.send_audio(noise(2 * FRAME))
        line.call.mark("short")
        line.call.send_audio(noise(8000))
        line.call.mark("long")
        line.wait(0.1)
        line.call.clear()
    assert [word for word in line.script() if word != "media"] == ["now", "short", "clear", "long"]


async def test_a_tail_is_sent_without_anything_else_happening() -> None:
    line = FakeLine()
    async with line.running():
        line.call.send_audio(noise(200))
        assert len(line.payloads()) == 1
        line.wait(0.03)
        assert len(line.payloads()) == 2


async def test_what_is_due_sooner_does_not_wait_for_what_is_due_later() -> None:
    line = FakeLine(reorder_window=0.5)
    async with line.running():
        line.say(payload(0))
        line.lose(payload(1))
        line.say(payload(2))  # the gap before it may wait for half a second
        line.call.send_audio(noise(100))
        line.wait(0.03)
        assert len(line.payloads()) == 1
        assert line.call.report()["received"]["frames_concealed"] == 0
        line.wait(0.5)
        assert line.call.report()["received"]["frames_concealed"] == 1


async def test_nothing_is_sent_once_the_call_has_ended() -> None:
    line = FakeLine()
    async with line.running():
        line.call.send_audio(noise(FRAME))
        line.wait(1.0)
        line.call.send_audio(noise(100))  # waits for more
    line.wait(1.0)
    line.call.send_audio(noise(FRAME))
    line.call.mark("late")
    line.call.clear()
    line.wait(1.0)
    assert line.script() == ["media"]


async def test_a_long_speech_is_told_in_its_time_by_the_pacer_alone() -> None:
    sink = ListSink("played")
    line = FakeLine(sinks={"sink": sink.factory}, playout_lead=0.1)
    async with line.running():
        line.call.send_audio(noise(100 * FRAME))  # two seconds, and nothing comes or is said any more
        line.wait(1.0)
        heard = sum(len(frame.samples) for frame in sink.frames)
        assert 45 * FRAME <= heard <= 51 * FRAME


async def test_played_positions_are_counted_in_samples_of_what_is_played() -> None:
    sink = ListSink("played")
    line = FakeLine(sinks={"sink": sink.factory}, outbound=open_codec("L16", 16_000))
    async with line.running():
        line.say(*payloads(10))  # 1600 samples at 8 kHz
        line.call.send_audio(noise(320))
    assert [frame.timestamp for frame in sink.frames] == [3200]
