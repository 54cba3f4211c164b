"""What the application says in a call: when it leaves, when it is heard, and how it falls silent."""

from collections.abc import Iterator

import numpy as np
import pytest
import structlog
from structlog.testing import capture_logs

from audio_codecs import encode_ulaw, open_codec
from gateway.agents.echo import Echo
from gateway.call import Call, CallOptions
from gateway.errors import PlaybackError
from gateway.items import Dtmf, MarkReached
from gateway.media.pacer import Pacer
from gateway.protocol.messages import Mark
from tests.fakes import FakeClock, FakeLine, FakeWire, ListSink, acting, noise
from tests.gateway.heard_line import HeardLine
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


# --- with somebody at the other end --------------------------------------------------------------------------------


@pytest.mark.parametrize("message", [0.02, 0.1, 0.2])
async def test_a_stall_of_100_ms_leaves_no_gap_in_what_was_said_before_it(message: float) -> None:
    samples = noise(3 * 8000)
    line = HeardLine(playout_message=message)
    async with line.running():
        line.call.send_audio(samples)
        for stall in (0.0, 0.1, 0.0, 0.1):
            line.wait(0.5)
            line.clock.late = stall  # every timer comes so late for the next half second
        line.clock.late = 0.0
        line.wait(3.0)
    assert np.array_equal(line.heard(), samples)
    assert line.far.gaps == []
    assert line.call.report()["played"]["underruns"] == 0


async def test_calls_that_begin_together_do_not_send_together() -> None:
    clock = FakeClock()
    pacer = Pacer(clock.call_later, clock)
    sent: dict[float, set[int]] = {}  # which calls sent at a time
    for number in range(8):
        wire = FakeWire()

        def transmit(text: bytes, number: int = number) -> None:
            sent.setdefault(round(clock.now, 6), set()).add(number)

        call = Call(
            wire.start,
            stream=wire.stream,
            inbound=lambda: open_codec("PCMU", 8000),
            outbound=open_codec("PCMU", 8000),
            options=CallOptions(sinks={}),
            transmit=transmit,
            on_end=lambda reason: None,
            pacer=pacer,
            clock=clock,
            log=structlog.get_logger(),
        )
        call.send_audio(noise(8000))
    sent.clear()
    clock.run_until(clock.now + 0.5)
    assert max(len(calls) for calls in sent.values()) == 2  # of eight
    assert {call for calls in sent.values() for call in calls} == set(range(8))


async def test_keys_are_told_in_the_order_they_were_pressed_in() -> None:
    keys = []

    async def read(call: Call) -> None:
        keys.extend([item.digit async for item in call if isinstance(item, Dtmf)])

    line = FakeLine(agent=acting(read))
    async with line.running():
        for digit, second in (("2", 2), ("1", 1), ("3", 3)):
            line.tell(line.carrier.send_dtmf(digit, occurred_at=f"2026-11-20T10:00:0{second}.000000Z"))
        line.wait(0.07)
        line.tell(line.carrier.send_dtmf("4", occurred_at="2026-11-20T10:00:04.000000Z"))
    assert keys == ["1", "2", "3", "4"]  # the last one with the call's end
    report = line.call.report()
    assert (report["digits_received"], report["digits_late"]) == (4, 0)


async def test_marks_of_the_gateways_own_reach_nobody_and_their_names_are_not_for_others() -> None:
    told = []

    async def read(call: Call) -> None:
        told.extend([item.name async for item in call if isinstance(item, MarkReached)])

    line = HeardLine(agent=acting(read))
    async with line.running():
        line.call.send_audio(noise(3 * 8000))
        line.call.mark("mine")
        with pytest.raises(PlaybackError, match="'gateway:'"):
            line.call.mark("gateway:1")
        with pytest.raises(PlaybackError, match="4097 characters"):
            line.call.mark("m" * 4097)
        await line.live(4.0)
    assert told == ["mine"]
    assert sum(isinstance(message, Mark) for message in line.sent) > 3


async def test_marks_that_wait_are_bounded() -> None:
    line = FakeLine()
    async with line.running():
        line.call.send_audio(noise(8000))
        for number in range(1000):
            line.call.mark(str(number))
        with pytest.raises(PlaybackError, match="1000 marks"):
            line.call.mark("one more")


async def test_sound_and_marks_of_an_echo_are_its_own_alone() -> None:
    line = HeardLine(agent=Echo)
    async with line.running():
        for number in range(200):
            line.say(payload(number))
            line.wait(0.02)
    assert not any(isinstance(message, Mark) for message in line.sent)
    (entry,) = line.call.report()["played"]["playbacks"]
    assert (entry["heard"], entry["estimated"]) == (4000, True)
