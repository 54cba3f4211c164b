"""One call from outside: messages in, messages and frames out, on a clock that the test moves."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
from structlog.testing import capture_logs

from audio_codecs import Codec, Samples, decode_ulaw, encode_ulaw, open_codec
from gateway.agents.echo import Echo
from gateway.call import EndReason
from gateway.errors import SinkError
from gateway.media.frame import AudioFrame
from gateway.sinks.base import AudioSink, StreamInfo
from tests.fakes import FakeLine, ListSink, acting, noise, settle

FRAME = 160


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


def payload(number: int) -> bytes:
    """A PCMU packet of its own for each number, without silence."""
    return encode_ulaw(noise(FRAME, seed=number))


def payloads(count: int, first: int = 0) -> list[bytes]:
    return [payload(number) for number in range(first, first + count)]


class FailingSink(ListSink):
    """Takes so many frames, and then no more."""

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.room = frames

    def write(self, frame: AudioFrame) -> None:
        if len(self.frames) == self.room:
            raise SinkError("full")
        super().write(frame)


# --- from the socket to the sinks ----------------------------------------------------------------------------------


async def test_every_sink_gets_each_frame_once_and_the_same_object() -> None:
    first, second, deaf = ListSink(), ListSink("inbound", "outbound"), ListSink("played")
    line = FakeLine(sinks={"first": first.factory, "second": second.factory, "deaf": deaf.factory})
    async with line.running():
        line.say(*payloads(3))
        line.say(payload(9), track="outbound")
    assert first.timestamps() == [0, 160, 320]
    assert [(frame.track, frame.timestamp) for frame in second.frames] == [
        ("inbound", 0),
        ("inbound", 160),
        ("inbound", 320),
        ("outbound", 0),
    ]
    assert all(one is another for one, another in zip(first.frames, second.frames[:3], strict=True))
    assert deaf.frames == []
    assert np.array_equal(first.sound(), decode_ulaw(b"".join(payloads(3))))
    assert first.frames[1].payload == payload(1)


async def test_a_sink_is_opened_with_what_start_said_and_closed_at_the_end() -> None:
    sink = ListSink()
    line = FakeLine(sinks={"sink": sink.factory}, outbound=open_codec("L16", 16_000))
    async with line.running():
        assert sink.closed == 0
    (info,) = sink.opened
    assert sink.closed == 1
    assert (info.call_control_id, info.stream_id, info.call_session_id) == ("v3:call", "STREAM", "session")
    assert (info.inbound_encoding, info.inbound_sample_rate) == ("PCMU", 8000)
    assert (info.played_encoding, info.played_sample_rate) == ("L16", 16_000)
    assert (info.client_state, info.custom_parameters) == ("c3RhdGU=", {})
    assert info.report() == line.call.report()


async def test_a_sink_that_fails_is_dropped_and_closed_and_the_others_go_on() -> None:
    good, bad = ListSink(), FailingSink(2)
    line = FakeLine(sinks={"bad": bad.factory, "good": good.factory})
    async with line.running():
        line.say(*payloads(5))
        await settle()
        assert bad.closed == 1
        line.say(*payloads(5, 5))
    assert bad.timestamps() == [0, 160]
    assert good.timestamps() == [160 * number for number in range(10)]
    sinks = line.call.report()["sinks"]
    assert (sinks["bad"]["state"], sinks["bad"]["error"]) == ("failed", "SinkError: full")
    assert sinks["good"]["state"] == "closed"


async def test_a_sink_that_cannot_be_opened_costs_the_call_nothing() -> None:
    @asynccontextmanager
    async def broken(info: StreamInfo) -> AsyncIterator[AudioSink]:
        raise ConnectionError("nobody there")
        yield ListSink()

    good = ListSink()
    line = FakeLine(sinks={"broken": broken, "good": good.factory})
    async with line.running():
        line.say(*payloads(3))
    assert len(good.frames) == 3
    assert line.call.report()["sinks"]["broken"]["state"] == "failed"


async def test_sound_from_before_the_sinks_are_open_is_not_lost() -> None:
    sink = ListSink()
    line = FakeLine(sinks={"sink": sink.factory})
    line.say(*payloads(2))  # in the same wake-up of the event loop as `start`
    async with line.running():
        line.say(*payloads(2, 2))
    assert np.array_equal(sink.sound(), decode_ulaw(b"".join(payloads(4))))


async def test_a_lost_packet_is_filled_in_when_its_time_is_over_and_the_sound_behind_it_follows() -> None:
    sink = ListSink()
    line = FakeLine(sinks={"sink": sink.factory})
    async with line.running():
        line.say(payload(0))
        line.lose(payload(1))
        line.say(payload(2))
        assert sink.timestamps() == [0]
        line.wait(0.059)
        assert sink.timestamps() == [0]
        line.wait(0.008)  # the reorder window is 60 ms, and the pacer comes up to 6 ms late
        assert sink.timestamps() == [0, 160, 320]
    assert [frame.concealed for frame in sink.frames] == [False, True, False]
    assert line.call.report()["received"]["packets_lost"] == 1


async def test_a_key_between_the_packets_is_no_loss() -> None:
    sink = ListSink()
    line = FakeLine(sinks={"sink": sink.factory})
    async with line.running():
        line.say(payload(0))
        line.press("1")
        line.say(payload(1))
        assert sink.timestamps() == [0, 160]
    report = line.call.report()
    assert (report["digits_received"], report["received"]["packets_lost"]) == (1, 0)


async def test_what_still_waits_at_the_end_is_handed_out_first() -> None:
    sink = ListSink()
    line = FakeLine(sinks={"sink": sink.factory})
    async with line.running():
        line.say(payload(0))
        line.lose(payload(1))
        line.say(payload(2))
    assert sink.timestamps() == [0, 160, 320]


# --- its end -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", EndReason)
async def test_whatever_ends_the_call_is_told_once_and_all_is_closed(reason: EndReason) -> None:
    sink = ListSink()
    reasons = []

    async def wait(call: object) -> None:
        reasons.append(await line.call.wait_ended())

    line = FakeLine(agent=acting(wait), sinks={"sink": sink.factory})
    async with line.running():
        line.say(payload(0))
        line.wait(1.5)
        line.call.end(reason)
        line.call.end(EndReason.INTERNAL_ERROR)
    assert (line.ended, line.call.end_reason, reasons) == ([reason], reason, [reason])
    assert sink.closed == 1
    line.wait(10.0)
    report = line.call.report()
    assert (report["end_reason"], report["duration_seconds"]) == (reason.value, 1.5)


async def test_a_call_that_ended_before_it_ran_still_opens_and_closes_its_sinks() -> None:
    sink = ListSink()
    line = FakeLine(sinks={"sink": sink.factory})
    line.say(*payloads(2))
    line.call.end(EndReason.LINK_LOST)
    async with line.running():
        pass
    assert (sink.timestamps(), sink.closed) == ([0, 160], 1)
    assert line.ended == [EndReason.LINK_LOST]


async def test_the_longest_call_is_ended() -> None:
    sink = ListSink()
    line = FakeLine(sinks={"sink": sink.factory}, max_duration=0.02)
    async with line.running():
        assert await line.call.wait_ended() is EndReason.MAX_DURATION
    assert (line.ended, sink.closed) == ([EndReason.MAX_DURATION], 1)


async def test_an_error_while_the_pacer_wakes_the_call_ends_that_call() -> None:
    encoded = 0

    def encode(samples: Samples) -> bytes:
        nonlocal encoded
        encoded += 1
        if encoded > 12:
            raise ValueError("no more")
        return encode_ulaw(samples)

    line = FakeLine(outbound=Codec("PCMU", 8000, decode_ulaw, encode))
    async with line.running():
        line.call.send_audio(noise(8000))
        assert line.ended == []
        line.wait(1.0)
        assert line.ended == [EndReason.INTERNAL_ERROR]
    assert len(line.payloads()) == 12


# --- the report ----------------------------------------------------------------------------------------------------


async def test_the_report_is_json_at_every_stage() -> None:
    sink = ListSink("inbound", "played")
    line = FakeLine(agent=Echo, sinks={"sink": sink.factory})
    stages = [line.call.report()]
    line.say(payload(0))
    stages.append(line.call.report())
    async with line.running():
        line.say(payload(1))
        line.lose(payload(2))
        line.say(payload(3), b"")
        stages.append(line.call.report())
        line.wait(0.1)
        line.call.send_audio(noise(8000))
        line.call.clear()
        line.press("#")
        line.tell(line.carrier.send_error(100004, "no base64"))
        stages.append(line.call.report())
    stages.append(line.call.report())
    assert [json.loads(json.dumps(stage)) for stage in stages] == stages
    assert [stage["end_reason"] for stage in stages] == [None, None, None, None, "stop"]
    last = stages[-1]
    assert (last["stream_id"], last["inbound_codec"], last["played_codec"]) == ("STREAM", "PCMU/8000", "PCMU/8000")
    assert last["received"]["packets_received"] == 4
    assert (last["received"]["packets_lost"], last["received"]["payloads_bad"]) == (1, 1)
    assert (last["digits_received"], last["errors_from_telnyx"]) == (1, 1)
    counted = last["sinks"]["sink"]
    assert (counted["state"], counted["error"], counted["frames"], counted["frames_dropped"]) == ("closed", None, 7, 0)


async def test_a_running_call_reports_how_long_it_has_run() -> None:
    line = FakeLine()
    async with line.running():
        line.wait(12.3456)
        assert line.call.report()["duration_seconds"] == 12.346
